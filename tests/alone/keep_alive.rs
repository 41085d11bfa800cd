//! Connections are kept, on both sides, for as long as both want.

use std::{thread::sleep, time::Duration};

use crate::support::{Accepted, Backend, Echo, Ending, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

#[test]
fn many_requests_share_one_connection_on_either_side() {
    let echo = Echo::start("one");
    let portolan = Portolan::before(echo.address());
    let mut client = portolan.connect();
    for _ in 0..20 {
        assert_eq!(client.exchange(GET).json()["name"], "one");
    }
    assert_eq!(echo.requests().len(), 20);
    assert_eq!(echo.connections(), 1);
}

#[test]
fn a_client_that_asks_to_close_is_closed_and_the_instance_is_not() {
    let echo = Echo::start("one");
    let portolan = Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        echo.address()
    ));
    for _ in 0..3 {
        let mut client = portolan.connect();
        let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(client.wait_for_end(), Ending::Closed);
    }
    assert_eq!(echo.connections(), 1);
}

#[test]
fn an_instance_that_closes_costs_the_client_nothing() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi");
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..3 {
        let answer = client.exchange(GET);
        assert_eq!(answer.text(), "hi");
        assert_eq!(answer.field("connection"), None);
        eventually(|| backend.open() == 0);
    }
    assert_eq!(backend.connections(), 3);
}

const POST: &str = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi";

/// An instance that answers with `fields`, and closes a connection that has
/// been idle for `patience`.
fn impatient(fields: &'static str, patience: Duration) -> Backend {
    Backend::start(move |mut accepted: Accepted| {
        while !accepted.connection.is_silent_for(patience) {
            if accepted.request().is_none() {
                return;
            }
            accepted.send(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nhi"));
        }
    })
}

fn one_worker(backend: &Backend) -> Portolan {
    Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    ))
}

#[test]
fn a_connection_is_not_used_when_the_instance_is_about_to_close_it() {
    let backend = impatient("keep-alive: timeout=3\r\n", Duration::from_secs(3));
    let portolan = one_worker(&backend);
    let mut client = portolan.connect();
    for number in 1..=3 {
        let answer = client.exchange(POST);
        assert_eq!((&*answer.text(), answer.field("keep-alive")), ("hi", None));
        assert_eq!(backend.connections(), number);
        // The instance would still take another one.
        sleep(Duration::from_millis(2800));
    }
}

#[test]
fn a_connection_that_the_instance_keeps_for_long_is_used_for_long() {
    for fields in ["", "keep-alive: timeout=60, max=1000\r\nconnection: keep-alive\r\n"] {
        let backend = impatient(fields, Duration::from_secs(60));
        let portolan = one_worker(&backend);
        let mut client = portolan.connect();
        for _ in 0..3 {
            assert_eq!(client.exchange(POST).text(), "hi");
            sleep(Duration::from_millis(1600));
        }
        assert_eq!(backend.connections(), 1, "{fields:?}");
    }
}

#[test]
fn how_long_an_instance_keeps_a_connection_is_learned_from_what_it_does() {
    let backend = impatient("", Duration::from_secs(3));
    let portolan = one_worker(&backend);
    let mut client = portolan.connect();
    assert_eq!(client.exchange(POST).text(), "hi");
    eventually(|| backend.connections() == 1 && backend.open() == 0);
    for number in 2..=3 {
        assert_eq!(client.exchange(POST).text(), "hi");
        assert_eq!(backend.connections(), number);
        sleep(Duration::from_millis(2800));
    }
}
