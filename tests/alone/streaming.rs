//! Bodies pass through as they come, and no faster than they are taken.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{Backend, Portolan, eventually};

const BODY: usize = 64 << 20;

/// Far more than the buffers of four sockets and of the proxy hold, far less
/// than [`BODY`].
const BUFFERED: usize = 32 << 20;

#[test]
fn a_client_that_does_not_read_slows_the_instance() {
    let sent = Arc::new(AtomicUsize::new(0));
    let backend = Backend::start({
        let sent = Arc::clone(&sent);
        move |mut accepted| {
            accepted.request();
            accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n"));
            let stuck = accepted.connection.send_until_stuck(BODY);
            sent.store(stuck, Ordering::SeqCst);
            accepted.send(vec![0; BODY - stuck]);
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| sent.load(Ordering::SeqCst) > 0);
    let stuck = sent.load(Ordering::SeqCst);
    assert!(stuck < BUFFERED, "{stuck} bytes were taken from the instance");
    assert_eq!(portolan.in_flight("app"), 1);
    let answer = client.read_response();
    assert!(answer.complete && answer.body.len() == BODY);
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn an_instance_that_does_not_read_slows_the_client() {
    let read = Arc::new(Barrier::new(2));
    let backend = Backend::start({
        let read = Arc::clone(&read);
        move |mut accepted| {
            let mut request = accepted.connection.read_head().expect("a head");
            read.wait();
            accepted.connection.read_body(&mut request, false);
            let length = request.body.len();
            accepted.send(format!("HTTP/1.1 200 OK\r\nx-length: {length}\r\n\r\n"));
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send(format!("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: {BODY}\r\n\r\n"));
    let stuck = client.send_until_stuck(BODY);
    assert!(stuck < BUFFERED, "{stuck} bytes were taken from the client");
    read.wait();
    let answer = client.exchange(vec![0; BODY - stuck]);
    assert_eq!(answer.field("x-length"), Some(&*BODY.to_string()));
    assert_eq!(portolan.logged(1)[0]["bytes_in"], BODY);
}

#[test]
fn a_chunk_of_a_response_does_not_wait_for_the_next() {
    let go_on = Arc::new(Barrier::new(2));
    let backend = Backend::start({
        let go_on = Arc::clone(&go_on);
        move |mut accepted| {
            accepted.request();
            accepted.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
            go_on.wait();
            accepted.send("3;ext=1\r\ntwo\r\n0\r\n\r\n");
            accepted.connection.wait_for_end();
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    let mut answer = client.read_head().expect("a head");
    assert_eq!(client.read_until(b"one\r\n"), Ok(b"3\r\none\r\n".to_vec()));
    // Neither the request nor its place on the instance has ended.
    assert_eq!(portolan.in_flight("app"), 1);
    go_on.wait();
    client.read_body(&mut answer, false);
    assert!(answer.complete);
    assert_eq!(answer.text(), "two");
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn a_chunk_of_a_request_does_not_wait_for_the_next() {
    let arrived = Arc::new(Barrier::new(2));
    let backend = Backend::start({
        let arrived = Arc::clone(&arrived);
        move |mut accepted| {
            let mut request = accepted.head().expect("a head");
            let first = accepted.connection.read_until(b"one\r\n").expect("a chunk");
            assert_eq!(first, b"3\r\none\r\n");
            arrived.wait();
            accepted.connection.read_body(&mut request, false);
            accepted.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}",
                request.body.len(),
                request.text()
            ));
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send(
        "PUT / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n3;ext=1\r\none\r\n",
    );
    arrived.wait();
    assert_eq!(client.exchange("3\r\ntwo\r\n0\r\n\r\n").text(), "two");
    let request = backend.only_request();
    assert_eq!(request.field("transfer-encoding"), Some("chunked"));
    assert_eq!(request.field("content-length"), None);
}

#[test]
fn both_directions_flow_at_once() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        // A word for each word, while the request is still coming.
        while let Ok(chunk) = accepted.connection.read_until(b"\r\n") {
            accepted.send(&chunk);
            if chunk == b"0\r\n" {
                accepted.send("\r\n");
                return;
            }
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    client.read_head().expect("the head comes before the request has ended");
    for _ in 0..10 {
        client.send("4\r\nping\r\n");
        assert_eq!(client.read_until(b"ping\r\n"), Ok(b"4\r\nping\r\n".to_vec()));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read_until(b"0\r\n\r\n"), Ok(b"0\r\n\r\n".to_vec()));
    assert_eq!(portolan.logged(1)[0]["reason"], "ok");
}

#[test]
fn a_body_without_a_length_reaches_the_instance_whatever_the_method() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::before(backend.address);
    for method in ["GET", "DELETE", "OPTIONS", "POST"] {
        portolan.exchange(format!(
            "{method} / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\n\r\n"
        ));
    }
    let bodies: Vec<_> = backend.requests().iter().map(|request| request.text()).collect();
    assert_eq!(bodies, ["body"; 4]);
}

#[test]
fn an_answer_that_comes_before_the_request_has_ended_reaches_the_client() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        accepted.connection.wait_for_end();
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nbegin");
    let answer = client.read_response();
    assert_eq!((answer.status(), answer.text()), (403, "no".to_owned()));
    assert!(answer.complete);
}

#[test]
fn many_streams_at_once_do_not_mix() {
    let backend = Backend::start(|mut accepted| {
        while let Some(request) = accepted.request() {
            let body = request.target().repeat(10_000);
            let length = body.len();
            accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"));
        }
    });
    let portolan = Portolan::before(backend.address);
    thread::scope(|scope| {
        for number in 0..16 {
            let portolan = &portolan;
            scope.spawn(move || {
                let mut client = portolan.connect();
                for turn in 0..10 {
                    let target = format!("/{number}/{turn}");
                    let request = format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n");
                    let answer = client.exchange(request);
                    assert_eq!(answer.text(), target.repeat(10_000));
                }
            });
        }
    });
    assert_eq!(portolan.logged(160).len(), 160);
}
