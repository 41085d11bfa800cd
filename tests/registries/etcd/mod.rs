//! The source that reads etcd, against real servers of two versions.

mod cluster;
mod naming;
mod secured;

use std::net::SocketAddr;

use serde_json::json;

use crate::{
    followed::address,
    routed::{AROUND, Steady, connected, held_and_believed, named, routed, source, unrouted},
    servers::{
        Server,
        etcd::{Etcd, Version},
    },
    support::{Portolan, eventually},
    trial::Registry,
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

fn entry(address: SocketAddr) -> String {
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
        eventually(|| source(&portolan, "etcd")["rejected"].to_string().contains("orders/b"));
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

/// A lease takes all its keys with it at once, as those of everybody would go
/// if the cluster took them for dead.
#[test]
fn many_that_go_with_a_lease_are_not_believed_at_once() {
    for version in Version::BOTH {
        let (etcd, steady) = (Etcd::start(version), named("steady"));
        etcd.put("/apps/steady/a", &entry(steady.address));
        let lease = etcd.grant(600);
        for id in 0..20 {
            etcd.put_with(&format!("/apps/orders/i{id}"), &entry(address(id)), &lease);
        }
        let portolan = before(&etcd);
        eventually(|| source(&portolan, "etcd")["instances"] == 21);
        etcd.call("/v3/lease/revoke", &json!({ "ID": lease }));
        held_and_believed(&portolan, "etcd", 20);
    }
}

impl Registry for Etcd {
    const NAME: &'static str = "etcd";
    fn address(&self) -> SocketAddr {
        self.address
    }
    fn section(&self, address: SocketAddr) -> String {
        section(&[format!("http://{address}")], "")
    }
    fn put(&self, service: &str, id: &str, address: SocketAddr) {
        self.put(&format!("/apps/{service}/{id}"), &entry(address));
    }
    fn delete(&self, service: &str, id: &str) {
        self.delete(&format!("/apps/{service}/{id}"));
    }
    fn server(&mut self) -> &mut Server {
        &mut self.server
    }
    fn restart(&mut self) {
        self.restart();
    }
    /// What told of the departure is gone too.
    fn meanwhile(&self) {
        self.put("/apps/other/a", "{}");
        self.compact();
    }
}
