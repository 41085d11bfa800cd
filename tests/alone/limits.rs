//! Limits are totals over all workers, and what is above them is told so.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use crate::support::{Backend, Connection, Ending, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// Instances hold their answers until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.0.lock().expect("no panic");
        drop(self.0.1.wait_while(open, |open| !*open).expect("no panic"));
    }

    fn backend(&self) -> Backend {
        let gate = self.clone();
        Backend::start(move |mut accepted| {
            while accepted.request().is_some() {
                gate.wait();
                accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
            }
        })
    }
}

fn start(workers: u32, listener: &str, service: &str, backend: &Backend) -> Portolan {
    Portolan::start(&format!(
        "workers = {workers}\n[[listener]]\n{listener}\n\
         [service.app]\nendpoints = ['{}']\n{service}\n[[route]]\nservice = 'app'",
        backend.address
    ))
}

/// Begins `count` requests, each over a connection of its own, one after the
/// other.
fn begin(portolan: &Portolan, count: u32) -> Vec<Connection> {
    let mut clients = Vec::new();
    for number in 1..=count {
        let mut client = portolan.connect();
        client.send(GET);
        eventually(|| portolan.metric("portolan_requests_in_flight") >= f64::from(number));
        clients.push(client);
    }
    clients
}

#[test]
fn max_connections_is_a_total_over_workers() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let portolan = start(4, "max_connections = 2", "", &backend);
    let mut open: Vec<Connection> = Vec::new();
    // Whatever worker the kernel gives a connection to, two are served.
    for _ in 0..10 {
        open.clear();
        eventually(|| portolan.metric(&open_connections(&portolan)) == 0.0);
        for _ in 0..2 {
            let mut client = portolan.connect();
            assert_eq!(client.exchange(GET).text(), "hi");
            open.push(client);
        }
    }
    let mut third = portolan.connect();
    third.send(GET);
    assert!(third.is_silent_for(Duration::from_millis(500)));
    assert_eq!(backend.requests().len(), 20);
    // Room for one is room for the one that waits.
    open.pop();
    assert_eq!(third.read_response().text(), "hi");
}

#[test]
fn max_connections_can_be_changed_while_connections_are_open() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let config = |most: u32| {
        format!(
            "[[listener]]\nmax_connections = {most}\n\
             [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
            backend.address
        )
    };
    let portolan = Portolan::start(&config(1));
    let served = || {
        let mut client = portolan.connect();
        assert_eq!(client.exchange(GET).text(), "hi");
        client
    };
    let waits = || {
        let mut client = portolan.connect();
        client.send(GET);
        assert!(client.is_silent_for(Duration::from_millis(500)));
        client
    };
    let mut open = vec![served()];
    let mut second = waits();
    assert_eq!(portolan.reload(&config(3)).status(), 200);
    assert_eq!(second.read_response().text(), "hi", "the one that waits");
    open.push(second);
    open.push(served());
    // Nobody is cut; what closes makes no room until they are few enough.
    assert_eq!(portolan.reload(&config(1)).status(), 200);
    for client in &mut open {
        assert_eq!(client.exchange(GET).text(), "hi");
    }
    open.truncate(1);
    eventually(|| portolan.metric(&open_connections(&portolan)) == 1.0);
    let mut next = waits();
    open.clear();
    assert_eq!(next.read_response().text(), "hi");
}

fn open_connections(portolan: &Portolan) -> String {
    format!("portolan_connections{{listener=\"{}\"}}", portolan.address())
}

#[test]
fn concurrency_and_queue_are_totals_over_workers() {
    let gate = Gate::default();
    let backend = gate.backend();
    let service = "limits = { concurrency = 2, queue = 3 }\ntimeouts = { queue = '1h' }";
    let portolan = start(4, "", service, &backend);
    let mut clients = begin(&portolan, 5);
    for _ in 0..5 {
        let answer = portolan.get("/");
        assert_eq!((answer.status(), &*answer.reason()), (503, "overload"));
        assert!(matches!(answer.field("retry-after"), Some("1" | "2")), "{answer:?}");
    }
    eventually(|| backend.requests().len() == 2);
    assert_eq!(portolan.in_flight("app"), 2);
    gate.open();
    // A place that is free on one worker is given to who waits on any.
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "hi");
    }
    assert_eq!(portolan.ended("overload"), 5.0);
    assert_eq!(portolan.get("/").status(), 200);
}

#[test]
fn without_a_queue_nobody_waits() {
    let gate = Gate::default();
    let backend = gate.backend();
    let portolan = start(2, "", "limits = { concurrency = 1, queue = 0 }", &backend);
    let mut first = begin(&portolan, 1);
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (503, "overload"));
    gate.open();
    assert_eq!(first[0].read_response().status(), 200);
}

#[test]
fn a_place_is_free_when_the_last_byte_has_gone() {
    let gate = Gate::default();
    let backend = {
        let gate = gate.clone();
        Backend::start(move |mut accepted| {
            while accepted.request().is_some() {
                accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
                gate.wait();
                accepted.send("lf");
            }
        })
    };
    let portolan = start(2, "", "limits = { concurrency = 1, queue = 0 }", &backend);
    let mut client = portolan.connect();
    client.send(GET);
    let mut answer = client.read_head().expect("a head");
    assert_eq!(portolan.get("/").reason(), "overload");
    assert_eq!(portolan.in_flight("app"), 1);
    gate.open();
    client.read_body(&mut answer, false);
    assert!(answer.complete);
    eventually(|| portolan.in_flight("app") == 0);
    assert_eq!(portolan.get("/").text(), "half");
}

#[test]
fn max_target_size() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = start(1, "max_target_size = '100B'", "", &backend);
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(portolan.get(&target(100)).status(), 200);
    let answer = portolan.get(&target(101));
    assert_eq!((answer.status(), &*answer.reason()), (414, "target_too_long"));
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn max_head_fields() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = start(1, "max_head_fields = 10", "", &backend);
    let ask = |fields: usize| {
        // With Host.
        let fields: String = (1..fields).map(|number| format!("x-{number}: 1\r\n")).collect();
        portolan.exchange(format!("GET / HTTP/1.1\r\nhost: test\r\n{fields}\r\n"))
    };
    assert_eq!(ask(10).status(), 200);
    let answer = ask(11);
    assert_eq!((answer.status(), &*answer.reason()), (431, "head_too_large"));
    assert_eq!(portolan.logged_reason("head_too_large")["status"], 431);
    eventually(|| portolan.ended("head_too_large") == 1.0);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn max_head_size() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    for (size, fits, not) in [("64KiB", 60_000, 70_000), ("4KiB", 3500, 5000)] {
        let portolan = start(1, &format!("max_head_size = '{size}'"), "", &backend);
        let ask = |length: usize| {
            let mut client = portolan.connect();
            let value = "a".repeat(length);
            let answer =
                client.exchange(format!("GET / HTTP/1.1\r\nhost: test\r\nx-a: {value}\r\n\r\n"));
            (answer.status(), client)
        };
        assert_eq!(ask(fits).0, 200, "{size}");
        let (status, mut client) = ask(not);
        assert_eq!(status, 431, "{size}");
        assert!(matches!(client.wait_for_end(), Ending::Closed | Ending::Reset));
        eventually(|| portolan.ended("head_too_large") == 1.0);
    }
    assert_eq!(backend.requests().len(), 2);
}
