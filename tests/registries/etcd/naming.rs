//! An instance that registers as services of gRPC do: by the endpoints of
//! etcd's own client, in Go.

use rustix::process::Signal;

use super::*;
use crate::{servers::installed, support::signal};

#[test]
fn an_instance_is_routed_by_what_etcds_own_client_writes() {
    let (etcd, one) = (Etcd::start(Version::Newer), named("one"));
    let portolan = before(&etcd);
    connected(&portolan, "etcd", true);
    let address = one.address.to_string();
    let program = installed("naming/naming");
    let mut service = Server::start(program, &[&etcd.url(), "/apps/orders", "a", &address]);
    routed(&portolan, "endpoint added", "one");
    signal(service.id(), Signal::TERM);
    unrouted(&portolan, "endpoint deleted");
    service.restart();
    routed(&portolan, "endpoint added again", "one");
    service.kill();
    unrouted(&portolan, "killed, lease of 2 s");
    assert_eq!(source(&portolan, "etcd")["rejections"], 0);
}
