//! A service that registers as those of its kind do: by Spring Cloud Zookeeper,
//! and so by Curator.

use rustix::process::Signal;

use super::*;
use crate::{
    servers::{free_port, installed},
    support::signal,
};

#[track_caller]
fn service(zookeeper: &Zookeeper) -> Server {
    let jar = installed("curator/service.jar").display().to_string();
    let listen = format!("--server.port={}", free_port());
    let servers = format!("--spring.cloud.zookeeper.connect-string={}", zookeeper.address);
    let arguments = [
        "-Xmx192m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-jar",
        &jar,
        &listen,
        "--server.address=127.0.0.1",
        "--spring.application.name=orders",
        &servers,
        "--spring.cloud.zookeeper.session-timeout=4s",
        "--spring.cloud.zookeeper.discovery.root=/apps/services",
        "--spring.cloud.zookeeper.discovery.instance-host=127.0.0.1",
        "--spring.cloud.zookeeper.discovery.metadata.weight=7",
    ];
    Server::start("java", &arguments)
}

#[test]
fn a_service_of_spring_is_routed_by_what_curator_writes() {
    let zookeeper = Zookeeper::start();
    let portolan = before(&zookeeper);
    connected(&portolan, "zookeeper", true);
    let mut service = service(&zookeeper);
    routed(&portolan, "started", "spring");
    let view = portolan.admin("GET", "/api/v1/services/orders", "").json();
    let instance = &view["instances"][0];
    assert_eq!((&instance["weight"], &instance["source"]), (&7.into(), &"zookeeper".into()));
    signal(service.id(), Signal::TERM);
    unrouted(&portolan, "stopped");
    service.restart();
    routed(&portolan, "started again", "spring");
    service.kill();
    unrouted(&portolan, "killed, session of 4 s");
    assert_eq!(source(&portolan, "zookeeper")["rejections"], 0);
}
