//! gRPC through the proxy, by the bytes: calls, their ends, and health.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::support::{
    Backend, Portolan, eventually,
    frames::{self, END_STREAM, Frames, HEADERS, WINDOW_UPDATE},
    http2::{self, Asked, Http2, Http2Backend, Reply, read_body},
};

const H2: &str = "protocol = 'h2c'";

fn call(timeout: Option<&str>) -> Request<()> {
    let mut request = Request::post("http://test/shop.Orders/Get")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    if let Some(timeout) = timeout {
        let timeout = HeaderValue::from_str(timeout).expect("a value");
        request.headers_mut().insert("grpc-timeout", timeout);
    }
    request
}

fn grpc_head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).expect("a head")
}

fn status(code: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers
}

#[test]
fn a_call_has_its_status_in_the_trailers() {
    let backend = Http2Backend::start(|request: Asked, mut reply: Reply| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let (body, _) = read_body(request.into_body()).await.expect("a body");
        let Ok(mut stream) = reply.send_response(grpc_head(), false) else { return };
        let _ = stream.send_data(body.into(), false);
        let _ = stream.send_trailers(status("0"));
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    let message = b"\0\0\0\0\x02hi";
    let answer = client.exchange(call(None), message).expect("an answer");
    assert_eq!(answer.body, message);
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
}

#[test]
fn an_answer_may_be_trailers_alone() {
    let backend = Http2Backend::start(|_request, mut reply: Reply| async move {
        let mut head = grpc_head();
        head.headers_mut().extend(status("5"));
        let _ = reply.send_response(head, true);
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    let (answer, _stream) = client.begin(call(None), true);
    let answer = client.wait(answer).expect("an answer");
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert!(answer.body().is_end_stream());
    portolan.logged_reason("ok");
}

#[test]
fn the_patience_of_the_caller_bounds_the_call() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&cancelled);
    let backend = Http2Backend::start(move |request: Asked, mut reply: Reply| {
        let counted = Arc::clone(&counted);
        async move {
            assert_eq!(request.headers()["grpc-timeout"], "200m");
            let _ = poll_fn(|context| reply.poll_reset(context)).await;
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    let (answer, _stream) = client.begin(call(Some("200m")), true);
    let answer = client.wait(http2::read(answer)).expect("an answer");
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("4")), "{answer:?}");
    portolan.logged_reason("request_timeout");
    eventually(|| cancelled.load(Ordering::SeqCst) == 1);
}

/// The head that answers a call by HTTP/2 through `portolan`: its
/// `grpc-status`, if that is all there is.
#[track_caller]
fn trailers_only(portolan: &Portolan) -> Option<String> {
    let mut frames = Frames::open(portolan.address());
    let mut head = frames::GET.to_vec();
    head[0] = (":method", "POST");
    head.extend([("content-type", "application/grpc"), ("te", "trailers")]);
    frames.request(1, &head);
    let answer = frames.until(|frame| frame.stream == 1 && frame.kind != WINDOW_UPDATE);
    assert_eq!((answer.kind, answer.flags & END_STREAM), (HEADERS, END_STREAM), "{answer:?}");
    // And once more by a library, which can read it.
    let client = Http2::open(portolan.address());
    let answer = client.exchange(call(None), b"").expect("an answer");
    assert_eq!((answer.status(), answer.body.len()), (200, 0), "{answer:?}");
    answer.field("grpc-status").map(str::to_owned)
}

#[test]
fn an_error_of_the_proxy_is_trailers_alone_by_http_2() {
    let portolan = Portolan::with(H2, Backend::refusing());
    assert_eq!(trailers_only(&portolan).as_deref(), Some("14"));
    assert_eq!(trailers_only(&Portolan::start("")).as_deref(), Some("12"));
}

#[test]
fn only_what_surely_was_not_processed_is_unavailable() {
    for (reset, status) in [(Reason::INTERNAL_ERROR, "13"), (Reason::REFUSED_STREAM, "14")] {
        let backend = Http2Backend::start(move |_request, mut reply: Reply| async move {
            reply.send_reset(reset);
        });
        let portolan = Portolan::with(H2, backend.address);
        assert_eq!(trailers_only(&portolan).as_deref(), Some(status), "{reset:?}");
    }
}

#[test]
fn a_call_that_breaks_off_after_its_head_is_reset_and_has_no_status() {
    let seen = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&seen);
    let backend = Http2Backend::start(move |_request, mut reply: Reply| {
        let told = Arc::clone(&told);
        async move {
            let Ok(mut stream) = reply.send_response(grpc_head(), false) else { return };
            let _ = stream.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false);
            told.notified().await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    let (answer, _stream) = client.begin(call(None), true);
    let answer = client.wait(answer).expect("a head");
    assert!(!answer.headers().contains_key("grpc-status"), "{answer:?}");
    seen.notify_one();
    let error = client.wait(read_body(answer.into_body())).expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    portolan.logged_reason("response_truncated");
}

#[test]
fn health_is_asked_for_by_grpc() {
    let serving = Arc::new(AtomicU8::new(1));
    let told = Arc::clone(&serving);
    let backend = Http2Backend::start(move |request: Asked, mut reply: Reply| {
        let serving = told.load(Ordering::SeqCst);
        async move {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            let (body, _) = read_body(request.into_body()).await.expect("a body");
            assert_eq!(body, b"\0\0\0\0\x06\x0a\x04shop");
            let Ok(mut stream) = reply.send_response(grpc_head(), false) else { return };
            let _ = stream.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, serving]), false);
            let _ = stream.send_trailers(status("0"));
        }
    });
    let portolan = Portolan::start(&format!(
        "[service.app]\n{H2}\nhealth = {{ kind = 'grpc', grpc_service = 'shop', \
         interval = '50ms', timeout = '50ms', unhealthy_after = 1 }}\n[[route]]\nservice = 'app'\n"
    ));
    portolan.register("app/a", backend.address);
    serving.store(2, Ordering::SeqCst);
    eventually(|| portolan.instance("app/a")["state"] == "unhealthy");
    assert!(portolan.instance("app/a").to_string().contains("NOT_SERVING"));
    serving.store(1, Ordering::SeqCst);
    eventually(|| portolan.instance("app/a")["state"] == "healthy");
}

