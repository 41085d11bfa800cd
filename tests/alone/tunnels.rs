//! Upgraded connections: WebSocket, and nothing else.

use std::{
    sync::{Arc, Barrier},
    time::Duration,
};

use tokio_tungstenite::tungstenite::{self, Message};

use crate::support::{Backend, Connection, Ending, Portolan, eventually};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: test\r\nconnection: keep-alive, Upgrade\r\n\
                       upgrade: WebSocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\
                         upgrade: websocket\r\n\
                         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An instance that switches and sends back what it gets.
fn echoing() -> Backend {
    Backend::start(|mut accepted| {
        accepted.head();
        accepted.send(SWITCHING);
        while let Ok(bytes) = accepted.connection.read() {
            accepted.send(bytes);
        }
    })
}

fn upgraded(portolan: &Portolan) -> Connection {
    let mut client = portolan.connect();
    client.send(UPGRADE);
    let answer = client.read_head().expect("a head");
    assert_eq!(answer.status(), 101, "{answer:?}");
    client
}

#[test]
fn a_websocket_passes_in_both_directions() {
    let backend = Backend::start(|accepted| {
        let stream = accepted.connection.into_stream();
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if message.is_close() || socket.send(message).is_err() {
                return;
            }
        }
    });
    let portolan = Portolan::before(backend.address);
    let url = format!("ws://{}/chat", portolan.address());
    let stream = portolan.connect().into_stream();
    let (mut socket, answer) = tungstenite::client(url, stream).expect("a handshake");
    assert_eq!(answer.status(), 101);
    assert_eq!(portolan.in_flight("app"), 1);
    for text in ["one", "two", &"long".repeat(50_000)] {
        socket.send(Message::text(text)).expect("sent");
        assert_eq!(socket.read().expect("a message").into_text().expect("text"), text);
    }
    socket.close(None).expect("closed");
    drop(socket);
    let line = portolan.logged_reason("tunnel_closed");
    assert_eq!(line["status"], 101);
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn the_head_of_the_switch_passes_in_both_directions() {
    let backend = echoing();
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send(UPGRADE);
    let answer = client.read_head().expect("a head");
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert!(answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.field("transfer-encoding"), None);
    let request = backend.only_request();
    assert_eq!(request.field("upgrade"), Some("websocket"));
    assert_eq!(request.field("connection"), Some("upgrade"));
    assert_eq!(request.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
}

#[test]
fn bytes_right_behind_the_switch_are_not_lost() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.send(format!("{SWITCHING}hello"));
        accepted.connection.wait_for_end();
    });
    let portolan = Portolan::before(backend.address);
    let mut client = upgraded(&portolan);
    assert_eq!(client.read_exact(5), Ok(b"hello".to_vec()));
}

#[test]
fn bytes_right_behind_the_request_wait_for_the_switch() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        let silent = accepted.connection.is_silent_for(Duration::from_millis(500));
        accepted.send(SWITCHING);
        let early = accepted.connection.read_exact(5).unwrap_or_default();
        accepted.send(format!("{silent} {}", String::from_utf8_lossy(&early)));
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    client.send(format!("{UPGRADE}early"));
    assert_eq!(client.read_head().expect("a head").status(), 101);
    assert_eq!(client.read_to_end().0, b"true early");
}

#[test]
fn one_side_may_say_goodbye_before_the_other() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.send(SWITCHING);
        let (bytes, ending) = accepted.connection.read_to_end();
        accepted.send(format!("{} {ending:?}", String::from_utf8_lossy(&bytes)));
    });
    let portolan = Portolan::before(backend.address);
    let mut client = upgraded(&portolan);
    client.send("question");
    client.finish();
    assert_eq!(client.read_to_end(), (b"question Closed".to_vec(), Ending::Closed));
    assert_eq!(portolan.logged_reason("tunnel_closed")["bytes_out"], 15);
}

#[test]
fn a_tunnel_goes_on_while_the_proxy_stops_and_no_longer() {
    let backend = echoing();
    let portolan = Portolan::start(&format!(
        "shutdown_timeout = '3s'\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut client = upgraded(&portolan);
    let address = portolan.address();
    let stopping = std::thread::spawn(move || drop(portolan));
    eventually(|| std::net::TcpStream::connect(address).is_err());
    client.send("ping");
    assert_eq!(client.read_exact(4), Ok(b"ping".to_vec()));
    client.wait_for_end();
    stopping.join().expect("no panic");
}

#[test]
fn a_client_that_is_cut_off_ends_the_tunnel() {
    let ended = Arc::new(Barrier::new(2));
    let backend = Backend::start({
        let ended = Arc::clone(&ended);
        move |mut accepted| {
            accepted.head();
            accepted.send(SWITCHING);
            accepted.connection.wait_for_end();
            ended.wait();
        }
    });
    let portolan = Portolan::before(backend.address);
    upgraded(&portolan).reset();
    ended.wait();
    portolan.logged_reason("tunnel_closed");
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn an_instance_may_refuse_to_switch() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..2 {
        // The connection is still one for HTTP.
        let answer = client.exchange(UPGRADE);
        assert_eq!((answer.status(), answer.text()), (200, "no".to_owned()));
        assert_eq!(answer.field("upgrade"), None);
    }
    assert_eq!(portolan.logged(2)[1]["reason"], "ok");
}

#[test]
fn a_status_that_asks_for_an_upgrade_passes() {
    let backend = Backend::answering(
        "HTTP/1.1 426 Upgrade Required\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         content-length: 0\r\n\r\n",
    );
    let portolan = Portolan::before(backend.address);
    assert_eq!(portolan.get("/").status(), 426);
}

#[test]
fn a_switch_that_nobody_asked_for_is_refused() {
    let backend = Backend::answering(SWITCHING);
    let portolan = Portolan::before(backend.address);
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (502, "upstream_protocol_error"));
}

#[test]
fn a_switch_to_something_else_is_refused() {
    let backend = Backend::answering(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    );
    let portolan = Portolan::before(backend.address);
    let answer = portolan.exchange(UPGRADE);
    assert_eq!((answer.status(), &*answer.reason()), (502, "upstream_protocol_error"));
}

#[test]
fn only_a_plain_request_for_websocket_asks_for_a_switch() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::before(backend.address);
    for request in [
        "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket, h2c\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         content-length: 2\r\n\r\nhi",
        "GET / HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\nupgrade: websocket\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        assert_eq!(portolan.exchange(request).status(), 200, "{request}");
        let seen = backend.requests().pop().expect("a request");
        for gone in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(seen.field(gone), None, "{request} became {seen:?}");
        }
    }
}

#[test]
fn the_bound_of_a_request_is_none_for_a_tunnel() {
    let backend = echoing();
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}']\n\
         [[route]]\nservice = 'app'\ntimeout = '300ms'",
        backend.address
    ));
    let mut client = upgraded(&portolan);
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(150));
        client.send("still here");
        assert_eq!(client.read_exact(10).expect("an echo"), b"still here");
    }
}
