//! What every registry is put through, with the real proxy before it and
//! requests under way: instances come, change and go, while the server is
//! killed, stalled and cut off. What is registered gets requests and what has
//! left gets none; instances that nothing happens to lose none.
//!
//! The stall lasts half a minute, so all are tried at once; with
//! `PORTOLAN_FULL=1` the other outages last as long.

use std::{net::SocketAddr, thread, time::Duration};

use crate::{
    routed::{AROUND, HALF_A_MINUTE, Steady, connected, named, outage, routed, unrouted},
    servers::{
        Server,
        consul::Consul,
        etcd::{Etcd, Version},
        eureka::Eureka,
        relay::Relay,
        zookeeper::Zookeeper,
    },
    support::{Backend, Portolan},
};

/// A registry with a real server behind it.
pub(crate) trait Registry {
    /// How the source is called.
    const NAME: &'static str;
    /// Whether it has nothing when it is started again.
    const FORGETS: bool = false;
    /// Where its clients connect.
    fn address(&self) -> SocketAddr;
    /// The section of a source that reaches it at `address`.
    fn section(&self, address: SocketAddr) -> String;
    /// Registers the instance `id` of `service`, or changes it.
    fn put(&self, service: &str, id: &str, address: SocketAddr);
    /// Takes the instance `id` of `service` out.
    fn delete(&self, service: &str, id: &str);
    /// Its process.
    fn server(&mut self) -> &mut Server;
    /// Starts it again and waits until it answers.
    fn restart(&mut self);
    /// What happens besides while the proxy is cut off from it.
    fn meanwhile(&self) {}
}

#[test]
fn requests_follow_every_registry_whatever_happens_to_it() {
    let trials: [(&str, fn()); 5] = [
        ("consul", || put_through(Consul::start())),
        ("etcd", || put_through(Etcd::start(Version::Newer))),
        ("etcd, packaged", || put_through(Etcd::start(Version::Packaged))),
        ("eureka", || put_through(Eureka::start())),
        ("zookeeper", || put_through(Zookeeper::start())),
    ];
    thread::scope(|scope| {
        for (name, trial) in trials {
            let trial = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, trial);
            trial.expect("a thread");
        }
    });
}

/// The trial of `registry`.
#[track_caller]
fn put_through<R: Registry>(mut registry: R) {
    let trial = Trial::begin(&registry);
    let requests = Steady::begin(&trial.portolan);
    trial.round(&registry, "at rest");

    trial.arrives(&registry);
    registry.server().kill();
    connected(&trial.portolan, R::NAME, false);
    outage();
    requests.flow();
    assert_eq!(trial.portolan.get("/orders").text(), "first");
    registry.restart();
    if R::FORGETS {
        trial.steady(&registry);
        registry.put("orders", "a", trial.first.address);
    }
    connected(&trial.portolan, R::NAME, true);
    trial.round(&registry, "after a kill");

    registry.server().stall();
    connected(&trial.portolan, R::NAME, false);
    thread::sleep(HALF_A_MINUTE);
    requests.flow();
    registry.server().resume();
    connected(&trial.portolan, R::NAME, true);
    trial.round(&registry, "after a stall");

    trial.arrives(&registry);
    trial.relay.cut();
    connected(&trial.portolan, R::NAME, false);
    registry.delete("orders", "a");
    registry.meanwhile();
    outage();
    requests.flow();
    trial.relay.mend();
    connected(&trial.portolan, R::NAME, true);
    unrouted(&trial.portolan, "removed while cut off");
    trial.round(&registry, "after a cut");
    requests.flow();
    requests.end();
}

struct Trial {
    portolan: Portolan,
    relay: Relay,
    first: Backend,
    second: Backend,
    steady: [Backend; 2],
}

impl Trial {
    #[track_caller]
    fn begin<R: Registry>(registry: &R) -> Self {
        let relay = Relay::to(registry.address());
        let section = registry.section(relay.address);
        let portolan = Portolan::start(&format!("{section}\n{AROUND}"));
        let steady = [named("steady"), named("steady too")];
        let trial =
            Self { portolan, relay, first: named("first"), second: named("second"), steady };
        trial.steady(registry);
        trial
    }

    /// Those that nothing happens to.
    fn steady<R: Registry>(&self, registry: &R) {
        for (id, backend) in ["one", "two"].into_iter().zip(&self.steady) {
            registry.put("steady", id, backend.address);
        }
    }

    #[track_caller]
    fn arrives<R: Registry>(&self, registry: &R) {
        registry.put("orders", "a", self.first.address);
        routed(&self.portolan, "registered", "first");
    }

    /// One comes, changes and goes.
    #[track_caller]
    fn round<R: Registry>(&self, registry: &R, when: &str) {
        let told = |what: &str| format!("{what} {when}");
        registry.put("orders", "a", self.first.address);
        routed(&self.portolan, &told("registered"), "first");
        registry.put("orders", "a", self.second.address);
        routed(&self.portolan, &told("changed"), "second");
        registry.delete("orders", "a");
        unrouted(&self.portolan, &told("removed"));
        // No ghost comes back.
        let asked = self.first.requests().len() + self.second.requests().len();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(self.portolan.get("/orders").reason(), "no_healthy_instance");
        assert_eq!(self.first.requests().len() + self.second.requests().len(), asked);
    }
}
