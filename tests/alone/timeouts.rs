//! Every timeout of the config ends what it is there to end, and says so.

use std::time::Duration;

use crate::support::{Backend, Ending, PATIENCE, Portolan, Silence, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// An instance that reads a head, sends `answer` and then nothing.
fn stalling(answer: &'static str) -> Backend {
    Backend::start(move |mut accepted| {
        accepted.head();
        accepted.send(answer);
        accepted.connection.wait_for_end();
    })
}

fn listening(settings: &str, backend: &Backend) -> Portolan {
    Portolan::start(&format!(
        "[[listener]]\n{settings}\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    ))
}

#[test]
fn head_timeout_ends_a_head_that_does_not_end() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = listening("head_timeout = '1s'\nidle_timeout = '1h'", &backend);
    let mut nothing = portolan.connect();
    assert_eq!(nothing.wait_for_end(), Ending::Closed);
    let mut half = portolan.connect();
    let answer = half.exchange("GET / HTTP/1.1\r\nhost:");
    assert_eq!((answer.status(), &*answer.reason()), (408, "head_timeout"));
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(half.wait_for_end(), Ending::Closed);
    let mut second = portolan.connect();
    assert_eq!(second.exchange(GET).status(), 200);
    assert_eq!(second.exchange("G").status(), 408);
    assert_eq!(second.wait_for_end(), Ending::Closed);
    // Who has sent nothing has not been waited for in vain.
    eventually(|| portolan.ended("head_timeout") == 2.0);
    let lines = portolan.logged(3);
    assert_eq!(lines.iter().filter(|line| line["status"] == 408).count(), 2, "{lines:?}");
}

#[test]
fn a_head_that_trickles_is_no_reason_to_wait_longer() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = listening("head_timeout = '500ms'", &backend);
    let mut client = portolan.connect();
    let mut sent = 0;
    let deadline = std::time::Instant::now() + PATIENCE;
    // A byte each 50 ms: without a bound on the whole this goes on for ever.
    while client.try_send("a").is_ok() && client.is_silent_for(Duration::from_millis(50)) {
        sent += 1;
        assert!(std::time::Instant::now() < deadline, "{sent} bytes were waited for");
    }
}

#[test]
fn idle_timeout_ends_a_connection_between_two_requests() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = listening("head_timeout = '1h'\nidle_timeout = '300ms'", &backend);
    let mut client = portolan.connect();
    assert_eq!(client.exchange(GET).status(), 200);
    assert_eq!(client.wait_for_end(), Ending::Closed);
}

#[test]
fn idle_timeout_does_not_end_a_request_that_is_waited_for() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        std::thread::sleep(Duration::from_secs(2));
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let portolan = listening("head_timeout = '500ms'\nidle_timeout = '500ms'", &backend);
    assert_eq!(portolan.exchange(GET).status(), 200);
}

#[test]
fn idle_timeout_ends_a_client_that_takes_nothing() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 64 << 20));
        accepted.send(vec![0; 64 << 20]);
    });
    let portolan = listening("idle_timeout = '500ms'", &backend);
    let mut client = portolan.connect();
    client.shrink_buffers();
    client.send(GET);
    portolan.logged_reason("client_gone");
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn connect_timeout() {
    let silence = Silence::start();
    let portolan = Portolan::with("timeouts = { connect = '300ms' }", silence.address);
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (504, "connect_timeout"));
    assert_eq!(portolan.logged(1)[0]["attempts"], 1);
}

#[test]
fn response_timeout() {
    let backend = stalling("");
    let portolan = Portolan::with("timeouts = { response = '300ms' }", backend.address);
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (504, "response_timeout"));
    // The instance is told that nobody waits any more.
    eventually(|| backend.open() == 0);
}

#[test]
fn response_timeout_begins_when_the_request_has_been_sent() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let portolan = Portolan::with("timeouts = { response = '2s', idle = '1h' }", backend.address);
    let mut client = portolan.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\n");
    for byte in ["a", "b", "c"] {
        std::thread::sleep(Duration::from_millis(900));
        client.send(byte);
    }
    assert_eq!(client.read_response().status(), 200);
}

