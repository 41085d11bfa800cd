//! What instances send is held to the rules before any of it is passed on. The
//! names say which rule; `docs/reference/http-rules.md` has them all.

use crate::support::{Accepted, Backend, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// What becomes of `answer`: its client sees 502, the log says why, and the
/// instance is not asked again.
#[track_caller]
fn is_refused(answer: impl Into<String>) {
    let answer: String = answer.into();
    let shown = answer[..answer.len().min(120)].to_owned();
    let backend = Backend::answering(answer);
    let portolan = Portolan::before(backend.address);
    let seen = portolan.get("/");
    assert_eq!(seen.status(), 502, "{shown:?}: {seen:?}");
    assert_eq!(seen.reason(), "upstream_protocol_error", "{shown:?}");
    let line = &portolan.logged(1)[0];
    assert_eq!(
        (&line["reason"], &line["attempts"]),
        (&"upstream_protocol_error".into(), &1.into())
    );
    assert_eq!(backend.requests().len(), 1, "{shown:?}");
}

#[test]
fn b3_two_lengths_are_refused_also_where_there_is_no_body() {
    let twice = "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
    for status in ["204 No", "304 Not", "200 OK"] {
        is_refused(format!("HTTP/1.1 {status}\r\n{twice}"));
    }
    is_refused("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    let backend = Backend::answering(format!("HTTP/1.1 200 OK\r\n{twice}"));
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.read_head().expect("a head").status(), 502);
}

#[test]
fn b3_a_coding_that_is_not_chunked_is_refused() {
    for coding in ["gzip", "chunked, gzip", "gzip, chunked", "xchunked", "chunked, chunked", ""] {
        is_refused(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n"));
    }
}

#[test]
fn b3_a_length_is_digits_and_fits() {
    for length in ["", "-1", "+1", "1 1", "0x1", "1,1", "18446744073709551616", "one"] {
        is_refused(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\na"));
    }
}

#[test]
fn lines_of_a_head_end_with_cr_lf() {
    is_refused("HTTP/1.1 200 OK\ncontent-length: 0\n\n");
    is_refused("HTTP/1.1 200 OK\r\nx-a: 1\nset-cookie: evil=1\r\ncontent-length: 0\r\n\r\n");
    is_refused("HTTP/1.1 200 OK\r\nx-a: 1\rset-cookie: evil=1\r\ncontent-length: 0\r\n\r\n");
    is_refused("\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn a_head_is_bounded_in_bytes_and_fields() {
    is_refused(format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "a".repeat(300 << 10)));
    is_refused(format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(257)));
    let most = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{}\r\n", "a: b\r\n".repeat(255));
    let backend = Backend::answering(most);
    let answer = Portolan::before(backend.address).get("/");
    assert_eq!((answer.status(), answer.all("a").len()), (200, 255));
}

#[test]
fn b8_interim_answers_are_dropped_and_counted() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    let backend = Backend::answering(format!("{}{last}", hints.repeat(16)));
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..2 {
        let answer = client.exchange(GET);
        assert_eq!((answer.status(), &*answer.text()), (200, "hi"));
    }
    assert_eq!(backend.connections(), 1);
    is_refused(format!("{}{last}", hints.repeat(17)));
    is_refused(hints.repeat(100_000));
}

#[test]
fn b8_hints_without_an_answer_are_none() {
    let backend = Backend::start(|mut accepted: Accepted| {
        accepted.request();
        accepted.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    });
    let portolan = Portolan::before(backend.address);
    let answer = portolan.exchange("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n");
    assert_eq!((answer.status(), &*answer.reason()), (502, "upstream_reset"));
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn w2_a_switch_that_nobody_asked_for_is_refused() {
    is_refused("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nbytes");
    let websocket = "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    for upgrade in ["upgrade: h2c\r\n", ""] {
        let answer = format!("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\n{upgrade}\r\n");
        let backend = Backend::answering(answer);
        let portolan = Portolan::before(backend.address);
        let answer = portolan.exchange(websocket);
        assert_eq!((answer.status(), &*answer.reason()), (502, "upstream_protocol_error"));
    }
}

#[test]
fn b6_trailers_of_a_request_need_no_announcement() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::before(backend.address);
    portolan.exchange(
        "PUT / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 7\r\ncontent-length: 9\r\n\r\n",
    );
    let request = backend.only_request();
    assert_eq!((request.trailer("x-sum"), request.trailers.len()), (Some("7"), 1));
}

#[test]
fn b5_an_answer_that_nobody_asked_for_is_nobodys() {
    // It comes when the connection is idle.
    let backend = Backend::start(|mut accepted: Accepted| {
        while accepted.request().is_some() {
            accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
            std::thread::sleep(std::time::Duration::from_millis(50));
            let _ =
                accepted.connection.try_send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged");
        }
    });
    let portolan = Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    ));
    let mut client = portolan.connect();
    for number in 1..=3 {
        assert_eq!(client.exchange(GET).text(), "hi");
        assert_eq!(backend.connections(), number);
        // The connection is closed for it.
        eventually(|| backend.open() == 0);
    }
}
