//! Instances that speak HTTP/2: requests share connections, what was provably
//! not looked at is sent elsewhere, and a loss is no greater than it has to be.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, server};
use http::{HeaderMap, HeaderValue, Response};

use crate::support::{
    Backend, Portolan, eventually,
    frames::{
        END_HEADERS, END_STREAM, Frames, GET, GOAWAY, HEADERS, PING, PUSH_PROMISE, SETTINGS, fields,
    },
    http2::{self, Asked, Http2, Http2Backend, Reply, get, post, read_body},
};

const H2: &str = "protocol = 'h2c'";

fn ok(mut reply: Reply, text: &'static str) {
    if let Ok(mut stream) = reply.send_response(Response::new(()), false) {
        let _ = stream.send_data(Bytes::from_static(text.as_bytes()), true);
    }
}

/// Waits until the stream is reset.
async fn until_reset(mut reply: Reply) {
    let _ = poll_fn(|context| reply.poll_reset(context)).await;
}

#[test]
fn a_request_of_http_1_1_arrives_as_one_of_http_2() {
    let backend = Http2Backend::start(|request: Asked, reply| async move {
        assert_eq!(request.uri().to_string(), "http://test/a?b");
        assert!(!request.headers().contains_key("host"));
        assert!(!request.headers().contains_key("connection"));
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.headers()["content-length"], "4");
        let (body, _) = read_body(request.into_body()).await.expect("a body");
        assert_eq!(body, b"body");
        ok(reply, "hi");
    });
    let portolan = Portolan::with(H2, backend.address);
    for _ in 0..3 {
        let answer = portolan.exchange(
            "POST /a?b HTTP/1.1\r\nhost: test\r\nte: trailers\r\ncontent-length: 4\r\n\r\nbody",
        );
        assert_eq!((answer.status(), answer.text()), (200, "hi".to_owned()));
    }
    assert!(backend.connections() <= 2, "one for each worker");
}

#[test]
fn bodies_and_trailers_pass_between_clients_and_instances_of_http_2() {
    let backend = Http2Backend::start(|request: Asked, mut reply: Reply| async move {
        let (body, trailers) = read_body(request.into_body()).await.expect("a body");
        assert_eq!(trailers["x-check"], "9");
        let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
        let _ = stream.send_data(body.into(), false);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let _ = stream.send_trailers(trailers);
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    let (answer, mut stream) = client.begin(post("/"), false);
    stream.send_data(Bytes::from(vec![7; 300_000]), false).expect("sent");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static("9"));
    stream.send_trailers(trailers).expect("sent");
    let answer = client.wait(http2::read(answer)).expect("an answer");
    assert_eq!(answer.body, vec![7; 300_000]);
    assert_eq!(answer.trailer("x-sum"), Some("7"));
}

#[test]
fn both_sides_may_speak_by_turns() {
    let backend = Http2Backend::start(|request: Asked, mut reply: Reply| async move {
        let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
        let mut body = request.into_body();
        while let Some(Ok(chunk)) = body.data().await {
            let _ = body.flow_control().release_capacity(chunk.len());
            let _ = stream.send_data(chunk, false);
        }
        let _ = stream.send_data(Bytes::new(), true);
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    let (answer, mut stream) = client.begin(post("/"), false);
    let mut body = client.wait(answer).expect("a head").into_body();
    for text in ["one", "two", "three"] {
        stream.send_data(Bytes::from_static(text.as_bytes()), false).expect("sent");
        assert_eq!(client.wait(body.data()).expect("a chunk").expect("a chunk"), text);
    }
    stream.send_data(Bytes::new(), true).expect("sent");
    assert!(client.wait(body.data()).is_none_or(|end| end.expect("an end").is_empty()));
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn a_crowd_shares_a_connection_as_far_as_the_instance_allows() {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(10);
    let waiting = Arc::new(tokio::sync::Barrier::new(40));
    let backend = Http2Backend::with(builder, move |_request, reply| {
        let waiting = Arc::clone(&waiting);
        async move {
            waiting.wait().await;
            ok(reply, "hi");
        }
    });
    let portolan = Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n{H2}\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let client = Http2::open(portolan.address());
    // So that the settings of the instance are known.
    let begun: Vec<_> = (0..40).map(|_| client.begin(get("/"), true)).collect();
    for (answer, _stream) in begun {
        assert_eq!(client.wait(http2::read(answer)).expect("an answer").status(), 200);
    }
    assert!((4..=8).contains(&backend.connections()), "{}", backend.connections());
}

#[test]
fn what_a_goaway_leaves_out_is_sent_over_another_connection() {
    let number = Arc::new(AtomicUsize::new(0));
    let backend = Http2Backend::serving(move |stream, requests| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = server::handshake(stream).await.expect("a handshake");
            while let Some(Ok((request, reply))) = connection.accept().await {
                requests.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let (body, _) = read_body(request.into_body()).await.unwrap_or_default();
                    assert_eq!(body, b"once");
                    ok(reply, "hi");
                });
                // From here on each request is one that it was not to get.
                if number < 5 {
                    connection.graceful_shutdown();
                }
            }
        }
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    for _ in 0..50 {
        let answer = client.exchange(post("/"), b"once").expect("an answer");
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    assert_eq!(backend.requests(), 50);
}

#[test]
fn a_refused_stream_is_sent_to_another_instance_with_its_body() {
    let refusing = Http2Backend::start(|_request, mut reply: Reply| async move {
        reply.send_reset(Reason::REFUSED_STREAM);
    });
    let serving = Http2Backend::start(|request: Asked, reply| async move {
        let (body, _) = read_body(request.into_body()).await.unwrap_or_default();
        assert_eq!(body, b"once");
        ok(reply, "hi");
    });
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}', '{}']\n{H2}\n[[route]]\nservice = 'app'\n",
        refusing.address, serving.address
    ));
    let client = Http2::open(portolan.address());
    // No more than the budget lets be sent again.
    for _ in 0..8 {
        let answer = client.exchange(post("/"), b"once").expect("an answer");
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    assert_eq!(serving.requests(), 8);
}

#[test]
fn a_post_that_may_have_been_processed_is_not_sent_twice() {
    let broken = Http2Backend::start(|_request, mut reply: Reply| async move {
        reply.send_reset(Reason::INTERNAL_ERROR);
    });
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}', '{}']\n{H2}\n[[route]]\nservice = 'app'\n",
        broken.address, broken.address
    ));
    let client = Http2::open(portolan.address());
    let answer = client.exchange(post("/"), b"once").expect("an answer");
    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("upstream_reset"), "{answer:?}");
    assert_eq!(broken.requests(), 1);
}

