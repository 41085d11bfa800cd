//! A client that leaves takes its request with it.

use std::sync::{Arc, Barrier, mpsc};

use bytes::Bytes;
use h2::Reason;

use crate::support::{
    Backend, PATIENCE, Portolan, eventually,
    http2::{Asked, Http2, Http2Backend, Reply, post, read_body},
};

/// An instance that tells when its connection has ended; `answer` is what it
/// sends before.
fn watching(answer: &'static str) -> (Backend, mpsc::Receiver<()>) {
    let (ended, endings) = mpsc::channel();
    let backend = Backend::start(move |mut accepted| {
        accepted.head();
        accepted.send(answer);
        accepted.connection.wait_for_end();
        let _ = ended.send(());
    });
    (backend, endings)
}

#[test]
fn a_request_whose_client_left_before_the_head_is_cancelled() {
    for reset in [false, true] {
        let (backend, endings) = watching("");
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        eventually(|| portolan.in_flight("app") == 1);
        if reset {
            client.reset()
        } else {
            drop(client)
        }
        endings.recv_timeout(PATIENCE).expect("the request is cancelled");
        let line = portolan.logged_reason("client_gone");
        assert_eq!((&line["status"], &line["service"]), (&0.into(), &"app".into()));
        eventually(|| portolan.in_flight("app") == 0);
        assert_eq!(portolan.ended("client_gone"), 1.0);
    }
}

/// hyper looks for the end of a connection only while it has read nothing
/// ahead.
#[test]
fn b11_a_client_that_has_sent_ahead_is_seen_to_leave() {
    for ahead in ["G", "GET /next HTTP/1.1\r\nhost: test\r\n\r\n", "\r\n"] {
        let (backend, endings) = watching("");
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        client.send(format!("GET / HTTP/1.1\r\nhost: test\r\n\r\n{ahead}"));
        eventually(|| portolan.in_flight("app") == 1 && backend.requests().len() == 1);
        drop(client);
        endings.recv_timeout(PATIENCE).expect("the request is cancelled");
        portolan.logged_reason("client_gone");
        eventually(|| portolan.in_flight("app") == 0);
        assert_eq!(backend.requests().len(), 1);
    }
}

/// A half-closed connection looks like one that was left.
#[test]
fn b12_a_client_that_says_goodbye_is_taken_to_leave() {
    let (backend, endings) = watching("");
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| portolan.in_flight("app") == 1);
    client.finish();
    endings.recv_timeout(PATIENCE).expect("the request is cancelled");
    portolan.logged_reason("client_gone");
    assert_eq!(client.wait_for_end(), crate::support::Ending::Closed);
}

#[test]
fn a_response_whose_client_left_is_cancelled() {
    let (backend, endings) =
        watching("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegin\r\n");
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    client.read_until(b"begin").expect("a chunk");
    drop(client);
    endings.recv_timeout(PATIENCE).expect("the request is cancelled");
    assert_eq!(portolan.logged_reason("client_gone")["status"], 200);
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn an_upload_whose_client_left_is_cancelled_and_never_looks_complete() {
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let backend = Backend::start(|mut accepted| {
            let _ = accepted.request();
        });
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        client.send(format!("POST / HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n5\r\nbegin\r\n"));
        eventually(|| portolan.in_flight("app") == 1);
        drop(client);
        eventually(|| !backend.requests().is_empty());
        let request = backend.only_request();
        assert!(!request.complete, "{request:?}");
        portolan.logged_reason("client_gone");
        eventually(|| portolan.in_flight("app") == 0);
    }
}

/// By HTTP/2 it leaves a stream, or the whole connection in the middle of it.
#[test]
fn an_upload_by_http_2_whose_client_left_never_looks_complete() {
    for connection in [false, true] {
        let backend = Backend::start(|mut accepted| {
            let _ = accepted.request();
        });
        let portolan = Portolan::before(backend.address);
        let client = Http2::open(portolan.address());
        let (_answer, mut stream) = client.begin(post("/"), false);
        stream.send_data(Bytes::from_static(b"begin"), false).expect("queued");
        eventually(|| portolan.in_flight("app") == 1);
        if connection {
            drop(client);
        } else {
            stream.send_reset(Reason::CANCEL);
        }
        eventually(|| !backend.requests().is_empty());
        let request = backend.only_request();
        assert!(!request.complete, "{request:?}");
        portolan.logged_reason("client_gone");
        eventually(|| portolan.in_flight("app") == 0);
    }
}

#[test]
fn an_upload_to_an_instance_of_http_2_is_reset_with_its_client_and_nothing_else() {
    let (ended, endings) = mpsc::channel();
    let backend = Http2Backend::start(move |request: Asked, mut reply: Reply| {
        let ended = ended.clone();
        async move {
            let body = read_body(request.into_body()).await;
            let _ = ended.send(body.map(|(body, _)| body).map_err(|error| error.reason()));
            let _ = reply.send_response(http::Response::new(()), true);
        }
    });
    let portolan = Portolan::with("protocol = 'h2c'", backend.address);
    let client = Http2::open(portolan.address());
    let whole = |client: &Http2| {
        let answer = client.exchange(post("/"), b"whole").expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(endings.recv_timeout(PATIENCE).expect("a body"), Ok(b"whole".to_vec()));
    };
    whole(&client);
    let connections = backend.connections();
    for leaves in ["a stream", "a connection"] {
        let other = Http2::open(portolan.address());
        let (_answer, mut stream) = other.begin(post("/"), false);
        stream.send_data(Bytes::from_static(b"begin"), false).expect("queued");
        eventually(|| portolan.in_flight("app") == 1);
        match leaves {
            "a stream" => stream.send_reset(Reason::CANCEL),
            _ => drop(other),
        }
        let seen = endings.recv_timeout(PATIENCE).expect("an end");
        assert_eq!(seen, Err(Some(Reason::CANCEL)), "{leaves}");
        whole(&client);
    }
    assert!(backend.connections() <= connections + 1, "one for each worker");
}

#[test]
fn a_request_whose_client_left_the_queue_is_never_sent() {
    let go_on = Arc::new(Barrier::new(2));
    let backend = Backend::start({
        let go_on = Arc::clone(&go_on);
        move |mut accepted| {
            while accepted.request().is_some() {
                go_on.wait();
                accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    let portolan = Portolan::with(
        "limits = { concurrency = 1 }\ntimeouts = { queue = '60s' }",
        backend.address,
    );
    let mut first = portolan.connect();
    first.send("GET /first HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| backend.requests().len() == 1);
    let mut second = portolan.connect();
    second.send("GET /second HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| portolan.metric("portolan_requests_in_flight") == 2.0);
    drop(second);
    portolan.logged_reason("client_gone");
    go_on.wait();
    assert_eq!(first.read_response().status(), 200);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn the_connection_of_a_cancelled_request_is_not_used_again() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        if accepted.number == 1 {
            // An answer that comes too late must not become somebody else's.
            accepted.connection.wait_for_end();
            accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
        } else {
            accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmine");
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| portolan.in_flight("app") == 1);
    drop(client);
    portolan.logged_reason("client_gone");
    assert_eq!(portolan.get("/").text(), "mine");
}
