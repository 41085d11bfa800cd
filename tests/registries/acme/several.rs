//! One issuer among several proxies that share a registry in etcd.

use std::{
    io::copy,
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use rustix::process::Signal;
use serde_json::Value;

use super::*;
use crate::{
    servers::etcd::{Etcd, Version},
    support::Connection,
};

const NAME: &str = "shop.example";

/// Where a CA looks, which may be any proxy: as behind a load balancer.
struct Door(Arc<Mutex<Option<SocketAddr>>>);

impl Door {
    /// A door at `address` that leads nowhere yet: whoever comes waits.
    #[track_caller]
    fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let target: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let leads_to = Arc::clone(&target);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let leads_to = Arc::clone(&leads_to);
                thread::spawn(move || pass(client, &leads_to));
            }
        });
        Self(target)
    }

    fn lead_to(&self, address: SocketAddr) {
        *self.0.lock().expect("no panic") = Some(address);
    }
}

/// Passes bytes between `client` and where the door leads to, once it does.
fn pass(client: TcpStream, leads_to: &Mutex<Option<SocketAddr>>) {
    let target = loop {
        if let Some(target) = *leads_to.lock().expect("no panic") {
            break target;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let Ok(server) = TcpStream::connect(target) else { return };
    for (from, to) in [(&client, &server), (&server, &client)] {
        let [mut from, mut to] = [from, to].map(|it| it.try_clone().expect("one"));
        thread::spawn(move || {
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// A CA, an etcd, and what stands in it.
struct Place {
    pebble: Pebble,
    etcd: Etcd,
    doors: [Door; 2],
    backend: Backend,
    challenge: &'static str,
}

impl Place {
    #[track_caller]
    fn new(seconds: u32, challenge: &'static str) -> Self {
        let pebble = Pebble::steady(seconds);
        let doors = pebble.looks_at.map(Door::at);
        let (etcd, backend) = (Etcd::start(Version::Newer), Backend::answering(OK));
        Self { pebble, etcd, doors, backend, challenge }
    }

    /// The config file of each proxy.
    fn text(&self) -> String {
        let registry = format!(
            "[registry]\nbackend = 'etcd'\n[registry.etcd]\nendpoints = ['{}']\n",
            self.etcd.url()
        );
        self.alone() + &registry
    }

    /// The same, of one that shares nothing.
    fn alone(&self) -> String {
        format!(
            "{}challenges = ['{}']\n[[listener]]\n[[listener]]\ntls = {{ acme = ['{NAME}'] }}\n\
             [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
            self.pebble.section(),
            self.challenge,
            self.backend.address
        )
    }

    /// The CA comes to `portolan`.
    fn lead_to(&self, portolan: &Portolan) {
        self.doors[0].lead_to(portolan.listeners[0]);
        self.doors[1].lead_to(portolan.listeners[1]);
    }

    /// The key of what proxies share.
    fn key(&self, rest: &str) -> String {
        format!("/portolan/v1/acme/{}/{rest}", self.pebble.place())
    }

    fn turn(&self) -> String {
        self.key(&format!("turns/{NAME}"))
    }

    /// A proxy that is there but says nothing: who orders waits for it.
    #[track_caller]
    fn haunt(&self) {
        self.etcd.put("/portolan/v1/replicas/ghost", "{}");
        self.etcd.put("/portolan/v1/alive/ghost", "");
    }

    /// Orders that the CA has had.
    fn orders(&self) -> usize {
        self.pebble.orders()
    }
}

fn id(portolan: &Portolan) -> Value {
    portolan.admin("GET", "/api/v1/status", "").json()["fleet"]["id"].clone()
}

/// Orders of `portolan` that came to a certificate, and others.
fn orders(portolan: &Portolan) -> [f64; 2] {
    ["ok", "failed"].map(|result| {
        portolan.metric(&format!("portolan_acme_orders_total{{result=\"{result}\"}}"))
    })
}

fn acme(portolan: &Portolan) -> Value {
    portolan.admin("GET", "/api/v1/status", "").json()["acme"][0].clone()
}

/// The kinds of what has happened to `portolan`.
fn kinds(portolan: &Portolan) -> Vec<String> {
    let mut stream = Connection::open(portolan.admin);
    let host = portolan.admin;
    stream
        .send(format!("GET /api/v1/events HTTP/1.1\r\nhost: {host}\r\nlast-event-id: 0-0\r\n\r\n"));
    let mut text = String::new();
    while !stream.is_silent_for(Duration::from_millis(300)) {
        text += &String::from_utf8_lossy(&stream.read().expect("events"));
    }
    text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect()
}

fn account(portolan: &Portolan) -> Option<String> {
    let folder = fs::read_dir(portolan.folder().join("data/acme")).ok()?;
    let folder = folder.map_while(Result::ok).map(|entry| entry.path()).next()?;
    fs::read_to_string(folder.join("account.json")).ok()
}

/// The certificate that all of `proxies` show.
#[track_caller]
fn shown_by_all<'a>(proxies: impl IntoIterator<Item = &'a Portolan>) -> CertificateDer<'static> {
    let mut all = proxies.into_iter().map(|proxy| shown(proxy.listeners[1], NAME));
    let first = all.next().expect("a proxy");
    assert!(all.all(|other| other == first), "they show different ones");
    first
}

/// Of three that want a certificate one orders it, and the CA looks at another.
#[track_caller]
fn one_orders_and_another_is_asked(challenge: &'static str) {
    let place = Place::new(86_400, challenge);
    place.haunt();
    // Nobody begins before all are there.
    place.etcd.put(&place.turn(), "the test");
    let proxies: [Portolan; 3] = std::array::from_fn(|_| Portolan::start(&place.text()));
    place.etcd.delete(&place.turn());
    let mut issuer = None;
    eventually(|| {
        let holder = place.etcd.get(&place.turn());
        issuer = proxies.iter().position(|it| holder.as_deref() == id(it).as_str());
        issuer.is_some()
    });
    let issuer = issuer.expect("one");
    // It still waits for the one that says nothing, and then goes on.
    place.lead_to(&proxies[(issuer + 1) % 3]);
    let first = shown_by_all(&proxies);
    for (number, proxy) in proxies.iter().enumerate() {
        let expected = if number == issuer { [1.0, 0.0] } else { [0.0, 0.0] };
        eventually(|| orders(proxy) == expected);
        let standing = acme(proxy);
        assert_eq!(standing["failures"], 0, "{standing}");
        assert!(standing["expires"].is_string(), "{standing}");
    }
    assert_eq!(place.orders(), 1);
    // One account, which all of them have once they ask when to renew.
    let shared = place.etcd.get(&place.key("account")).expect("an account");
    let same = |text: Option<String>| {
        let text = text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        text == serde_json::from_str(&shared).ok()
    };
    eventually(|| proxies.iter().all(|proxy| same(account(proxy))));
    // Nothing is left of the turn, nor of the proof.
    eventually(|| place.etcd.get(&place.turn()).is_none());
    assert!(place.etcd.get(&place.key(&format!("proofs/{NAME}"))).is_none());
    let taken = |proxy: &Portolan| kinds(proxy).iter().any(|it| it == "certificate_taken_over");
    let told: Vec<_> = proxies.iter().map(taken).collect();
    assert_eq!(told.iter().filter(|taken| **taken).count(), 2, "{told:?}");
    assert!(!told[issuer]);
    // A new one has it from the others.
    let late = Portolan::start(&place.text());
    assert_eq!(shown(late.listeners[1], NAME), first);
    assert_eq!((orders(&late), place.orders()), ([0.0, 0.0], 1));
}

#[test]
fn one_orders_and_the_request_of_the_ca_comes_to_another() {
    one_orders_and_another_is_asked("http-01");
}

#[test]
fn one_orders_and_the_handshake_of_the_ca_comes_to_another() {
    one_orders_and_another_is_asked("tls-alpn-01");
}

#[test]
fn who_is_killed_while_it_orders_is_followed_by_another() {
    let place = Place::new(86_400, "http-01");
    place.haunt();
    let first = Portolan::under(&place.text(), "exec \"$0\" \"$@\"");
    let proof = place.key(&format!("proofs/{NAME}"));
    eventually(|| place.etcd.get(&proof).is_some());
    first.signal(Signal::KILL);
    drop(first);
    let rest: [Portolan; 2] = std::array::from_fn(|_| Portolan::start(&place.text()));
    place.lead_to(&rest[0]);
    // Its turn goes with its lease, its proof too.
    eventually(|| place.etcd.get(&place.turn()).is_none_or(|it| rest.iter().any(|r| id(r) == it)));
    place.etcd.delete("/portolan/v1/alive/ghost");
    shown_by_all(&rest);
    let both = || orders(&rest[0])[0] + orders(&rest[1])[0];
    eventually(|| both() == 1.0);
    assert_eq!(orders(&rest[0])[1] + orders(&rest[1])[1], 0.0);
}

#[test]
fn a_certificate_is_renewed_by_one() {
    let place = Place::new(20, "http-01");
    let proxies: [Portolan; 3] = std::array::from_fn(|_| Portolan::start(&place.text()));
    place.lead_to(&proxies[1]);
    let mut seen = vec![shown_by_all(&proxies)];
    let begun = place.orders();
    for _ in 0..2 {
        eventually(|| {
            let now = client().connect(proxies[0].listeners[1], NAME).certificate;
            let is_new = !seen.contains(&now);
            if is_new {
                seen.push(now);
            }
            is_new
        });
        let last = seen.last().cloned().expect("one");
        for proxy in &proxies {
            eventually(|| client().connect(proxy.listeners[1], NAME).certificate == last);
        }
    }
    assert_eq!(place.orders() - begun, 2);
    eventually(|| proxies.iter().map(|proxy| orders(proxy)[0]).sum::<f64>() >= 3.0);
}

#[test]
fn without_etcd_certificates_stay_and_are_served_by_who_starts() {
    let mut place = Place::new(86_400, "http-01");
    let [one, other]: [Portolan; 2] = std::array::from_fn(|_| Portolan::start(&place.text()));
    place.lead_to(&one);
    let certificate = shown_by_all([&one, &other]);
    let orders_before = place.orders();
    place.etcd.server.kill();
    let lost = |it: &Portolan| {
        let status = it.admin("GET", "/api/v1/status", "").json();
        status["store"]["state"] != "writable"
    };
    eventually(|| lost(&one) && lost(&other));
    let other = other.restart();
    assert_eq!(shown_by_all([&one, &other]), certificate);
    // Nor does one that has none order what it cannot agree on.
    let none = Portolan::start(&place.text());
    assert!(client().try_connect(none.listeners[1], NAME).is_err());
    assert_eq!(acme(&none)["failures"], 0);
    assert_eq!(place.orders(), orders_before);
    place.etcd.restart();
    assert_eq!(shown_by_all([&one, &other, &none]), certificate);
    assert_eq!((orders(&none), place.orders()), ([0.0, 0.0], orders_before));
}

#[test]
fn what_one_obtained_alone_it_brings_along_and_what_is_damaged_is_mended() {
    let place = Place::new(86_400, "http-01");
    let alone = Portolan::start(&place.alone());
    place.lead_to(&alone);
    let certificate = shown(alone.listeners[1], NAME);
    let made = place.orders();
    alone.write(&place.text());
    let brought = alone.restart();
    let other = Portolan::start(&place.text());
    assert_eq!(shown_by_all([&brought, &other]), certificate);
    assert_eq!(place.orders(), made);
    // Its account too.
    let file = account(&brought);
    eventually(|| place.etcd.get(&place.key("account")).is_some_and(|it| Some(it) == file));
    // What somebody puts there is not believed; what can be used comes back.
    let key = place.key(&format!("certificates/{NAME}"));
    place.etcd.put(&key, "{\"v\":1,\"by\":\"nobody\",\"pem\":\"-----BEGIN\"}");
    eventually(|| place.etcd.get(&key).is_some_and(|it| it.contains("BEGIN CERTIFICATE")));
    assert_eq!(shown_by_all([&brought, &other]), certificate);
}
