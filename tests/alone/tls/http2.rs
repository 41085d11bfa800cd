//! HTTP/2 from clients over TLS.

use std::{sync::mpsc, thread};

use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request};

use super::{GET, OK, plain, started, text};
use crate::support::{
    Backend, Portolan, eventually,
    frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, NO_ERROR, PING, fields},
    http2::Http2,
    tls::Authority,
};

const HEAD: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/")];

fn get(host: &str) -> Request<()> {
    Request::get(format!("https://{host}/")).body(()).expect("a request")
}

#[test]
fn it_is_agreed_on_and_the_best_is_taken() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let portolan = plain(&authority, &backend);
    for (offered, agreed) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let client = authority.client().with(|config| {
            config.alpn_protocols = offered.iter().map(|it| it.to_vec()).collect();
        });
        let session = client.connect(portolan.address(), "a.example");
        assert_eq!(session.alpn.as_deref(), agreed, "{offered:?}");
    }
    let client = Http2::open(authority.client().http2_to(portolan.address(), "a.example"));
    let answer = client.exchange(get("a.example"), b"").expect("an answer");
    assert_eq!((answer.status(), answer.text()), (200, "ok".to_owned()));
    assert_eq!(portolan.logged(1)[0]["protocol"], "HTTP/2.0");
    assert_eq!(backend.requests()[0].field("x-forwarded-proto"), Some("https"));
    // The scheme is that of the connection.
    let clear = Request::get("http://a.example/").body(()).expect("a request");
    assert_eq!(client.exchange(clear, b"").expect("an answer").status(), 400);
}

#[test]
fn hosts_that_share_a_connection_and_not_its_rule_are_told_apart() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example", "b.example", "inner.example"]);
    authority.issue("client", &["client.example"]);
    let tls = format!(
        "certificates = [{{ {pair} }}], \
         host = [{{ name = 'inner.example', client_ca = '{}' }}]",
        authority.ca()
    );
    let portolan = started(&tls, &backend);
    // As browsers do with names of one certificate.
    let client = Http2::open(authority.client().http2_to(portolan.address(), "a.example"));
    for (host, status) in
        [("a.example", 200), ("inner.example", 421), ("b.example", 200), ("INNER.example:443", 421)]
    {
        assert_eq!(client.exchange(get(host), b"").expect("an answer").status(), status, "{host}");
    }
    assert!(!client.has_ended());
    let known = authority.client_as("client").http2_to(portolan.address(), "inner.example");
    let client = Http2::open(known);
    assert_eq!(client.exchange(get("inner.example"), b"").expect("an answer").status(), 200);
    assert_eq!(client.exchange(get("a.example"), b"").expect("an answer").status(), 421);
}

#[test]
fn a_proxy_that_stops_says_goodbye_and_ends_what_it_has_begun() {
    let authority = Authority::new();
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let backend = Backend::start(move |mut accepted| {
        accepted.head();
        let _ = released.lock().expect("no panic").recv();
        accepted.send(OK);
    });
    let pair = authority.issue("a", &["a.example"]);
    let config = text(&format!("certificates = [{{ {pair} }}]"), "", &backend);
    let portolan = Portolan::start(&format!("shutdown_timeout = '20s'\n{config}"));
    let near = authority.client().http2_to(portolan.address(), "a.example");
    let mut client = Frames::open(near);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&HEAD));
    eventually(|| portolan.in_flight("app") == 1);
    let stopping = thread::spawn(move || drop(portolan));
    let goaway = client.until(|frame| frame.kind == GOAWAY);
    assert_eq!((goaway.code(), &goaway.payload[..4]), (NO_ERROR, &[0x7f, 0xff, 0xff, 0xff][..]));
    let ping = client.until(|frame| frame.kind == PING);
    client.send(PING, 1, 0, &ping.payload);
    let goaway = client.until(|frame| frame.kind == GOAWAY);
    assert_eq!(goaway.payload[..4], [0, 0, 0, 1]);
    release.send(()).expect("sent");
    assert_eq!(client.status(1), Some(200));
    client.rest();
    stopping.join().expect("no panic");
}

/// A message of WebSocket as a client sends it, masked with zeros.
fn masked(text: &str) -> Bytes {
    let length = u8::try_from(text.len()).expect("short");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat().into()
}

/// Asks for a WebSocket by extended CONNECT.
fn connect() -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .uri("https://a.example/")
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .expect("a request")
}

/// Asks for a WebSocket, sends a message, and waits for it to come back.
#[track_caller]
pub(super) fn echoed(portolan: &Portolan, authority: &Authority, from_instance: &[u8]) {
    let client = Http2::open(authority.client().http2_to(portolan.address(), "a.example"));
    eventually(|| client.extends_connect());
    let (answer, mut stream) = client.begin(connect(), false);
    let answer = client.wait(answer).expect("an answer");
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    stream.send_data(masked("hi"), false).expect("sent");
    let mut body = answer.into_body();
    let mut came = Vec::new();
    while came.len() < from_instance.len() {
        let data = client.wait(body.data()).expect("a message").expect("a message");
        body.flow_control().release_capacity(data.len()).expect("known");
        came.extend_from_slice(&data);
    }
    assert_eq!(came, from_instance);
    stream.send_data(Bytes::new(), true).expect("sent");
    assert!(client.wait(body.data()).is_none_or(|data| data.is_ok()));
    portolan.logged_reason("tunnel_closed");
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn a_websocket_by_extended_connect_reaches_an_instance_of_http_1_1() {
    let authority = Authority::new();
    let backend = Backend::start(|accepted| {
        let stream = accepted.connection.into_stream();
        let Ok(mut socket) = tokio_tungstenite::tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if socket.send(message).is_err() {
                return;
            }
        }
    });
    let portolan = plain(&authority, &backend);
    echoed(&portolan, &authority, b"\x81\x02hi");
}

#[test]
fn d8_an_instance_that_does_not_agree_is_not_believed() {
    let authority = Authority::new();
    let switching = "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    // The answer to another key.
    let wrong = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (answer, status) in [
        (OK.to_owned(), 502),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), 502),
        (format!("{switching}{wrong}\r\n"), 502),
        (format!("{switching}\r\n"), 502),
        // No agreement, and none that a client could take for one.
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned(), 403),
    ] {
        let backend = Backend::answering(answer.clone());
        let portolan = plain(&authority, &backend);
        let client = Http2::open(authority.client().http2_to(portolan.address(), "a.example"));
        eventually(|| client.extends_connect());
        let (head, _stream) = client.begin(connect(), false);
        let seen = client.wait(crate::support::http2::read(head)).expect("an answer");
        assert_eq!(seen.status(), status, "{answer}");
        if status == 502 {
            assert!(seen.text().contains("upstream_protocol_error"), "{seen:?}");
        }
        eventually(|| portolan.in_flight("app") == 0);
        assert_eq!(backend.requests().len(), 1);
    }
}

#[test]
fn a_balancer_names_the_client_before_the_handshake() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let more = "proxy_protocol = { from = ['127.0.0.1/32'] }";
    let portolan =
        Portolan::start(&text(&format!("certificates = [{{ {pair} }}]"), more, &backend));
    let said = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";
    let session = authority.client().connect_behind(said, portolan.address(), "a.example");
    let answer = session.expect("a session").connection.exchange(GET);
    assert_eq!(answer.status(), 200);
    assert_eq!(backend.requests()[0].field("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(backend.requests()[0].field("x-forwarded-proto"), Some("https"));
    assert!(authority.client().try_connect(portolan.address(), "a.example").is_err());
}
