//! The source that reads etcd, against real servers of two versions.

mod cluster;
mod secured;

use std::net::SocketAddr;

use crate::{
    routed::{AROUND, Steady, connected, named, routed, source, unrouted},
    servers::{
        Server,
        etcd::{Etcd, Version},
    },
    support::Portolan,
    trial::{Registry, put_through},
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

#[test]
fn requests_follow_it_whatever_happens_to_it() {
    put_through(Etcd::start(Version::Newer));
}

#[test]
fn requests_follow_the_packaged_version_whatever_happens_to_it() {
    put_through(Etcd::start(Version::Packaged));
}
