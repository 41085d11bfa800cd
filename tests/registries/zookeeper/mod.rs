//! The source that reads ZooKeeper, against real servers.

mod ensemble;
mod secured;
mod spring;

use std::{net::SocketAddr, sync::LazyLock, time::Duration};

use serde_json::json;
use tokio::runtime::Runtime;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::{
    followed::address,
    routed::{AROUND, Steady, connected, held_and_believed, named, routed, source, unrouted},
    servers::{Server, zookeeper::Zookeeper},
    support::{Portolan, eventually},
    trial::Registry,
};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// The section of a source that reads entries of Curator's form.
fn section(servers: &[String], more: &str) -> String {
    format!(
        "[[source]]\nkind = 'zookeeper'\nservers = {servers:?}\nlayout = 'curator'\n\
         path = '/apps/services'\nsession_timeout = '4s'\n{more}\n"
    )
}

fn before(zookeeper: &Zookeeper) -> Portolan {
    Portolan::start(&format!("{}{AROUND}", section(&[zookeeper.address.to_string()], "")))
}

/// Somebody who registers services.
struct Registrar(Option<Client>);

impl Registrar {
    #[track_caller]
    fn of(servers: &[SocketAddr]) -> Self {
        Self::with(servers, Client::connector().with_session_timeout(Duration::from_secs(10)))
    }

    #[track_caller]
    fn with(servers: &[SocketAddr], connector: zookeeper_client::Connector) -> Self {
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        let client = RUNTIME.block_on(connector.connect(&servers.join(",")));
        Self(Some(client.expect("a session")))
    }

    fn client(&self) -> &Client {
        self.0.as_ref().expect("not over")
    }

    /// What Curator writes for the instance `id` of `service` at `address`.
    #[track_caller]
    fn put(&self, service: &str, id: &str, address: SocketAddr) {
        self.create(service, id, address, &CreateMode::Persistent.with_acls(Acls::anyone_all()));
    }

    #[track_caller]
    fn create(
        &self,
        service: &str,
        id: &str,
        address: SocketAddr,
        options: &zookeeper_client::CreateOptions<'_>,
    ) {
        let parent = format!("/apps/services/{service}");
        let parents = CreateMode::Persistent.with_acls(Acls::anyone_all());
        RUNTIME.block_on(async {
            self.client().mkdir(&parent, &parents).await.expect("parents");
            let path = format!("{parent}/{id}");
            let data = curator(service, id, address);
            match self.client().create(&path, data.as_bytes(), options).await {
                Ok(_) => {}
                Err(zookeeper_client::Error::NodeExists) => {
                    self.client().set_data(&path, data.as_bytes(), None).await.expect("put");
                }
                Err(error) => panic!("{path}: {error}"),
            }
        });
    }

    #[track_caller]
    fn set(&self, service: &str, id: &str, data: &str) {
        let path = format!("/apps/services/{service}/{id}");
        let set = self.client().set_data(&path, data.as_bytes(), None);
        RUNTIME.block_on(set).expect("set");
    }

    #[track_caller]
    fn delete(&self, service: &str, id: &str) {
        let path = format!("/apps/services/{service}/{id}");
        RUNTIME.block_on(self.client().delete(&path, None)).expect("deleted");
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        let _inside = RUNTIME.enter();
        drop(self.0.take());
    }
}

fn curator(service: &str, id: &str, address: SocketAddr) -> String {
    json!({
        "name": service, "id": id, "address": address.ip().to_string(), "port": address.port(),
        "sslPort": null, "payload": null, "registrationTimeUTC": 1, "serviceType": "DYNAMIC",
        "uriSpec": null,
    })
    .to_string()
}

#[test]
fn what_is_put_changed_and_deleted_is_routed() {
    let (zookeeper, one, two) = (Zookeeper::start(), named("one"), named("two"));
    let portolan = before(&zookeeper);
    // The path is not there yet, which is no error.
    connected(&portolan, "zookeeper", true);
    let registrar = Registrar::of(&[zookeeper.address]);
    registrar.put("orders", "a", one.address);
    routed(&portolan, "put", "one");
    registrar.put("orders", "a", two.address);
    routed(&portolan, "changed", "two");
    // What cannot be read does not take out what could be.
    registrar.set("orders", "a", "{");
    eventually(|| source(&portolan, "zookeeper")["rejected"].to_string().contains("orders/a"));
    assert_eq!(portolan.get("/orders").text(), "two");
    let disabled = curator("orders", "a", two.address).replacen('{', "{\"enabled\":false,", 1);
    registrar.set("orders", "a", &disabled);
    unrouted(&portolan, "disabled");
    registrar.put("orders", "a", two.address);
    routed(&portolan, "enabled", "two");
    registrar.delete("orders", "a");
    unrouted(&portolan, "deleted");
}

#[test]
fn a_session_that_ends_takes_its_nodes_with_it() {
    let (zookeeper, one) = (Zookeeper::start(), named("one"));
    let portolan = before(&zookeeper);
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    let registrar = Registrar::of(&[zookeeper.address]);
    registrar.create("orders", "a", one.address, &ephemeral);
    routed(&portolan, "put", "one");
    drop(registrar);
    unrouted(&portolan, "closed");
    // It says no goodbye, as a process that is killed does not.
    let connector = Client::connector().with_session_timeout(Duration::from_secs(2));
    let registrar = Registrar::with(&[zookeeper.address], connector.with_detached());
    registrar.create("orders", "a", one.address, &ephemeral);
    routed(&portolan, "put", "one");
    drop(registrar);
    unrouted(&portolan, "session of 2 s");
}

/// A session takes all its nodes with it at once, as would those of everybody
/// if the ensemble took them for dead.
#[test]
fn many_that_go_with_a_session_are_not_believed_at_once() {
    let (zookeeper, steady) = (Zookeeper::start(), named("steady"));
    Registrar::of(&[zookeeper.address]).put("steady", "a", steady.address);
    let connector = Client::connector().with_session_timeout(Duration::from_secs(2));
    let registrar = Registrar::with(&[zookeeper.address], connector.with_detached());
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    for id in 0..20 {
        registrar.create("orders", &format!("i{id}"), address(id), &ephemeral);
    }
    let portolan = before(&zookeeper);
    eventually(|| source(&portolan, "zookeeper")["instances"] == 21);
    drop(registrar);
    held_and_believed(&portolan, "zookeeper", 20);
}

impl Registry for Zookeeper {
    const NAME: &'static str = "zookeeper";
    fn address(&self) -> SocketAddr {
        self.address
    }
    fn section(&self, address: SocketAddr) -> String {
        section(&[address.to_string()], "")
    }
    fn put(&self, service: &str, id: &str, address: SocketAddr) {
        Registrar::of(&[self.address]).put(service, id, address);
    }
    fn delete(&self, service: &str, id: &str) {
        Registrar::of(&[self.address]).delete(service, id);
    }
    fn server(&mut self) -> &mut Server {
        &mut self.server
    }
    fn restart(&mut self) {
        self.restart();
    }
    /// The session of the proxy ends, which takes 4 s.
    fn meanwhile(&self) {
        std::thread::sleep(Duration::from_secs(6));
    }
}
