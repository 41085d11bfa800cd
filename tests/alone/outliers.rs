//! What requests see of an instance decides whether it gets the next ones.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::{Backend, Echo, Portolan, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
const BROKEN: &str = "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n";

/// The service `app` before `addresses`, with the defaults that it has outside
/// of tests and `service` on top.
fn before(addresses: &[SocketAddr], service: &str) -> Portolan {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Portolan::start(&format!(
        "[defaults]\noutlier = {{}}\n[service.app]\nbalance = 'round_robin'\n\
         endpoints = {addresses:?}\n{service}\n[[route]]\nservice = 'app'"
    ))
}

fn service(portolan: &Portolan) -> Value {
    portolan.admin("GET", "/api/v1/services/app", "").json()
}

fn instance(portolan: &Portolan, address: SocketAddr) -> Value {
    let view = service(portolan);
    let instances = view["instances"].as_array().expect("instances");
    let found = instances.iter().find(|instance| instance["id"] == address.to_string());
    found.expect("an instance").clone()
}

fn explained(portolan: &Portolan, address: SocketAddr) -> String {
    let path = "/api/v1/explain?url=http%3A%2F%2Ftest%2F";
    let view = portolan.admin("GET", path, "").json();
    let instances = view["service"]["instances"].as_array().expect("instances").clone();
    let found = instances.into_iter().find(|instance| instance["id"] == address.to_string());
    found.expect("an instance")["why"].as_str().expect("why").to_owned()
}

fn kinds(portolan: &Portolan) -> Vec<String> {
    let mut stream = portolan.connect_admin();
    stream.send(format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\nlast-event-id: 0-0\r\n\r\n",
        portolan.admin
    ));
    let mut text = String::new();
    while !stream.is_silent_for(Duration::from_millis(300)) {
        text += &String::from_utf8_lossy(&stream.read().expect("events"));
    }
    let events = text.lines().filter_map(|line| line.strip_prefix("event: "));
    events.map(str::to_owned).collect()
}

impl Portolan {
    fn connect_admin(&self) -> crate::support::Connection {
        crate::support::Connection::open(self.admin)
    }
}

/// Long enough that only a probe after a refusal can be in time.
const SELDOM: &str = "health = { kind = 'tcp', interval = '1h', unhealthy_after = 1000 }";

#[test]
fn the_first_refused_connection_takes_a_probed_instance_out() {
    let (dying, other) = (Backend::answering(OK), Echo::start("other"));
    let portolan = before(&[dying.address, other.address()], SELDOM);
    eventually(|| service(&portolan)["routable"] == 2);
    let address = dying.address;
    drop(dying);
    // Not one request fails, and after the first that was refused none is.
    eventually(|| {
        assert_eq!(portolan.get("/").status(), 200);
        service(&portolan)["routable"] == 1
    });
    let view = instance(&portolan, address);
    assert_eq!((&view["state"], &view["ejected"]), (&"unhealthy".into(), &Value::Null));
    let why = explained(&portolan, address);
    assert!(why.contains("refused"), "{why}");
    let retried = portolan.metric("portolan_upstream_retries_total{service=\"app\"}");
    for _ in 0..20 {
        assert_eq!(portolan.get("/").status(), 200);
    }
    assert_eq!(portolan.metric("portolan_upstream_retries_total{service=\"app\"}"), retried);
    assert!(kinds(&portolan).contains(&"refused".to_owned()));
    // It is back at the same address, and found long before the next hour.
    let back = TcpListener::bind(address).expect("the port is free");
    thread::spawn(move || {
        for stream in back.incoming() {
            drop(stream)
        }
    });
    eventually(|| instance(&portolan, address)["state"] == "healthy");
}

#[test]
fn an_instance_that_nobody_probes_is_ejected_for_a_time() {
    let (refusing, other) = (Backend::refusing(), Echo::start("other"));
    let portolan = before(
        &[refusing, other.address()],
        "outlier = { base_ejection = '1s', max_ejection = '1s' }",
    );
    eventually(|| {
        assert_eq!(portolan.get("/").status(), 200);
        !instance(&portolan, refusing)["ejected"].is_null()
    });
    let view = instance(&portolan, refusing);
    assert_eq!((&view["state"], &view["routable"]), (&"healthy".into(), &false.into()));
    assert_eq!(view["ejected"]["cause"], "connect_refused");
    let why = explained(&portolan, refusing);
    assert!(why.starts_with("ejected for another"), "{why}");
    assert!(why.ends_with("connect refused on the request path"), "{why}");
    let count = "portolan_service_ejections_total{service=\"app\",cause=\"connect_refused\"}";
    assert!(portolan.metric(count) >= 1.0);
    eventually(|| instance(&portolan, refusing)["routable"] == true);
    let kinds = kinds(&portolan);
    assert!(["ejected", "returned"].iter().all(|kind| kinds.contains(&(*kind).to_owned())));
    // And out again, since it still refuses.
    eventually(|| {
        assert_eq!(portolan.get("/").status(), 200);
        portolan.metric(count) >= 2.0
    });
}

