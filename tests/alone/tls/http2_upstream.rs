//! HTTP/2 over TLS towards instances, agreed on in the handshake.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use h2::{ext::Protocol, server};
use http::{HeaderMap, HeaderValue, Response};

use super::{OK, http2::echoed};
use crate::support::{
    Backend, Portolan, eventually,
    http2::{Asked, Http2Backend, Reply, read_body},
    tls::Authority,
};

/// A proxy before an instance at `endpoint`, with `more` for the service; it
/// speaks TLS to its clients.
#[track_caller]
fn before(authority: &Authority, endpoint: &str, more: &str) -> Portolan {
    let pair = authority.issue("a", &["a.example"]);
    Portolan::start(&format!(
        "[[listener]]\n[[listener]]\ntls = {{ certificates = [{{ {pair} }}] }}\n\
         [service.app]\nendpoints = ['{endpoint}']\ntls = {{ ca = '{}' }}\n{more}\n\
         [[route]]\nservice = 'app'\n",
        authority.ca()
    ))
}

#[test]
fn an_instance_that_agrees_is_spoken_to() {
    let authority = Authority::new();
    authority.issue("app", &["127.0.0.1"]);
    let backend = Http2Backend::start(|request: Asked, mut reply: Reply| async move {
        assert_eq!(request.uri().scheme_str(), Some("https"));
        let Ok(_) = read_body(request.into_body()).await else { return };
        let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
        let _ = stream.send_data(Bytes::from_static(b"two"), true);
    });
    let address = authority.server_speaking("app", backend.address, false, &["h2", "http/1.1"]);
    let portolan = before(&authority, &format!("https://{address}"), "protocol = 'h2'");
    for _ in 0..4 {
        let answer = portolan.get("/");
        assert_eq!((answer.status(), answer.text()), (200, "two".to_owned()));
    }
    assert!(backend.connections() <= 2, "one for each worker");
}

#[test]
fn an_instance_that_does_not_agree_is_told_so() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    authority.issue("app", &["127.0.0.1"]);
    for protocols in [&[][..], &["http/1.1"]] {
        let address = authority.server_speaking("app", backend.address, false, protocols);
        let portolan = before(&authority, &format!("https://{address}"), "protocol = 'h2'");
        let answer = portolan.get("/");
        assert_eq!((answer.status(), &*answer.reason()), (502, "tls_protocol_error"));
        assert!(answer.text().contains("does not offer HTTP/2"), "{answer:?}");
    }
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn an_instance_whose_address_does_not_fit_is_told_so() {
    let backend = Http2Backend::answering("hi");
    let portolan = Portolan::start("[service.app]\nprotocol = 'h2'\n[[route]]\nservice = 'app'\n");
    portolan.register("app/1", backend.address);
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (502, "upstream_protocol_error"));
}

/// Agrees to a WebSocket and sends back what comes, as it comes.
async fn echo(request: Asked, mut reply: Reply) {
    if request.extensions().get::<Protocol>().map(Protocol::as_str) != Some("websocket") {
        let answer = Response::builder().status(400).body(()).expect("a head");
        let _ = reply.send_response(answer, true);
        return;
    }
    assert!(!request.headers().contains_key("sec-websocket-key"));
    assert_eq!(request.headers()["sec-websocket-version"], "13");
    let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        let _ = stream.send_data(data, false);
    }
    let _ = stream.send_data(Bytes::new(), true);
}

