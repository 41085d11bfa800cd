//! `limits.body`: by the length that is promised, and while the body comes.

use crate::support::{Backend, Portolan, eventually};

const LIMIT: &str = "limits = { body = '1KiB' }";

#[test]
fn a_body_at_the_limit_passes() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::with(LIMIT, backend.address);
    let body = "a".repeat(1024);
    let request = format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1024\r\n\r\n{body}");
    assert_eq!(portolan.exchange(request).status(), 200);
    let request =
        format!("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n400\r\n{body}");
    assert_eq!(portolan.exchange(format!("{request}\r\n0\r\n\r\n")).status(), 200);
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_promised_length_above_the_limit_is_refused_at_once() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::with(LIMIT, backend.address);
    let mut client = portolan.connect();
    // Not a byte of it is waited for.
    let answer = client.exchange("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1025\r\n\r\n");
    assert_eq!((answer.status(), &*answer.reason()), (413, "request_too_large"));
    assert_eq!(answer.field("connection"), Some("close"));
    client.finish();
    client.wait_for_end();
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_client_that_goes_on_sending_can_read_the_refusal() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::with(LIMIT, backend.address);
    let body = vec![b'a'; 200 * 1024];
    for _ in 0..20 {
        let mut client = portolan.connect();
        let length = body.len();
        client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"));
        for part in body.chunks(16 * 1024) {
            // A reset could take the answer with it (RFC 9112 section 9.6).
            client.try_send(part).expect("it is still read");
        }
        assert_eq!(client.read_response().status(), 413);
    }
}

#[test]
fn a_body_that_grows_above_the_limit_is_cut_off() {
    let backend = Backend::start(|mut accepted| {
        let _ = accepted.request();
    });
    let portolan = Portolan::with(LIMIT, backend.address);
    let mut client = portolan.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("200\r\n{}\r\n", "a".repeat(512));
    let answer = client.exchange(chunk.repeat(3));
    assert_eq!((answer.status(), &*answer.reason()), (413, "request_too_large"));
    // The instance never takes what it got for the whole.
    eventually(|| !backend.requests().is_empty());
    let request = backend.only_request();
    assert!(!request.complete && request.body.len() <= 1024, "{request:?}");
    assert_eq!(portolan.instance(&format!("app/{}", backend.address))["failures"], 0);
}
