//! `Expect: 100-continue` (RFC 9110 section 10.1.1): the instance decides
//! whether the body is sent at all.

use std::time::Duration;

use crate::support::{
    Backend, Portolan,
    http2::{self, Http2},
};

const HEAD: &str =
    "POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";

#[test]
fn the_body_flows_once_the_instance_says_so() {
    let backend = Backend::start(|mut accepted| {
        let mut request = accepted.head().expect("a head");
        assert_eq!(request.field("expect"), Some("100-continue"));
        accepted.send("HTTP/1.1 100 Continue\r\n\r\n");
        accepted.connection.read_body(&mut request, false);
        let body = request.text();
        accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{body}"));
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send(HEAD);
    assert_eq!(client.read_head().expect("a head").status(), 100);
    let answer = client.exchange("hello");
    assert_eq!((answer.status(), answer.text()), (200, "hello".to_owned()));
}

#[test]
fn an_instance_that_refuses_gets_no_body() {
    for status in [417, 413, 401] {
        let backend = Backend::start(move |mut accepted| {
            accepted.head();
            accepted.send(format!("HTTP/1.1 {status} No\r\ncontent-length: 2\r\n\r\nno"));
            let (body, _) = accepted.connection.read_to_end();
            assert_eq!(body, b"");
        });
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        client.send(HEAD);
        let answer = client.read_response();
        assert_eq!((answer.status(), answer.text()), (status, "no".to_owned()));
        let line = &portolan.logged(1)[0];
        assert_eq!((&line["reason"], &line["bytes_in"]), (&"ok".into(), &0.into()));
    }
}

#[test]
fn b9_nothing_is_held_for_a_client_of_http_2() {
    let backend = Backend::start(|mut accepted| {
        let mut request = accepted.head().expect("a head");
        assert_eq!(request.field("expect"), None);
        accepted.connection.read_body(&mut request, false);
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    });
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    let mut request = http2::post("/");
    request.headers_mut().insert("expect", http::HeaderValue::from_static("100-Continue"));
    let answer = client.exchange(request.clone(), b"hello").expect("an answer");
    assert_eq!((answer.status(), answer.text()), (200, "hi".to_owned()));
    // Another expectation is refused as in HTTP/1.1.
    request.headers_mut().insert("expect", http::HeaderValue::from_static("tea"));
    assert_eq!(client.exchange(request, b"hello").expect("an answer").status(), 417);
}

#[test]
fn an_instance_that_says_nothing_gets_the_body_after_a_while() {
    let backend = Backend::start(|mut accepted| {
        let mut request = accepted.head().expect("a head");
        let waited = accepted.connection.is_silent_for(Duration::from_millis(300));
        accepted.connection.read_body(&mut request, false);
        let body = request.text();
        accepted
            .send(format!("HTTP/1.1 200 OK\r\nx-waited: {waited}\r\ncontent-length: 5\r\n\r\n"));
        accepted.send(body);
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send(HEAD);
    assert_eq!(client.read_head().expect("a head").status(), 100);
    let answer = client.exchange("hello");
    assert_eq!((answer.field("x-waited"), &*answer.text()), (Some("true"), "hello"));
}

#[test]
fn a_client_that_does_not_wait_is_served_all_the_same() {
    let backend = Backend::start(|mut accepted| {
        let mut request = accepted.head().expect("a head");
        accepted.send("HTTP/1.1 100 Continue\r\n\r\n");
        accepted.connection.read_body(&mut request, false);
        let body = request.text();
        accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{body}"));
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send(format!("{HEAD}hello"));
    let mut answer = client.read_head().expect("a head");
    if answer.status() == 100 {
        answer = client.read_head().expect("a head");
    }
    client.read_body(&mut answer, false);
    assert_eq!((answer.status(), answer.text()), (200, "hello".to_owned()));
}

#[test]
fn a_body_that_nobody_asked_for_is_not_taken_for_the_next_request() {
    let backend = Backend::start(|mut accepted| {
        while accepted.head().is_some() {
            accepted.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client
        .send("POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    let answer = client.read_response();
    assert_eq!((answer.status(), answer.field("connection")), (401, Some("close")));
    assert_eq!(client.wait_for_end(), crate::support::Ending::Closed);
}
