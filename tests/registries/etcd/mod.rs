//! The source that reads etcd, against real servers of two versions.

mod cluster;
mod secured;

use crate::{
    servers::{
        etcd::{Etcd, Version},
        relay::Relay,
    },
    support::Portolan,
    watched::{AROUND, Steady, connected, named, outage, routed, source, unrouted},
};

/// The section of a source that reads entries of gRPC's form.
fn section(urls: &[String], more: &str) -> String {
    format!(
        "[[source]]\nkind = 'etcd'\nendpoints = {urls:?}\nlayout = 'grpc'\nprefix = '/apps/'\n{more}\n"
    )
}

fn before(etcd: &Etcd) -> Portolan {
    Portolan::start(&format!("{}{AROUND}", section(&[etcd.url()], "")))
}

fn entry(address: std::net::SocketAddr) -> String {
    format!("{{\"Op\":0,\"Addr\":\"{address}\",\"Metadata\":null}}")
}

#[test]
fn what_is_put_changed_and_deleted_is_routed() {
    for version in Version::BOTH {
        let (etcd, one, two) = (Etcd::start(version), named("one"), named("two"));
        let portolan = before(&etcd);
        connected(&portolan, "etcd", true);
        etcd.put("/apps/orders/a", &entry(one.address));
        routed(&portolan, &format!("{version:?} put"), "one");
        etcd.put("/apps/orders/a", &entry(two.address));
        routed(&portolan, "changed", "two");
        // What cannot be read does not take out what could be.
        etcd.put("/apps/orders/a", "{");
        etcd.put("/apps/orders/b", "nonsense");
        crate::support::eventually(|| {
            source(&portolan, "etcd")["rejected"].to_string().contains("orders/b")
        });
        assert_eq!(portolan.get("/orders").text(), "two");
        etcd.put("/appsorders/c", &entry(one.address));
        etcd.delete("/apps/orders/a");
        unrouted(&portolan, "deleted");
    }
}

#[test]
fn a_lease_that_is_over_takes_the_instance_out() {
    let (etcd, one) = (Etcd::start(Version::Packaged), named("one"));
    let portolan = before(&etcd);
    let lease = etcd.grant(2);
    etcd.put_with("/apps/orders/a", &entry(one.address), &lease);
    routed(&portolan, "put", "one");
    unrouted(&portolan, "lease of 2 s");
}

#[test]
fn an_outage_keeps_what_was_known_and_leaves_no_ghosts() {
    let (mut etcd, one, steady) = (Etcd::start(Version::Newer), named("one"), named("steady"));
    let relay = Relay::to(etcd.address);
    let url = format!("http://{}", relay.address);
    etcd.put("/apps/orders/a", &entry(one.address));
    etcd.put("/apps/steady/a", &entry(steady.address));
    let portolan = Portolan::start(&format!("{}{AROUND}", section(&[url], "")));
    routed(&portolan, "listed", "one");
    let requests = Steady::begin(&portolan);
    etcd.server.kill();
    connected(&portolan, "etcd", false);
    outage();
    assert_eq!(portolan.get("/orders").text(), "one");
    etcd.restart();
    connected(&portolan, "etcd", true);
    // Gone while nobody listens, and what told of it is gone too.
    relay.cut();
    connected(&portolan, "etcd", false);
    etcd.delete("/apps/orders/a");
    etcd.put("/apps/other/a", &entry(one.address));
    etcd.compact();
    relay.mend();
    unrouted(&portolan, "deleted and compacted while cut off");
    etcd.put("/apps/orders/b", &entry(one.address));
    routed(&portolan, "put after all that", "one");
    requests.end();
}

#[test]
fn a_server_that_stalls_is_noticed_and_heard_again() {
    let (etcd, one, steady) = (Etcd::start(Version::Packaged), named("one"), named("steady"));
    etcd.put("/apps/steady/a", &entry(steady.address));
    let portolan = before(&etcd);
    let requests = Steady::begin(&portolan);
    etcd.server.stall();
    connected(&portolan, "etcd", false);
    outage();
    etcd.server.resume();
    connected(&portolan, "etcd", true);
    etcd.put("/apps/orders/a", &entry(one.address));
    routed(&portolan, "put after the stall", "one");
    requests.end();
}