#[test]
fn a_connection_that_has_ended_is_not_noticed_by_clients() {
    let backend = Http2Backend::serving(|stream, requests| async move {
        let mut connection = server::handshake(stream).await.expect("a handshake");
        if let Some(Ok((_request, reply))) = connection.accept().await {
            requests.fetch_add(1, Ordering::SeqCst);
            ok(reply, "hi");
        }
        connection.graceful_shutdown();
        while connection.accept().await.is_some() {}
    });
    let portolan = Portolan::with(H2, backend.address);
    for _ in 0..30 {
        assert_eq!(portolan.get("/").status(), 200);
    }
    assert_eq!(backend.requests(), 30);
}

#[test]
fn five_thousand_cancels_do_not_cost_a_neighbour_its_connection() {
    let backend = Http2Backend::start(|request: Asked, mut reply: Reply| async move {
        if request.uri().path() == "/neighbour" {
            let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
            let (_, trailers) = read_body(request.into_body()).await.unwrap_or_default();
            drop(trailers);
            let _ = stream.send_data(Bytes::from_static(b"alive"), true);
            return;
        }
        // It goes on sending for a while after nobody listens.
        if let Ok(mut stream) = reply.send_response(Response::new(()), false) {
            for _ in 0..4 {
                let _ = stream.send_data(Bytes::from(vec![0; 1000]), false);
                tokio::task::yield_now().await;
            }
            let _ = poll_fn(|context| stream.poll_reset(context)).await;
        }
    });
    let portolan = Portolan::start(&format!(
        "workers = 1\n[[listener]]\nhttp2 = {{ max_cancels = 100000 }}\n\
         [service.app]\nendpoints = ['{}']\n{H2}\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    // Its own library would give up first.
    let mut builder = h2::client::Builder::new();
    builder.max_concurrent_reset_streams(10_000).max_local_error_reset_streams(None);
    let client = Http2::with(portolan.address(), &builder);
    let (neighbour, mut upload) = client.begin(post("/neighbour"), false);
    let neighbour = client.wait(neighbour).expect("a head");
    for _ in 0..100 {
        let begun: Vec<_> = (0..50).map(|_| client.begin(get("/"), true)).collect();
        let mut heads = Vec::new();
        for (answer, stream) in begun {
            heads.push((client.wait(answer).expect("a head"), stream));
        }
        for (_head, mut stream) in heads {
            stream.send_reset(Reason::CANCEL);
        }
    }
    upload.send_data(Bytes::from_static(b"end"), true).expect("sent");
    let (body, _) = client.wait(read_body(neighbour.into_body())).expect("the neighbour lives");
    assert_eq!(body, b"alive");
    assert_eq!(backend.connections(), 1);
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let backend = Http2Backend::start(|request: Asked, mut reply: Reply| async move {
        if request.uri().path() != "/large" {
            return ok(reply, "hi");
        }
        let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
        for _ in 0..1000 {
            stream.reserve_capacity(16_384);
            let room = poll_fn(|context| stream.poll_capacity(context)).await;
            let Some(Ok(room)) = room else { return };
            if stream.send_data(Bytes::from(vec![0; room]), false).is_err() {
                return;
            }
        }
    });
    let portolan = Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n{H2}\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(64 << 20);
    let client = Http2::with(portolan.address(), &builder);
    let large: Vec<_> = (0..50)
        .map(|_| {
            let (answer, stream) = client.begin(get("/large"), true);
            (client.wait(answer).expect("a head"), stream)
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(client.get("/small").text(), "hi");
    }
    assert_eq!(backend.connections(), 1);
    drop(large);
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn a_cancel_reaches_the_instance_and_a_reset_the_client() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&cancelled);
    let backend = Http2Backend::start(move |request: Asked, mut reply: Reply| {
        let counted = Arc::clone(&counted);
        async move {
            if request.uri().path() == "/wait" {
                until_reset(reply).await;
                counted.fetch_add(1, Ordering::SeqCst);
            } else if let Ok(mut stream) = reply.send_response(Response::new(()), false) {
                let _ = stream.send_data(Bytes::from_static(b"begun"), false);
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
        }
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    let (answer, mut stream) = client.begin(post("/wait"), false);
    eventually(|| portolan.in_flight("app") == 1);
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    eventually(|| cancelled.load(Ordering::SeqCst) == 1);
    let error = client.exchange(get("/broken"), b"").expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    portolan.logged_reason("response_truncated");
}

#[test]
fn a_drain_waits_for_streams() {
    let (release, released) = tokio::sync::watch::channel(false);
    let backend = Http2Backend::start(move |_request, reply| {
        let mut released = released.clone();
        async move {
            let _ = released.wait_for(|released| *released).await;
            ok(reply, "hi");
        }
    });
    let portolan = Portolan::start(&format!("[service.app]\n{H2}\n[[route]]\nservice = 'app'\n"));
    portolan.register("app/a", backend.address);
    let client = Http2::open(portolan.address());
    let (answer, _stream) = client.begin(get("/"), true);
    eventually(|| portolan.in_flight("app") == 1);
    let drained = std::thread::scope(|scope| {
        let draining = scope.spawn(|| portolan.deregister("app/a"));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!draining.is_finished());
        release.send(true).expect("sent");
        draining.join().expect("no panic")
    });
    assert_eq!(drained.status(), 200, "{drained:?}");
    assert_eq!(client.wait(http2::read(answer)).expect("an answer").status(), 200);
    eventually(|| backend.open() == 0);
}

#[test]
fn an_instance_that_does_not_speak_it_is_found_out() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::with(H2, backend.address);
    let answer = portolan.get("/");
    assert_eq!(answer.status(), 502, "{answer:?}");
}

#[test]
fn a_push_of_an_instance_ends_its_connection() {
    let backend = Backend::start(|accepted| {
        let mut instance = Frames::of_instance(accepted.connection);
        while let Ok(frame) = instance.next() {
            match (frame.kind, frame.flags) {
                (SETTINGS, 0) => instance.send(SETTINGS, 1, 0, &[]),
                (PING, 0) => instance.send(PING, 1, 0, &frame.payload),
                (HEADERS, _) => {
                    // To come by stream 2, which was said not to be wanted.
                    let promise = [&[0, 0, 0, 2][..], &fields(&GET)].concat();
                    instance.send(PUSH_PROMISE, END_HEADERS, frame.stream, &promise);
                    instance.send(HEADERS, END_HEADERS | END_STREAM, frame.stream, &[0x88]);
                }
                (GOAWAY, _) => assert_eq!(frame.code(), 1, "PROTOCOL_ERROR"),
                _ => {}
            }
        }
    });
    let portolan = Portolan::with(H2, backend.address);
    assert_eq!(portolan.get("/").status(), 502);
}

#[test]
fn an_answer_says_which_way_it_came() {
    let backend = Http2Backend::answering("hi");
    let portolan = Portolan::with(H2, backend.address);
    assert_eq!(portolan.get("/").field("via"), Some("2 portolan"));
    let backend =
        Backend::answering("HTTP/1.1 200 OK\r\nvia: 1.0 before\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::before(backend.address);
    let answer = portolan.get("/");
    assert_eq!(answer.all("via"), ["1.0 before", "1.1 portolan"]);
}

/// A proxy before `backend`, whose answer it refuses.
#[track_caller]
fn is_refused(backend: &Http2Backend) {
    let portolan = Portolan::with(H2, backend.address);
    let answer = portolan.get("/");
    let seen = (answer.status(), &*answer.reason());
    assert_eq!(seen, (502, "upstream_protocol_error"), "{answer:?}");
    assert_eq!(backend.requests(), 1);
}

#[test]
fn b3_two_lengths_are_refused_from_http_2_too() {
    // The library lets two pass that are equal.
    for second in ["2", "3", "2, 2"] {
        let backend = Http2Backend::start(move |_request, mut reply: Reply| async move {
            let mut head = Response::new(());
            for length in ["2", second] {
                head.headers_mut().append("content-length", HeaderValue::from_static(length));
            }
            let Ok(mut stream) = reply.send_response(head, false) else { return };
            let _ = stream.send_data(Bytes::from_static(b"hi"), true);
        });
        is_refused(&backend);
    }
}

/// So many fields of one name.
fn many(count: usize) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for _ in 0..count {
        fields.append("a", HeaderValue::from_static("b"));
    }
    fields
}

#[test]
fn heads_and_trailers_from_http_2_are_bounded_in_fields() {
    let with_head = |count| {
        Http2Backend::start(move |_request, mut reply: Reply| async move {
            let mut head = Response::new(());
            *head.headers_mut() = many(count);
            let _ = reply.send_response(head, true);
        })
    };
    is_refused(&with_head(257));
    let most = with_head(256);
    let answer = Portolan::with(H2, most.address).get("/");
    assert_eq!((answer.status(), answer.all("a").len()), (200, 256));

    let backend = Http2Backend::start(|_request, mut reply: Reply| async move {
        let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
        let _ = stream.send_data(Bytes::from_static(b"hi"), false);
        let _ = stream.send_trailers(many(257));
    });
    let portolan = Portolan::with(H2, backend.address);
    let client = Http2::open(portolan.address());
    client.exchange(get("/"), b"").expect_err("it broke off");
    portolan.logged_reason("response_truncated");
}

/// An instance that has extended CONNECT, sends `hints` interim answers, and
/// agrees to whatever it is asked for.
fn hinting(hints: usize) -> Http2Backend {
    let mut builder = server::Builder::new();
    builder.enable_connect_protocol();
    Http2Backend::with(builder, move |request: Asked, mut reply: Reply| async move {
        for _ in 0..hints {
            let hint = Response::builder().status(103).header("link", "</a>").body(());
            let _ = reply.send_informational(hint.expect("a head"));
        }
        let Ok(mut stream) = reply.send_response(Response::new(()), false) else { return };
        if request.extensions().get::<h2::ext::Protocol>().is_none() {
            let _ = stream.send_data(Bytes::from_static(b"hi"), true);
        } else {
            until_reset(reply).await;
        }
    })
}

const WEBSOCKET: &str = "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\n\
                         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn b8_interim_answers_of_http_2_are_dropped_and_counted() {
    let most = hinting(16);
    let answer = Portolan::with(H2, most.address).get("/");
    assert_eq!((answer.status(), answer.text()), (200, "hi".to_owned()));
    is_refused(&hinting(17));
    // And on the way to a WebSocket.
    let portolan = Portolan::with(H2, most.address);
    let mut client = portolan.connect();
    client.send(WEBSOCKET);
    assert_eq!(client.read_head().expect("a head").status(), 101);
    let endless = hinting(17);
    let answer = Portolan::with(H2, endless.address).exchange(WEBSOCKET);
    assert_eq!((answer.status(), &*answer.reason()), (502, "upstream_protocol_error"));
    assert_eq!(endless.requests(), 1);
}