#[test]
fn who_resets_again_and_again_is_ejected_and_an_edit_changes_nothing() {
    let breaking = Backend::start(|mut accepted| {
        accepted.request();
    });
    let other = Echo::start("other");
    let portolan = before(&[breaking.address, other.address()], "");
    eventually(|| {
        // GET is sent elsewhere; that it had to be is what counts.
        assert_eq!(portolan.get("/").status(), 200);
        !instance(&portolan, breaking.address)["ejected"].is_null()
    });
    let ejected = &instance(&portolan, breaking.address)["ejected"];
    assert_eq!(ejected["cause"], "consecutive_failures");
    let attention = portolan.admin("GET", "/api/v1/status", "").json()["attention"].clone();
    assert_eq!(attention[0], "app: 1 of 2 instances are ejected");
    assert_eq!(portolan.metric("portolan_service_ejected_instances{service=\"app\"}"), 1.0);
    let asked = breaking.requests().len();
    portolan.register("elsewhere/a", other.address());
    let text = std::fs::read_to_string(portolan.config_file()).expect("a file");
    assert_eq!(portolan.reload(&text.replace("round_robin", "random")).status(), 200);
    for _ in 0..20 {
        assert_eq!(portolan.exchange("POST / HTTP/1.1\r\nhost: test\r\n\r\n").status(), 200);
    }
    assert_eq!(breaking.requests().len(), asked);
    assert!(!instance(&portolan, breaking.address)["ejected"].is_null());
}

#[test]
fn an_answer_of_which_the_client_is_spared_is_no_broken_connection() {
    let (broken, fine) = (Backend::answering(BROKEN), Backend::answering(OK));
    let portolan = before(
        &[broken.address, fine.address],
        "retry = { on_status = [500], budget_percent = 100 }",
    );
    for _ in 0..40 {
        assert_eq!(portolan.get("/").status(), 200);
    }
    assert!(broken.requests().len() > 10);
    assert!(instance(&portolan, broken.address)["ejected"].is_null());
}

#[test]
fn the_last_one_is_never_ejected() {
    let refusing = Backend::refusing();
    let portolan = before(&[refusing], "");
    for _ in 0..20 {
        assert_eq!(portolan.get("/").reason(), "connect_refused");
    }
    assert_eq!(instance(&portolan, refusing)["routable"], true);
}

#[test]
fn server_errors_and_the_share_of_successes_count_if_asked_for() {
    for outlier in [
        "consecutive_5xx = 5",
        "success_rate = 30, min_requests = 10, window = '30s', consecutive_failures = 0",
    ] {
        let broken = Backend::answering(BROKEN);
        let (one, two) = (Backend::answering(OK), Backend::answering(OK));
        let addresses = [broken.address, one.address, two.address];
        let portolan = before(&addresses, &format!("outlier = {{ {outlier} }}"));
        let mut client = portolan.connect();
        eventually(|| {
            client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
            !instance(&portolan, broken.address)["ejected"].is_null()
        });
        let cause = instance(&portolan, broken.address)["ejected"]["cause"].clone();
        assert!(cause.as_str().is_some_and(|cause| outlier.starts_with(cause)), "{cause}");
        for _ in 0..30 {
            assert_eq!(client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n").status(), 200);
        }
    }
    // Not asked for, they are the client's.
    let (broken, fine) = (Backend::answering(BROKEN), Backend::answering(OK));
    let portolan = before(&[broken.address, fine.address], "");
    for _ in 0..40 {
        portolan.get("/");
    }
    assert_eq!(service(&portolan)["routable"], 2);
    assert!(broken.requests().len() >= 10);
}

#[test]
fn the_slow_one_is_left_out() {
    let slow = Backend::start(|mut accepted| {
        while accepted.request().is_some() {
            thread::sleep(Duration::from_millis(500));
            accepted.send(OK);
        }
    });
    let fast: Vec<_> = (0..3).map(|_| Backend::answering(OK)).collect();
    let mut addresses = vec![slow.address];
    addresses.extend(fast.iter().map(|backend| backend.address));
    let portolan = before(
        &addresses,
        "outlier = { latency = 3, min_requests = 5, window = '1m', base_ejection = '1h', max_ejection = '1h' }",
    );
    let ejected = || !instance(&portolan, slow.address)["ejected"].is_null();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = portolan.connect();
                eventually(|| {
                    client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
                    ejected()
                });
            });
        }
    });
    let view = instance(&portolan, slow.address);
    assert_eq!(view["ejected"]["cause"], "latency", "{view}");
    let asked = slow.requests().len();
    let mut client = portolan.connect();
    for _ in 0..40 {
        assert_eq!(client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n").text(), "hi");
    }
    assert_eq!(slow.requests().len(), asked);
}
