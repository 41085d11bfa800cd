//! What is sent again, where, and above all what is not.

use std::net::SocketAddr;

use crate::support::{Backend, Echo, Portolan, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn request(method: &str) -> String {
    let body = if matches!(method, "POST" | "PUT" | "PATCH") { "body" } else { "" };
    let length = body.len();
    format!("{method} / HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// One worker, so that a test knows which idle connections there are.
fn before(addresses: &[SocketAddr], service: &str) -> Portolan {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    Portolan::start(&format!(
        "workers = 1\n[service.app]\nbalance = 'round_robin'\nendpoints = {addresses:?}\n\
         {service}\n[[route]]\nservice = 'app'"
    ))
}

#[test]
fn a_refused_connection_costs_the_client_nothing() {
    let echo = Echo::start("one");
    let portolan = before(&[Backend::refusing(), echo.address()], "");
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        for _ in 0..4 {
            let answer = portolan.exchange(request(method));
            assert_eq!(answer.status(), 200, "{method}");
            assert_eq!(answer.json()["body"].as_str().map(str::len), Some(body_length(method)));
        }
    }
    assert_eq!(echo.requests().len(), 20);
    assert!(portolan.metric("portolan_upstream_retries_total{service=\"app\"}") >= 5.0);
    assert!(portolan.logged(20).iter().any(|line| line["attempts"] == 2));
}

fn body_length(method: &str) -> usize {
    if matches!(method, "POST" | "PUT" | "PATCH") { 4 } else { 0 }
}

#[test]
fn when_all_refuse_the_client_is_told() {
    let refusing = [Backend::refusing(), Backend::refusing(), Backend::refusing()];
    let portolan = before(&refusing, "retries = 1");
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (502, "connect_refused"));
    assert_eq!(portolan.logged(1)[0]["attempts"], 2);
    let portolan = before(&refusing, "retries = 5");
    portolan.get("/");
    assert_eq!(portolan.logged(1)[0]["attempts"], 3);
    let portolan = before(&refusing, "retries = 0");
    portolan.get("/");
    assert_eq!(portolan.logged(1)[0]["attempts"], 1);
}

/// An instance whose first connection answers one request, reads another and
/// ends without a word; the others answer.
fn forgetful() -> Backend {
    Backend::start(|mut accepted| {
        accepted.request();
        accepted.send(OK);
        while accepted.request().is_some() && accepted.number > 1 {
            accepted.send(OK);
        }
    })
}

#[test]
fn a_safe_request_is_sent_again_when_its_idle_connection_ends() {
    for method in ["GET", "OPTIONS"] {
        let backend = forgetful();
        let portolan = before(&[backend.address], "");
        let mut client = portolan.connect();
        for _ in 0..3 {
            assert_eq!(client.exchange(request(method)).text(), "hi", "{method}");
        }
        assert_eq!((backend.connections(), backend.requests().len()), (2, 4));
    }
}

#[test]
fn an_unsafe_request_is_never_sent_twice() {
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let backend = forgetful();
        let other = forgetful();
        let portolan = before(&[backend.address, other.address], "retries = 5");
        let mut client = portolan.connect();
        for _ in 0..2 {
            assert_eq!(client.exchange(request(method)).text(), "hi");
        }
        let answer = portolan.exchange(request(method));
        assert_eq!((answer.status(), &*answer.reason()), (502, "upstream_reset"), "{method}");
        assert_eq!(backend.requests().len() + other.requests().len(), 3, "{method}");
    }
}

#[test]
fn a_get_with_a_body_is_never_sent_twice() {
    let backend = forgetful();
    let portolan = before(&[backend.address], "retries = 5");
    let with_body = "GET / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody";
    assert_eq!(portolan.exchange(with_body).text(), "hi");
    assert_eq!(portolan.exchange(with_body).reason(), "upstream_reset");
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_connection_that_ended_while_idle_is_not_used() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send(OK);
    });
    let portolan = before(&[backend.address], "");
    for number in 1..=5 {
        // POST: it could not be sent again.
        assert_eq!(portolan.exchange(request("POST")).text(), "hi");
        eventually(|| backend.open() == 0 && backend.connections() == number);
    }
    assert_eq!(backend.requests().len(), 5);
}

#[test]
fn a_safe_request_goes_elsewhere_when_a_fresh_connection_ends() {
    let breaking = Backend::start(|mut accepted| {
        accepted.request();
    });
    let echo = Echo::start("one");
    let portolan = before(&[breaking.address, echo.address()], "");
    for _ in 0..4 {
        assert_eq!(portolan.exchange(request("GET")).status(), 200);
    }
    let statuses = (0..4).map(|_| portolan.exchange(request("POST")).status());
    let statuses: Vec<_> = statuses.collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
    let posts = |requests: &[crate::support::Message]| {
        requests.iter().filter(|request| request.method() == "POST").count()
    };
    assert_eq!(posts(&breaking.requests()) + posts(&echo.requests()), 4);
}

#[test]
fn nothing_is_sent_again_after_a_timeout() {
    let stalling = || {
        Backend::start(|mut accepted| {
            accepted.request();
            accepted.connection.wait_for_end();
        })
    };
    let (one, two) = (stalling(), stalling());
    let addresses = [one.address, two.address];
    let portolan = before(&addresses, "retries = 5\ntimeouts = { response = '300ms' }");
    assert_eq!(portolan.get("/").reason(), "response_timeout");
    assert_eq!(one.requests().len() + two.requests().len(), 1);
}

#[test]
fn nothing_is_sent_again_after_an_answer_that_is_not_http() {
    let (one, two) = (Backend::answering("hello\r\n\r\n"), Backend::answering("hello\r\n\r\n"));
    let portolan = before(&[one.address, two.address], "retries = 5");
    assert_eq!(portolan.get("/").reason(), "upstream_protocol_error");
    assert_eq!(one.requests().len() + two.requests().len(), 1);
}
