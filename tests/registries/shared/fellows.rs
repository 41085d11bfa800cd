//! What one proxy says for all of them: "routable" and "drained".

use std::sync::{Condvar, Mutex};

use super::*;
use crate::{servers::relay::Relay, support::Connection};

/// An instance that answers when it is let.
struct Held {
    backend: Backend,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Held {
    fn start() -> Self {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let opened = Arc::clone(&gate);
        let backend = Backend::start(move |mut accepted| {
            while accepted.request().is_some() {
                let open = opened.0.lock().expect("no panic");
                drop(opened.1.wait_while(open, |open| !*open).expect("no panic"));
                accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nheld");
            }
        });
        Self { backend, gate }
    }

    fn open(&self) {
        *self.gate.0.lock().expect("no panic") = true;
        self.gate.1.notify_all();
    }
}

/// A request to `/orders` by `portolan` that is on its way to an instance.
fn under_way(portolan: &Portolan) -> Connection {
    let mut connection = portolan.connect();
    connection.send("GET /orders HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| portolan.in_flight("orders") == 1);
    connection
}

fn leave(portolan: &Portolan, name: &str, within: &str) -> (u16, Value) {
    let path = format!("{}?wait=drained&timeout={within}", path(name));
    let answer = portolan.admin("DELETE", &path, "");
    (answer.status(), answer.json())
}

fn arrive(portolan: &Portolan, name: &str, address: SocketAddr, within: &str) -> (u16, Value) {
    let path = format!("{}?wait=routable&timeout={within}", path(name));
    let body = json!({ "address": address.to_string() }).to_string();
    let answer = portolan.admin("PUT", &path, &body);
    (answer.status(), answer.json())
}

fn fleet(portolan: &Portolan) -> Value {
    portolan.admin("GET", "/api/v1/status", "").json()["fleet"].clone()
}

fn id(portolan: &Portolan) -> String {
    fleet(portolan)["id"].as_str().expect("an id").to_owned()
}

/// Waits until `portolan` knows of `count` others, none of them missing.
#[track_caller]
fn knows(portolan: &Portolan, count: usize) {
    eventually(|| {
        let fleet = fleet(portolan);
        let fellows = fleet["fellows"].as_array().cloned().unwrap_or_default();
        fellows.len() == count && fellows.iter().all(|it| it["missing_ms"].is_null())
    });
}

fn names(view: &Value) -> Vec<String> {
    let names = view["unconfirmed"].as_array().cloned().unwrap_or_default();
    names.iter().map(|it| it.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn routable_is_said_when_all_route_to_it_and_drained_when_none_does() {
    let etcd = Etcd::start(Version::Newer);
    let one = named("one");
    let all: [Portolan; 3] = proxies(&[etcd.url()]);
    for portolan in &all {
        knows(portolan, 2);
    }
    for round in 0..15 {
        let (asked, other) = (&all[round % 3], &all[(round + 1) % 3]);
        let (status, view) = arrive(asked, "orders/1", one.address, "10s");
        assert_eq!((status, &view["routed"]), (201, &json!(true)), "{view}");
        // At once.
        for portolan in &all {
            assert_eq!(portolan.get("/orders").text(), "one");
        }
        let (status, view) = leave(other, "orders/1", "10s");
        assert_eq!((status, &view["drained"]), (200, &json!(true)), "{view}");
        for portolan in &all {
            assert_ne!(portolan.get("/orders").status(), 200);
        }
    }
    assert_eq!(all[0].metric("portolan_registry_proxies{state=\"present\"}"), 2.0);
}

#[test]
fn what_is_in_flight_elsewhere_is_in_flight() {
    let etcd = Etcd::start(Version::Newer);
    let held = Held::start();
    let [a, b] = proxies(&[etcd.url()]);
    knows(&a, 1);
    let (status, _) = arrive(&a, "orders/1", held.backend.address, "10s");
    assert_eq!(status, 201);
    let mut request = under_way(&b);
    let (status, view) = leave(&a, "orders/1", "700ms");
    assert_eq!((status, &view["drained"]), (202, &json!(false)), "{view}");
    assert_eq!(names(&view), [id(&b)]);
    assert_eq!(view["in_flight"], 1);
    // Nobody was asked, so nobody has confirmed.
    let (_, view) = (0, a.admin("DELETE", &path("orders/1"), "").json());
    assert_eq!((&view["drained"], names(&view)), (&json!(false), vec![id(&b)]));
    held.open();
    assert_eq!(request.read_response().text(), "held");
    let (status, view) = leave(&a, "orders/1", "10s");
    assert_eq!((status, &view["drained"]), (200, &json!(true)), "{view}");
    assert_eq!(view["completed"], 1, "{view}");
}

/// Two proxies, one of which can be cut off, that both route to one instance.
struct Severed {
    a: Portolan,
    b: Portolan,
    /// Between the second and etcd.
    relay: Relay,
    one: Backend,
    _etcd: Etcd,
}

impl Severed {
    fn begin() -> Self {
        let etcd = Etcd::start(Version::Newer);
        let one = named("one");
        let relay = Relay::to(etcd.address);
        let a = Portolan::start(&config(&[etcd.url()]));
        let b = Portolan::start(&config(&[format!("http://{}", relay.address)]));
        knows(&a, 1);
        arrive(&a, "orders/1", one.address, "10s");
        Self { a, b, relay, one, _etcd: etcd }
    }
}

#[test]
fn who_is_cut_off_is_named_and_routes_on() {
    let Severed { relay, a, b, .. } = &Severed::begin();
    relay.cut();
    eventually(|| !fleet(b)["fault"].is_null());
    let (status, view) = leave(a, "orders/1", "700ms");
    assert_eq!((status, names(&view)), (202, vec![id(b)]), "{view}");
    assert_eq!(b.get("/orders").text(), "one");
    // Also once its lease is over.
    eventually(|| !fleet(a)["fellows"][0]["missing_ms"].is_null());
    let (status, view) = leave(a, "orders/1", "700ms");
    assert_eq!((status, names(&view)), (202, vec![id(b)]), "{view}");
    let attention = a.admin("GET", "/api/v1/status", "").json()["attention"].to_string();
    assert!(attention.contains("missing"), "{attention}");
    relay.mend();
    let (status, view) = leave(a, "orders/1", "20s");
    assert_eq!((status, &view["drained"]), (200, &json!(true)), "{view}");
    assert_ne!(b.get("/orders").status(), 200);
}

/// As when packets are lost: neither side is told.
#[test]
fn who_is_cut_off_and_does_not_know_it_is_named_too() {
    let Severed { relay, a, b, one, .. } = &Severed::begin();
    relay.stall();
    let (status, view) = leave(a, "orders/1", "700ms");
    assert_eq!((status, names(&view)), (202, vec![id(b)]), "{view}");
    assert_eq!(b.get("/orders").text(), "one");
    assert_eq!(heartbeat(b, "orders/1"), 200);
    // It cannot write either, and does not say that it has; it may come about
    // later all the same.
    let body = json!({ "address": one.address.to_string() }).to_string();
    assert_eq!(b.admin("PUT", &path("steady/1"), &body).status(), 503);
    relay.mend();
    let (status, view) = leave(a, "orders/1", "20s");
    assert_eq!((status, &view["drained"]), (200, &json!(true)), "{view}");
    assert_ne!(b.get("/orders").status(), 200);
    assert_eq!(heartbeat(b, "orders/1"), 404);
}

#[test]
fn who_was_killed_is_waited_for_and_who_left_is_not() {
    let etcd = Etcd::start(Version::Newer);
    let one = named("one");
    let brief = |urls: &[String]| {
        config(urls).replace("[registry.etcd]\n", "[registry.etcd]\nmissing_for = '3s'\n")
    };
    let a = Portolan::start(&brief(&[etcd.url()]));
    let b = Portolan::spawned(&brief(&[etcd.url()]), |_, _| {});
    let c = Portolan::spawned(&brief(&[etcd.url()]), |_, _| {});
    knows(&a, 2);
    arrive(&a, "orders/1", one.address, "10s");
    let (killed, killed_too) = (id(&b), id(&c));
    b.signal(rustix::process::Signal::KILL);
    let (status, view) = leave(&a, "orders/1", "700ms");
    assert_eq!((status, names(&view)), (202, vec![killed.clone()]), "{view}");
    // Who starts with its data knows that it has ended.
    let c = c.kill_and_start("exec \"$0\" \"$@\"");
    let fellows = || fleet(&a)["fellows"].to_string();
    eventually(|| fellows().contains(&id(&c)));
    assert!(!fellows().contains(&killed_too), "{}", fellows());
    // The other one is not waited for for ever.
    let (status, view) = leave(&a, "orders/1", "25s");
    assert_eq!((status, &view["drained"]), (200, &json!(true)), "{view}");
    assert!(!fellows().contains(&killed));
    // Who stops as it should leaves.
    c.signal(rustix::process::Signal::TERM);
    knows(&a, 0);
    drop(b);
}

#[test]
fn what_the_process_before_has_in_flight_is_in_flight() {
    let etcd = Etcd::start(Version::Newer);
    let held = Held::start();
    let a = Portolan::start(&config(&[etcd.url()]));
    let b = Portolan::spawned(&config(&[etcd.url()]), |_, _| {});
    knows(&a, 1);
    arrive(&a, "orders/1", held.backend.address, "10s");
    let mut request = under_way(&b);
    let before = id(&b);
    b.upgrade();
    knows(&a, 1);
    assert_ne!(id(&b), before);
    let (status, view) = leave(&a, "orders/1", "700ms");
    assert_eq!((status, names(&view)), (202, vec![id(&b)]), "{view}");
    assert_eq!(view["in_flight"], 1);
    held.open();
    assert_eq!(request.read_response().text(), "held");
    let (status, view) = leave(&a, "orders/1", "10s");
    assert_eq!((status, &view["drained"]), (200, &json!(true)), "{view}");
}