/// A service that sends back what it gets, with trailers.
fn repeating() -> Http2Backend {
    Http2Backend::start(|request: Asked, mut reply: Reply| async move {
        assert_eq!(request.headers()["content-type"], "application/grpc+proto");
        assert_eq!(request.headers()["te"], "trailers");
        let (body, _) = read_body(request.into_body()).await.expect("a body");
        let mut head = grpc_head();
        let kind = http::HeaderValue::from_static("application/grpc+proto");
        head.headers_mut().insert("content-type", kind);
        let Ok(mut stream) = reply.send_response(head, false) else { return };
        let _ = stream.send_data(body.into(), false);
        let _ = stream.send_trailers(status("0"));
    })
}

#[track_caller]
fn for_browsers(address: std::net::SocketAddr) -> Portolan {
    Portolan::start(&format!(
        "[service.app]\nendpoints = ['{address}']\n{H2}\n[[route]]\nservice = 'app'\n\
         grpc_web = true\n"
    ))
}

const MESSAGE: &[u8] = b"\0\0\0\0\x03abc";
const TRAILERS: &[u8] = b"\x80\0\0\0\x10grpc-status: 0\r\n";

#[test]
fn a_call_of_a_browser_becomes_one_of_grpc() {
    let backend = repeating();
    let portolan = for_browsers(backend.address);
    let head = "POST /shop.Orders/Get HTTP/1.1\r\nhost: test\r\n\
                content-type: application/grpc-web+proto\r\ncontent-length: 8\r\n\r\n";
    let answer = portolan.exchange([head.as_bytes(), MESSAGE].concat());
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/grpc-web+proto"));
    assert_eq!(answer.body, [MESSAGE, TRAILERS].concat());
    assert!(answer.complete);
    // Without the setting nobody touches it.
    let portolan = Portolan::with(H2, backend.address);
    let answer = portolan.exchange([head.as_bytes(), MESSAGE].concat());
    assert_ne!(answer.field("content-type"), Some("application/grpc-web+proto"));
}

#[test]
fn a_call_of_a_browser_may_be_text() {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let backend = repeating();
    let portolan = for_browsers(backend.address);
    let body = BASE64_STANDARD.encode(MESSAGE);
    let head = |body: &str| {
        format!(
            "POST /shop.Orders/Get HTTP/1.1\r\nhost: test\r\n\
             content-type: application/grpc-web-text+proto\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let answer = portolan.exchange(head(&body));
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/grpc-web-text+proto"));
    let text = answer.text();
    let decoded: Vec<u8> = text
        .as_bytes()
        .chunks(4)
        .flat_map(|group| BASE64_STANDARD.decode(group).expect("groups of letters"))
        .collect();
    assert_eq!(decoded, [MESSAGE, TRAILERS].concat());
    // What is no text breaks off, and is the client's fault.
    for broken in ["!!!!", &body[..body.len() - 1]] {
        let answer = portolan.exchange(head(broken));
        let told = answer.field("grpc-message").map(str::to_owned).unwrap_or_default();
        assert!(told.starts_with("request_invalid"), "{broken}: {answer:?}");
    }
}

#[test]
fn a_browser_is_told_of_failures_in_its_own_words() {
    let portolan = for_browsers(Backend::refusing());
    let answer = portolan.exchange(
        "POST / HTTP/1.1\r\nhost: test\r\ncontent-type: application/grpc-web-text\r\n\
         content-length: 0\r\n\r\n",
    );
    assert_eq!((answer.status(), answer.field("grpc-status")), (200, Some("14")));
    assert_eq!(answer.field("content-type"), Some("application/grpc-web-text"));
}
