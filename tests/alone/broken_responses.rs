//! A response that breaks off at the instance breaks off at the client: it is
//! never made to look complete.

use crate::support::{Accepted, Backend, Portolan, eventually};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n";
const COUNTED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegin";
const UNTIL_END: &str = "HTTP/1.1 200 OK\r\n\r\nbegin";

/// An instance that sends `head` and then ends, by a reset or in peace.
fn breaking(head: &'static str, reset: bool) -> Backend {
    Backend::start(move |mut accepted: Accepted| {
        accepted.request();
        accepted.send(head);
        // What was sent is to arrive before the end.
        std::thread::sleep(std::time::Duration::from_millis(100));
        if reset {
            accepted.connection.reset();
        }
    })
}

#[test]
fn a_response_that_breaks_off_is_not_complete() {
    for (head, reset) in
        [(CHUNKED, false), (CHUNKED, true), (COUNTED, false), (COUNTED, true), (UNTIL_END, true)]
    {
        let backend = breaking(head, reset);
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!((answer.status(), &*answer.text()), (200, "begin"));
        assert!(!answer.complete, "{head:?}");
        client.wait_for_end();
        let line = portolan.logged_reason("response_truncated");
        assert_eq!((&line["status"], &line["bytes_out"]), (&200.into(), &5.into()));
        assert_eq!(portolan.ended("response_truncated"), 1.0);
        eventually(|| portolan.in_flight("app") == 0);
        assert_eq!(portolan.instance(&format!("app/{}", backend.address))["failures"], 1);
    }
}

#[test]
fn http_1_0_learns_of_a_broken_response_by_a_reset() {
    // It knows no other sign: a goodbye is how a response without a length
    // ends as it should (RFC 9112 section 8).
    for head in [CHUNKED, COUNTED] {
        let backend = breaking(head, false);
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        let answer = client.exchange("GET / HTTP/1.0\r\nhost: test\r\n\r\n");
        assert_eq!((answer.status(), answer.field("transfer-encoding")), (200, None));
        assert!(!answer.complete, "{answer:?}");
        portolan.logged_reason("response_truncated");
    }
}

#[test]
fn chunks_that_are_none_break_the_response() {
    for chunk in ["zz\r\nhello\r\n", "5\r\nhello!", "-1\r\n", "ffffffffffffffffff\r\n"] {
        let backend = Backend::answering(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
        ));
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        // The head may not have left yet.
        if let Ok(mut answer) = client.read_head() {
            client.read_body(&mut answer, false);
            assert!(!answer.complete, "{chunk:?}: {answer:?}");
        }
        portolan.logged_reason("response_truncated");
    }
}

#[test]
fn an_answer_whose_length_can_be_read_in_two_ways_is_refused() {
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 5\r\n",
        "content-length: +5\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
    ] {
        let backend =
            Backend::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n"));
        let portolan = Portolan::before(backend.address);
        let answer = portolan.get("/");
        assert_eq!(answer.status(), 502, "{fields:?}: {answer:?}");
        assert_eq!(answer.reason(), "upstream_protocol_error", "{fields:?}");
        assert_eq!(portolan.logged(1)[0]["status"], 502);
    }
}

#[test]
fn an_answer_that_is_not_http_is_refused() {
    for answer in [
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a: 1\r\n folded: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a : 1\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
    ] {
        let backend = Backend::answering(answer);
        let portolan = Portolan::before(backend.address);
        let seen = portolan.get("/");
        assert_eq!(seen.status(), 502, "{answer:?}: {seen:?}");
        assert_eq!(seen.reason(), "upstream_protocol_error", "{answer:?}");
    }
}

#[test]
fn bytes_behind_a_response_never_reach_the_next_one() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\
         content-length: 6\r\n\r\nforged",
    );
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..5 {
        let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(answer.text(), "hi");
    }
}
