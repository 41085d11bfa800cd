//! What holds in the clear holds over TLS.

use tokio_tungstenite::tungstenite::{self, Message};

use super::{GET, OK, plain, text};
use crate::support::{Backend, Ending, Portolan, eventually, tls::Authority};

#[test]
fn bodies_pass_whole_in_both_directions() {
    let authority = Authority::new();
    let backend = Backend::start(|mut accepted| {
        while let Some(request) = accepted.request() {
            let length = request.body.len();
            accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
            accepted.send(&request.body);
        }
    });
    let portolan = plain(&authority, &backend);
    let mut session = authority.client().connect(portolan.address(), "a.example");
    let body: Vec<u8> = (0..1_000_000_u32).map(|index| index as u8).collect();
    for _ in 0..2 {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        session.connection.send(head);
        session.connection.send(&body);
        let answer = session.connection.read_response();
        assert_eq!(answer.status(), 200);
        assert!(answer.body == body && answer.complete);
    }
}

#[test]
fn a_connection_that_rests_goes_on() {
    let authority = Authority::new();
    let backend = Backend::answering(OK);
    let portolan = plain(&authority, &backend);
    let mut session = authority.client().connect(portolan.address(), "a.example");
    for _ in 0..3 {
        assert_eq!(session.connection.exchange(GET).text(), "ok");
        std::thread::sleep(std::time::Duration::from_millis(1500));
    }
}

#[test]
fn a_websocket_passes() {
    let authority = Authority::new();
    let backend = Backend::start(|accepted| {
        let stream = accepted.connection.into_stream();
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if message.is_close() || socket.send(message).is_err() {
                return;
            }
        }
    });
    let portolan = plain(&authority, &backend);
    let session = authority.client().connect(portolan.address(), "a.example");
    let stream = session.connection.into_stream();
    let (mut socket, _) = tungstenite::client("ws://a.example/", stream).expect("a handshake");
    for text in ["one", &"long".repeat(50_000)] {
        socket.send(Message::text(text)).expect("sent");
        assert_eq!(socket.read().expect("a message").into_text().expect("text"), text);
    }
    socket.close(None).expect("closed");
    drop(socket);
    portolan.logged_reason("tunnel_closed");
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn a_goodbye_is_said_where_a_response_is_over_and_nowhere_else() {
    let authority = Authority::new();
    let backend = Backend::start(|mut accepted| {
        let Some(request) = accepted.request() else { return };
        accepted.send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it");
        if request.target() == "/broken" {
            accepted.connection.reset();
        }
    });
    let portolan = plain(&authority, &backend);
    let request = |target| format!("GET {target} HTTP/1.0\r\nhost: a.example\r\n\r\n");
    let mut whole = authority.client().connect(portolan.address(), "a.example").connection;
    whole.send(request("/"));
    let (bytes, ending) = whole.read_to_end();
    assert!(bytes.ends_with(b"all of it"));
    assert_eq!(ending, Ending::Closed);
    let mut broken = authority.client().connect(portolan.address(), "a.example").connection;
    broken.send(request("/broken"));
    assert_eq!(broken.read_to_end().1, Ending::Reset);
}

#[test]
fn idle_connections_and_slow_heads_end() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let tls = format!("certificates = [{{ {pair} }}]");
    let more = "idle_timeout = '300ms'\nhead_timeout = '300ms'";
    let portolan = Portolan::start(&text(&tls, more, &backend));
    let client = authority.client();
    let mut idle = client.connect(portolan.address(), "a.example").connection;
    assert_eq!(idle.exchange(GET).status(), 200);
    idle.wait_for_end();
    let mut slow = client.connect(portolan.address(), "a.example").connection;
    slow.send("GET / HTTP/1.1\r\n");
    slow.wait_for_end();
}

#[test]
fn what_is_in_flight_finishes_when_the_proxy_stops() {
    let authority = Authority::new();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let waiting = std::sync::Mutex::new((begun, may_go_on));
    let backend = Backend::start(move |mut accepted| {
        while accepted.request().is_some() {
            let waiting = waiting.lock().expect("no panic");
            let _ = (waiting.0.send(()), waiting.1.recv());
            accepted.send(OK);
        }
    });
    let pair = authority.issue("a", &["a.example"]);
    let tls = format!("certificates = [{{ {pair} }}]");
    let config = format!("shutdown_timeout = '30s'\n{}", text(&tls, "", &backend));
    let mut portolan = Portolan::apart(&config, 1024);
    let mut session = authority.client().connect(portolan.address(), "a.example");
    let mut idle = authority.client().connect(portolan.address(), "a.example");
    session.connection.send(GET);
    has_begun.recv().expect("a request");
    portolan.signal(rustix::process::Signal::TERM);
    idle.connection.wait_for_end();
    go_on.send(()).expect("it waits");
    let answer = session.connection.read_response();
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    assert_eq!(session.connection.wait_for_end(), Ending::Closed);
    portolan.wait();
}
