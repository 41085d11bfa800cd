//! HEAD, 204 and 304 have no body whatever their head says (RFC 9110 sections
//! 9.3.2 and 15.4.5), and HTTP/1.0 clients get what HTTP/1.0 knows.

use crate::support::{Backend, Ending, Portolan};

#[test]
fn a_response_to_head_has_the_fields_of_one_to_get() {
    for (fields, length, coding) in [
        ("content-length: 12345\r\n", Some("12345"), None),
        // What is not known stays unknown: 0 would be wrong.
        ("transfer-encoding: chunked\r\n", None, Some("chunked")),
        ("", None, None),
    ] {
        let backend = Backend::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        for _ in 0..2 {
            client.send("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n");
            let answer = client.read_head().expect("a head");
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.field("content-length"), length, "{fields:?}: {answer:?}");
            if coding.is_none() {
                assert_eq!(answer.field("transfer-encoding"), None, "{answer:?}");
            }
        }
        assert!(client.is_silent_for(std::time::Duration::from_millis(100)));
        assert_eq!(backend.requests()[0].method(), "HEAD");
        assert_eq!(portolan.logged(2)[0]["reason"], "ok");
    }
}

#[test]
fn no_content_and_not_modified_have_no_body() {
    for (status, fields, length) in [
        (204, "", None),
        (304, "etag: \"1\"\r\n", None),
        // It may be left out (RFC 9110 section 15.4.5), and hyper does.
        (304, "etag: \"1\"\r\ncontent-length: 999\r\n", None),
    ] {
        let backend = Backend::answering(format!("HTTP/1.1 {status} Status\r\n{fields}\r\n"));
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        for _ in 0..3 {
            let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
            assert_eq!(answer.status(), status);
            assert_eq!(answer.field("content-length"), length, "{answer:?}");
            assert_eq!(answer.field("transfer-encoding"), None);
        }
        assert_eq!(backend.connections(), 1);
        assert_eq!(portolan.logged(3)[2]["reason"], "ok");
    }
}

#[test]
fn a_body_sent_to_head_is_dropped_with_its_connection() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong");
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..3 {
        client.send("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n");
        let answer = client.read_head().expect("a head");
        assert_eq!((answer.status(), answer.field("content-length")), (200, Some("5")));
    }
    assert_eq!(backend.requests().len(), 3);
}

#[test]
fn http_1_0_gets_no_chunks_and_a_closed_connection() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
    );
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("GET /old HTTP/1.0\r\n\r\n");
    let answer = client.read_response();
    assert!(answer.complete && answer.text() == "onetwo", "{answer:?}");
    assert!(answer.start.starts_with("HTTP/1.0 200"), "{answer:?}");
    let request = backend.only_request();
    assert_eq!(request.start, "GET /old HTTP/1.1");
    assert_eq!(request.field("host"), Some(&*backend.address.to_string()));
    assert_eq!(portolan.logged(1)[0]["reason"], "ok");
}

#[test]
fn http_1_0_may_keep_its_connection() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..3 {
        let answer =
            client.exchange("GET / HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\n\r\n");
        assert_eq!(answer.text(), "hi");
        assert!(answer.field("connection").is_some_and(|v| v.eq_ignore_ascii_case("keep-alive")));
    }
    let answer = client.exchange("GET / HTTP/1.0\r\nhost: test\r\n\r\n");
    assert_eq!(answer.text(), "hi");
    assert_eq!(client.wait_for_end(), Ending::Closed);
}

#[test]
fn an_instance_that_speaks_http_1_0_is_understood() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..2 {
        let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        assert!(answer.complete && answer.text() == "until the end", "{answer:?}");
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    }
}
