//! A proxy on a machine of its own, whose packets to etcd can be lost while its
//! clients, and what it routes to, reach it as ever.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::servers::{
    network::{self, Cable, Namespace},
    relay::Relay,
};

/// Where clients and instances are.
pub(super) const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 2);

/// Where etcd is, and the proxy at the other end of that line.
const ETCD: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const ASKS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// The machine, before the proxy runs on it.
pub(super) struct Machine {
    line: Cable,
    clients: Cable,
    namespace: Namespace,
}

/// With the proxy, which goes first.
pub(super) struct Severed {
    pub(super) proxy: Portolan,
    admin: Relay,
    pub(super) line: Cable,
    _clients: Cable,
    _namespace: Namespace,
}

impl Severed {
    #[track_caller]
    pub(super) fn machine() -> Machine {
        let namespace = Namespace::new();
        let line = Cable::lay("etcd", ETCD, ASKS, &namespace);
        let clients = Cable::lay("clients", HERE, THERE, &namespace);
        Machine { line, clients, namespace }
    }

    /// Its admin address, as it is reached from here.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin.address
    }

    fn knows(&self, name: &str) -> bool {
        let answer = http::call(self.admin(), "GET", &path(name), "");
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

impl Machine {
    /// Where `etcd` has to listen.
    pub(super) const fn near(&self) -> Ipv4Addr {
        ETCD
    }

    #[track_caller]
    pub(super) fn start(self, etcd: &[Etcd]) -> Severed {
        self.start_with(etcd, str::to_owned)
    }

    /// As [`Self::start`], with its config changed.
    #[track_caller]
    fn start_with(self, etcd: &[Etcd], change: impl FnOnce(&str) -> String) -> Severed {
        let Self { line, clients, namespace } = self;
        let url = |member: &Etcd| format!("http://{ETCD}:{}", member.address.port());
        let urls: Vec<_> = etcd.iter().map(url).collect();
        let text = change(&config(&urls));
        let text = format!("{text}[[listener]]\naddress = '{THERE}:0'\n");
        let door = namespace.door();
        let proxy = Portolan::under(&text, &format!("exec {} \"$0\" \"$@\"", door.shell()));
        let admin = Relay::into(door, proxy.admin);
        Severed { proxy, admin, line, _clients: clients, _namespace: namespace }
    }
}

/// What is heard after packets flow again. In a full run, which has the machine
/// for itself, it is held to a second.
#[track_caller]
pub(super) fn soon(after: Duration) {
    let full = std::env::var_os("PORTOLAN_FULL").is_some();
    assert!(!full || after < Duration::from_secs(1), "{after:?}");
}

/// For as long as TCP would wait from one attempt to the next, and longer: what
/// happened meanwhile is known at once when packets flow again.
#[test]
fn who_has_lost_packets_knows_all_as_soon_as_they_flow() {
    if !network::is_inside("shared::severed::who_has_lost_packets_knows_all_as_soon_as_they_flow") {
        return;
    }
    let c = Severed::machine();
    let etcd = Etcd::cluster_at(Version::Packaged, c.near());
    let urls: Vec<_> = etcd.iter().map(Etcd::url).collect();
    let a = Portolan::start(&config(&urls));
    let c = c.start(&etcd);
    let one = Backend::at(HERE, |mut accepted| {
        while accepted.request().is_some() {
            accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none");
        }
    });
    register(&a, "orders/1", one.address, None);
    eventually(|| c.knows("orders/1"));
    let full: &[u64] = &[500, 1000, 2000, 3000, 5000, 8000, 12_000, 20_000, 40_000];
    let brief: &[u64] = &[1000, 8000];
    let is_full = std::env::var_os("PORTOLAN_FULL").is_some();
    for (number, millis) in (if is_full { full } else { brief }).iter().enumerate() {
        let name = format!("steady/{number}");
        c.line.cut();
        let begun = Instant::now();
        register(&a, &name, one.address, None);
        while begun.elapsed() < Duration::from_millis(*millis) {
            // Clients are served, and heartbeats taken.
            assert_eq!(c.proxy.get("/orders").text(), "one");
            let beat = format!("{}/heartbeat", path("orders/1"));
            let beat = http::call(c.admin(), "POST", &beat, "").expect("an answer");
            assert_eq!(beat.status, 200, "{beat:?}");
            thread::sleep(Duration::from_millis(20));
        }
        assert!(!c.knows(&name));
        c.line.mend();
        let begun = Instant::now();
        eventually(|| c.knows(&name));
        let after = begun.elapsed();
        say!("cut off for {millis} ms: it knows all {after:?} later");
        soon(after);
    }
}

/// What is here has no way there, so that one proxy finds it dead. It is out
/// there, and nowhere else; until nobody else reaches it.
#[test]
fn what_one_proxy_cannot_reach_is_not_given_up_for_all() {
    if !network::is_inside("shared::severed::what_one_proxy_cannot_reach_is_not_given_up_for_all") {
        return;
    }
    let probing = |text: &str| {
        let brief = text.replace("[registry]\n", "[registry]\nderegister_after = '1s'\n");
        format!("[defaults]\nhealth = {{ kind = 'tcp', interval = '200ms' }}\n{brief}")
    };
    let c = Severed::machine();
    let etcd = Etcd::cluster_at(Version::Packaged, c.near());
    let urls: Vec<_> = etcd.iter().map(Etcd::url).collect();
    let a = Portolan::start(&probing(&config(&urls)));
    let c = c.start_with(&etcd, probing);
    let one = named("one");
    register(&a, "orders/1", one.address, None);
    answered(&a, "/orders", "one");
    eventually(|| c.proxy.get("/orders").status() == 503);
    // Twice as long as it takes until those are looked for that have failed.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(25) {
        assert_eq!(a.get("/orders").text(), "one");
        thread::sleep(Duration::from_millis(100));
    }
    drop(one);
    eventually(|| !c.knows("orders/1"));
    assert_eq!(a.admin("GET", &path("orders/1"), "").status(), 404);
}