#[test]
fn idle_ends_a_request_body_that_stalls() {
    let backend = stalling("");
    let portolan = Portolan::with("timeouts = { idle = '300ms' }", backend.address);
    let mut client = portolan.connect();
    let answer = client.exchange("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!((answer.status(), &*answer.reason()), (408, "request_body_timeout"));
    client.wait_for_end();
    eventually(|| backend.open() == 0);
}

#[test]
fn idle_ends_a_response_body_that_stalls() {
    let backend = stalling("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    let portolan = Portolan::with("timeouts = { idle = '300ms' }", backend.address);
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.text(), answer.complete), (200, "half", false));
    assert_eq!(portolan.logged_reason("response_idle_timeout")["bytes_out"], 4);
    eventually(|| backend.open() == 0);
}

#[test]
fn idle_does_not_end_a_response_body_that_comes_slowly() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(800));
            accepted.send("a");
        }
    });
    let portolan = Portolan::with("timeouts = { idle = '3s' }", backend.address);
    assert!(portolan.get("/").complete);
}

#[test]
fn request_ends_a_request_before_its_head_and_after() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"] {
        let backend = stalling(head);
        let portolan = Portolan::with("timeouts = { request = '1s' }", backend.address);
        let answer = portolan.get("/");
        if head.is_empty() {
            assert_eq!((answer.status(), &*answer.reason()), (504, "request_timeout"));
        } else {
            assert_eq!((answer.status(), answer.complete), (200, false));
        }
        portolan.logged_reason("request_timeout");
        eventually(|| backend.open() == 0);
    }
}

#[test]
fn request_ends_a_response_that_the_client_takes_too_slowly() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 268435456\r\n\r\n";
    let backend = Backend::start(move |mut accepted| {
        accepted.head();
        accepted.send(head);
        while accepted.connection.try_send([b'x'; 65_536]).is_ok() {}
    });
    let portolan = Portolan::start(&format!(
        "[[listener]]\nidle_timeout = '1h'\n\
         [service.app]\nendpoints = ['{}']\ntimeouts = {{ request = '1s', idle = '1h' }}\n\
         [[route]]\nservice = 'app'",
        backend.address
    ));
    let mut client = portolan.connect();
    client.shrink_buffers();
    client.send(GET);
    eventually(|| portolan.ended("request_timeout") == 1.0);
    assert_eq!(portolan.in_flight("app"), 0);
}

#[test]
fn a_bound_of_zero_on_a_route_is_none() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        std::thread::sleep(Duration::from_millis(600));
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}']\ntimeouts = {{ request = '200ms' }}\n\
         [[route]]\nservice = 'app'\ntimeout = '0s'",
        backend.address
    ));
    assert_eq!(portolan.get("/").status(), 200);
}

#[test]
fn tunnel_idle_ends_a_tunnel_and_traffic_keeps_it() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        );
        while let Ok(bytes) = accepted.connection.read() {
            accepted.send(bytes);
        }
    });
    let portolan = Portolan::with("timeouts = { tunnel_idle = '3s' }", backend.address);
    let mut client = portolan.connect();
    client
        .send("GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(client.read_head().expect("a head").status(), 101);
    for _ in 0..5 {
        client.send("ping");
        assert_eq!(client.read_exact(4), Ok(b"ping".to_vec()));
        std::thread::sleep(Duration::from_millis(800));
    }
    client.wait_for_end();
    portolan.logged_reason("tunnel_idle_timeout");
    eventually(|| backend.open() == 0 && portolan.in_flight("app") == 0);
}

#[test]
fn queue_ends_the_wait_for_a_service() {
    let backend = stalling("");
    let portolan = Portolan::with(
        "limits = { concurrency = 1 }\ntimeouts = { queue = '300ms' }",
        backend.address,
    );
    let mut first = portolan.connect();
    first.send(GET);
    eventually(|| backend.requests().len() == 1);
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (503, "queue_timeout"));
    assert!(matches!(answer.field("retry-after"), Some("1" | "2")), "{answer:?}");
    assert_eq!(backend.requests().len(), 1);
}