#[test]
fn a_websocket_goes_by_extended_connect_where_it_is_offered() {
    let authority = Authority::new();
    authority.issue("app", &["127.0.0.1"]);
    let mut builder = server::Builder::new();
    builder.enable_connect_protocol();
    let backend = Http2Backend::with(builder, echo);
    let address = authority.server_speaking("app", backend.address, false, &["h2"]);
    let portolan = before(&authority, &format!("https://{address}"), "protocol = 'h2'");
    // From a client of HTTP/1.1, which gets the answer that it waits for.
    let stream = std::net::TcpStream::connect(portolan.address()).expect("a connection");
    let mut request =
        tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
            "ws://a.example/",
        )
        .expect("a request");
    request.headers_mut().insert("x-test", HeaderValue::from_static("1"));
    let (mut socket, answer) =
        tokio_tungstenite::tungstenite::client(request, stream).expect("a handshake");
    assert_eq!(answer.status(), 101);
    // What comes back is masked, since the instance looks into nothing; that
    // it came is all there is to see.
    socket.send(tokio_tungstenite::tungstenite::Message::text("hi")).expect("sent");
    assert!(socket.read().is_err() || backend.requests() == 1);
    drop(socket);
    portolan.logged_reason("tunnel_closed");
    // And from one of HTTP/2.
    let second = Portolan::start(&format!(
        "[[listener]]\ntls = {{ certificates = [{{ {} }}] }}\n[service.app]\n\
         endpoints = ['https://{address}']\nprotocol = 'h2'\ntls = {{ ca = '{}' }}\n\
         [[route]]\nservice = 'app'\n",
        authority.issue("b", &["a.example"]),
        authority.ca()
    ));
    echoed(&second, &authority, b"\x81\x82\0\0\0\0hi");
}

#[test]
fn a_websocket_goes_over_http_1_1_where_it_is_not_offered() {
    let authority = Authority::new();
    // It speaks both in the clear, and has no extended CONNECT.
    let websockets = Backend::start(|accepted| {
        let stream = accepted.connection.into_stream();
        let Ok(mut socket) = tokio_tungstenite::tungstenite::accept(stream) else { return };
        while let Ok(message) = socket.read() {
            if socket.send(message).is_err() {
                return;
            }
        }
    });
    let behind = websockets.address;
    let backend = Http2Backend::serving(move |stream, requests| async move {
        let mut first = [0; 3];
        if stream.peek(&mut first).await.is_err() {
            return;
        }
        if &first != b"PRI" {
            let Ok(mut other) = tokio::net::TcpStream::connect(behind).await else { return };
            let mut stream = stream;
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
            return;
        }
        let Ok(mut connection) = server::handshake(stream).await else { return };
        while let Some(Ok((_, mut reply))) = connection.accept().await {
            requests.fetch_add(1, Ordering::SeqCst);
            let _ = reply.send_response(Response::new(()), true);
        }
    });
    let pair = authority.issue("a", &["a.example"]);
    let portolan = Portolan::start(&format!(
        "[[listener]]\ntls = {{ certificates = [{{ {pair} }}] }}\n[service.app]\n\
         endpoints = ['{}']\nprotocol = 'h2c'\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    echoed(&portolan, &authority, b"\x81\x02hi");
    assert_eq!(backend.requests(), 0);
}

#[test]
fn health_is_asked_for_by_grpc_over_tls() {
    let authority = Authority::new();
    authority.issue("app", &["127.0.0.1"]);
    let serving = Arc::new(AtomicU8::new(1));
    let told = Arc::clone(&serving);
    let backend = Http2Backend::start(move |request: Asked, mut reply: Reply| {
        let serving = told.load(Ordering::SeqCst);
        async move {
            assert_eq!(request.uri().scheme_str(), Some("https"));
            let _ = read_body(request.into_body()).await;
            let mut head = Response::new(());
            let kind = HeaderValue::from_static("application/grpc");
            head.headers_mut().insert("content-type", kind);
            let Ok(mut stream) = reply.send_response(head, false) else { return };
            let _ = stream.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, serving]), false);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let _ = stream.send_trailers(trailers);
        }
    });
    let address = authority.server_speaking("app", backend.address, false, &["h2"]);
    let health = "protocol = 'h2'\nhealth = { kind = 'grpc', interval = '50ms' }";
    let portolan = before(&authority, &format!("https://{address}"), health);
    let state = || {
        let view = portolan.admin("GET", "/api/v1/services/app", "").json();
        view["instances"][0]["state"].as_str().map(str::to_owned)
    };
    eventually(|| state().as_deref() == Some("healthy"));
    serving.store(2, Ordering::SeqCst);
    eventually(|| state().as_deref() == Some("unhealthy"));
    // One that speaks TLS and not HTTP/2 over it is told apart.
    let plain = authority.server_speaking("app", backend.address, false, &[]);
    let portolan = before(&authority, &format!("https://{plain}"), health);
    eventually(|| {
        let view = portolan.admin("GET", "/api/v1/services/app", "").text();
        view.contains("does not offer HTTP/2")
    });
}
