//! A service that fails is given a rest, tried out, and taken back.

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{Backend, Connection, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// An instance that fails until it is mended, and then holds its answers until
/// it is told to go on.
#[derive(Clone, Default)]
struct Patient(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_mended: AtomicBool,
    goes_on: Mutex<bool>,
    told: Condvar,
}

impl Patient {
    fn start(&self) -> Backend {
        let patient = self.clone();
        Backend::start(move |mut accepted| {
            while accepted.request().is_some() {
                let status = if patient.0.is_mended.load(Ordering::SeqCst) {
                    let goes_on = patient.0.goes_on.lock().expect("no panic");
                    drop(patient.0.told.wait_while(goes_on, |goes_on| !*goes_on));
                    "200 OK"
                } else {
                    "500 Broken"
                };
                accepted.send(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nhi"));
            }
        })
    }

    fn mend(&self) {
        self.0.is_mended.store(true, Ordering::SeqCst);
    }

    fn go_on(&self) {
        *self.0.goes_on.lock().expect("no panic") = true;
        self.0.told.notify_all();
    }
}

fn circuit(portolan: &Portolan) -> String {
    let view = portolan.admin("GET", "/api/v1/services/app", "").json();
    view["circuit"]["state"].as_str().expect("a circuit").to_owned()
}

fn attention(portolan: &Portolan) -> String {
    portolan.admin("GET", "/api/v1/status", "").json()["attention"].to_string()
}

#[test]
fn it_opens_refuses_lets_exactly_so_many_try_and_closes() {
    let patient = Patient::default();
    let backend = patient.start();
    let breaker = "breaker = { failure_rate = 50, min_requests = 10, window = '1m', open = '2s', trials = 3 }";
    let portolan = Portolan::with(breaker, backend.address);
    assert_eq!(circuit(&portolan), "closed");
    for _ in 0..10 {
        assert_eq!(portolan.get("/").status(), 500);
    }
    patient.mend();
    // At once, without asking the instance, and for how much longer.
    let refused = portolan.get("/");
    assert_eq!((refused.status(), &*refused.reason()), (503, "circuit_open"));
    let seconds: u64 = refused.field("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert_eq!(backend.requests().len(), 10);
    assert_eq!(portolan.metric("portolan_service_circuit_open{service=\"app\"}"), 1.0);
    assert_eq!(portolan.metric("portolan_service_circuit_openings_total{service=\"app\"}"), 1.0);
    assert!(attention(&portolan).contains("app: the circuit is"), "{}", attention(&portolan));
    // A reload or a registration does not close it.
    portolan.register("other/a", backend.address);
    let text = std::fs::read_to_string(portolan.config_file()).expect("a file");
    assert_eq!(portolan.reload(&text.replace("'1m'", "'2m'")).status(), 200);
    assert_eq!(portolan.metric("portolan_service_circuit_open{service=\"app\"}"), 1.0);

    // After its rest three get through, whatever worker they are on.
    eventually(|| circuit(&portolan) == "half_open");
    let mut clients: Vec<Connection> = (0..12).map(|_| portolan.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    eventually(|| portolan.ended("circuit_open") >= 10.0);
    eventually(|| backend.requests().len() == 13);
    assert_eq!(portolan.in_flight("app"), 3);
    assert_eq!(portolan.get("/").reason(), "circuit_open");
    patient.go_on();
    let served = clients.iter_mut().filter_map(|client| {
        let answer = client.read_response();
        (answer.status() == 200).then_some(answer)
    });
    assert_eq!(served.count(), 3);
    eventually(|| circuit(&portolan) == "closed");
    for _ in 0..20 {
        assert_eq!(portolan.get("/").status(), 200);
    }
    eventually(|| !attention(&portolan).contains("circuit"));
}

#[test]
fn a_trial_whose_client_leaves_makes_room_for_another() {
    let patient = Patient::default();
    let backend = patient.start();
    let breaker = "breaker = { failure_rate = 50, min_requests = 1, open = '300ms', trials = 1 }";
    let portolan = Portolan::with(breaker, backend.address);
    assert_eq!(portolan.get("/").status(), 500);
    patient.mend();
    eventually(|| circuit(&portolan) == "half_open");
    let mut client = portolan.connect();
    client.send(GET);
    eventually(|| portolan.in_flight("app") == 1);
    assert_eq!(portolan.get("/").reason(), "circuit_open");
    drop(client);
    eventually(|| portolan.in_flight("app") == 0);
    patient.go_on();
    eventually(|| portolan.get("/").status() == 200);
    assert_eq!(circuit(&portolan), "closed");
}

#[test]
fn a_bad_trial_opens_it_again() {
    let backend = Patient::default().start();
    let breaker = "breaker = { failure_rate = 50, min_requests = 5, open = '300ms', trials = 2 }";
    let portolan = Portolan::with(breaker, backend.address);
    let openings = || portolan.metric("portolan_service_circuit_openings_total{service=\"app\"}");
    for round in 1..4 {
        eventually(|| {
            portolan.get("/");
            openings() == f64::from(round)
        });
        assert_eq!(backend.requests().len(), 4 + round as usize);
    }
}

#[test]
fn without_one_nothing_is_refused() {
    let backend = Patient::default().start();
    let portolan = Portolan::before(backend.address);
    for _ in 0..50 {
        assert_eq!(portolan.get("/").status(), 500);
    }
    let view = portolan.admin("GET", "/api/v1/services/app", "").json();
    assert!(view["circuit"].is_null());
}
