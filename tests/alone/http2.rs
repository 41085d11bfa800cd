//! HTTP/2 clients: requests and answers are those of HTTP/1.1, and a breach by
//! one client costs itself.

use std::{
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::Reason;
use http::Request;

use crate::support::{
    Accepted, Backend, Connection, Message, Portolan, eventually,
    frames::{
        CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GET,
        GOAWAY, HEADERS, NO_ERROR, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, fields,
        frame,
    },
    http2::{self, Http2, get, post},
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// Answers an upload whose head was read, and says that the connection ends
/// with it. A body that is left in the socket would end it by a reset, which
/// can take the answer along; and an end that is not announced can meet the
/// next upload, which may not be sent again.
fn take_and_answer(accepted: &mut Accepted, mut request: Message) {
    accepted.connection.read_body(&mut request, false);
    accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi");
}

#[test]
fn a_request_arrives_as_one_of_http_1_1() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x-secret\r\nx-secret: 1\r\n\
         keep-alive: timeout=5\r\nx-plain: yes\r\n\r\nhi",
    );
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    let request = Request::get("http://Shop.test:81/a?b=c")
        .header("cookie", "a=b")
        .header("te", "trailers")
        .header("cookie", "c=d")
        .body(())
        .expect("a request");
    let answer = client.exchange(request, b"").expect("an answer");
    assert_eq!((answer.status(), answer.text()), (200, "hi".to_owned()));
    assert_eq!(answer.field("x-plain"), Some("yes"));
    for gone in ["connection", "keep-alive", "x-secret", "transfer-encoding"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    let request = backend.only_request();
    assert_eq!(request.start, "GET /a?b=c HTTP/1.1");
    assert_eq!(request.field("host"), Some("Shop.test:81"));
    assert_eq!(request.field("cookie"), Some("a=b; c=d"));
    assert_eq!(request.field("te"), Some("trailers"));
    assert_eq!(request.field("via"), Some("2 portolan"));
    let line = portolan.logged_reason("ok");
    assert_eq!(line["protocol"], "HTTP/2.0");
    assert_eq!(line["host"], "Shop.test:81");
    assert_eq!(line["path"], "/a");
}

#[test]
fn bodies_and_trailers_pass_in_both_directions() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 7\r\ncontent-length: 99\r\n\r\n",
    );
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    let (answer, mut stream) = client.begin(post("/"), false);
    stream.send_data(Bytes::from_static(b"body"), false).expect("sent");
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-check", http::HeaderValue::from_static("9"));
    trailers.insert("host", http::HeaderValue::from_static("evil"));
    stream.send_trailers(trailers).expect("sent");
    let answer = client.wait(http2::read(answer)).expect("an answer");
    assert_eq!(answer.text(), "hi");
    assert_eq!(answer.trailer("x-sum"), Some("7"));
    assert_eq!(answer.trailers.len(), 1, "{answer:?}");
    let request = backend.only_request();
    assert_eq!(request.text(), "body");
    assert_eq!(request.field("transfer-encoding"), Some("chunked"));
    // hyper's upstream side sends those that `Trailer` names, and none of the
    // forbidden ones.
    assert_eq!(request.trailer("host"), None);
}

#[test]
fn failures_are_answered_as_in_http_1_1() {
    let portolan = Portolan::start("");
    let client = Http2::open(portolan.address());
    let answer = client.get("/");
    assert_eq!(answer.status(), 404);
    assert!(answer.text().contains("no_route"), "{answer:?}");
    assert_eq!(client.get("/").status(), 404);
}

#[test]
fn many_streams_share_a_connection() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    assert_eq!(client.get("/").status(), 200);
    let begun: Vec<_> = (0..80).map(|_| client.begin(get("/"), true)).collect();
    for (answer, _stream) in begun {
        assert_eq!(client.wait(http2::read(answer)).expect("an answer").status(), 200);
    }
    let series = format!("portolan_connections_total{{listener=\"{}\"}}", portolan.address());
    assert_eq!(portolan.metric(&series), 1.0);
}

#[test]
fn a_listener_may_speak_http_1_1_alone() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&format!(
        "[[listener]]\nhttp2 = {{ enabled = false }}\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut client = portolan.connect();
    client.send(PREFACE);
    if let Ok(answer) = client.read_head() {
        assert!(matches!(answer.status(), 400 | 505), "{answer:?}");
    }
    assert_eq!(portolan.get("/").status(), 200);
}

#[test]
fn a_preface_may_come_byte_by_byte_and_http_1_1_too() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for byte in b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx" {
        client.send([*byte]);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.read_response().status(), 200);
    let mut client = portolan.connect();
    for byte in PREFACE {
        client.send([*byte]);
        thread::sleep(Duration::from_millis(1));
    }
    client.send(frame(SETTINGS, 0, 0, &[]));
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&GET)));
    let mut seen = Vec::new();
    eventually(|| {
        seen.extend(client.read().expect("frames"));
        seen.windows(2).any(|bytes| bytes == b"hi")
    });
}

#[test]
fn half_a_preface_is_waited_for_as_long_as_a_head() {
    let portolan = Portolan::start("[[listener]]\nhead_timeout = '300ms'\n");
    // Until its last byte it may be a method of HTTP/1.1, and is answered as
    // the head of one is.
    for (count, part) in (1..).zip([1, 3, 10]) {
        let mut client = portolan.connect();
        client.send(&PREFACE[..part]);
        let answer = client.read_response();
        assert_eq!((answer.status(), &*answer.reason()), (408, "head_timeout"), "{part}");
        client.wait_for_end();
        eventually(|| portolan.ended("head_timeout") == f64::from(count));
    }
    let mut client = portolan.connect();
    client.send(PREFACE);
    client.send(frame(SETTINGS, 0, 0, &[]));
    client.send(frame(HEADERS, 0, 1, &fields(&GET[..2])));
    eventually(|| client.read().map_or(true, |bytes| bytes.is_empty()));
    eventually(|| portolan.ended("head_timeout") == 4.0);
    let lines = portolan.logged(4);
    assert_eq!(lines[3]["protocol"], "HTTP/2.0");
    assert!(lines.iter().all(|line| line["reason"] == "head_timeout"), "{lines:?}");
    // One that never said a word is no request.
    portolan.connect().wait_for_end();
    assert_eq!(portolan.ended("head_timeout"), 4.0);
}

#[test]
fn an_idle_connection_is_told_to_go_away() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&format!(
        "[[listener]]\nidle_timeout = '300ms'\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut client = Frames::open(portolan.address());
    client.request(1, &GET);
    assert_eq!(client.status(1), Some(200));
    let goaway = client.until(|frame| frame.kind == GOAWAY);
    assert_eq!(goaway.code(), NO_ERROR);
    client.rest();
}

#[test]
fn a_proxy_that_stops_says_goodbye_in_two_steps_and_ends_what_it_has_begun() {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let backend = Backend::start(move |mut accepted| {
        accepted.head();
        let _ = released.lock().expect("no panic").recv();
        accepted.send(OK);
    });
    let portolan = Portolan::start(&format!(
        "shutdown_timeout = '20s'\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut client = Frames::open(portolan.address());
    client.request(1, &GET);
    eventually(|| portolan.in_flight("app") == 1);
    let stopping = thread::spawn(move || drop(portolan));
    let goaway = client.until(|frame| frame.kind == GOAWAY);
    assert_eq!(goaway.code(), NO_ERROR);
    assert_eq!(goaway.payload[..4], [0x7f, 0xff, 0xff, 0xff]);
    let ping = client.until(|frame| frame.kind == PING);
    client.send(PING, 1, 0, &ping.payload);
    let goaway = client.until(|frame| frame.kind == GOAWAY);
    assert_eq!(goaway.payload[..4], [0, 0, 0, 1]);
    release.send(()).expect("sent");
    assert_eq!(client.status(1), Some(200));
    client.rest();
    stopping.join().expect("no panic");
}

#[test]
fn what_two_parsers_could_read_in_two_ways_is_refused() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let mut client = Frames::open(portolan.address());
    let mut stream = 1;
    let with = |more: &[(&'static str, &'static str)]| [&GET[..], more].concat();
    for head in [
        with(&[("host", "other")]),
        with(&[("host", "test"), ("host", "test2")]),
        with(&[("x", " a")]),
        with(&[("x", "a\t")]),
        vec![(":method", "GET"), (":scheme", "http"), (":path", "/")],
        vec![(":method", "GET"), (":scheme", "ftp"), (":authority", "test"), (":path", "/")],
        vec![(":method", "GET"), (":scheme", "https"), (":authority", "test"), (":path", "/")],
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "a@b"), (":path", "/")],
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/a%2fb")],
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "*")],
    ] {
        client.request(stream, &head);
        assert_eq!(client.status(stream), Some(400), "{head:?}");
        stream += 2;
    }
    // None of it has reached anybody, and the connection is as good as before.
    assert_eq!(backend.requests().len(), 0);
    client.request(stream, &GET);
    assert_eq!(client.status(stream), Some(200));
    let lines = portolan.logged(11);
    assert_eq!(lines.iter().filter(|line| line["reason"] == "request_invalid").count(), 10);
}

#[test]
fn a_message_that_is_malformed_ends_its_stream_and_no_other() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let mut client = Frames::open(portolan.address());
    let with = |more: &[(&'static str, &'static str)]| [&GET[..], more].concat();
    let mut stream = 1;
    for head in [
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("te", "gzip")]),
        with(&[("content-length", "5")]),
        with(&[(":path", "/again")]),
        // A pseudo field that is known, and comes too late; and a head
        // without the first one.
        vec![GET[0], GET[1], GET[2], ("x", "1"), GET[3]],
        GET[1..].to_vec(),
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "")],
    ] {
        client.request(stream, &head);
        let end = client.until(|frame| frame.stream == stream && frame.kind != WINDOW_UPDATE);
        assert!(end.kind == RST_STREAM || end.status() == Some(400), "{head:?}: {end:?}");
        stream += 2;
    }
    // More than was promised, and less.
    for (length, body) in [("1", "too long"), ("9", "short")] {
        let mut head = with(&[("content-length", length)]);
        head[0] = (":method", "POST");
        client.send(HEADERS, END_HEADERS, stream, &fields(&head));
        client.send(DATA, END_STREAM, stream, body.as_bytes());
        let end = client.until(|frame| frame.stream == stream && frame.kind != WINDOW_UPDATE);
        assert!(end.kind == RST_STREAM || end.status() == Some(400), "{end:?}");
        stream += 2;
    }
    client.request(stream, &GET);
    assert_eq!(client.status(stream), Some(200));
}

#[test]
fn a_field_that_is_none_ends_its_connection() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    for (count, field) in (1..).zip([("X", "1"), ("x y", "1"), ("x", "a\nb"), (":late", "1")]) {
        let mut client = Frames::open(portolan.address());
        client.request(1, &[&GET[..], &[field]].concat());
        let goaway = client.until(|frame| frame.kind == GOAWAY);
        assert_ne!(goaway.code(), NO_ERROR, "{field:?}");
        client.rest();
        eventually(|| portolan.ended("request_invalid") == f64::from(count));
    }
    assert_eq!(backend.requests().len(), 0);
}

#[test]
fn pseudo_fields_of_trailers_reach_nobody() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let mut client = Frames::open(portolan.address());
    let mut head = GET;
    head[0] = (":method", "POST");
    client.send(HEADERS, END_HEADERS, 1, &fields(&head));
    client.send(DATA, 0, 1, b"body");
    let trailers = fields(&[(":path", "/evil"), ("x-sum", "7")]);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &trailers);
    client.until(|frame| frame.stream == 1 && matches!(frame.kind, HEADERS | RST_STREAM));
    for request in backend.requests() {
        assert_eq!(request.target(), "/");
        assert!(!format!("{request:?}").contains("evil"));
    }
}

#[test]
fn the_number_of_fields_is_bounded_as_well_as_their_size() {
    let portolan = Portolan::start("");
    let client = Http2::open(portolan.address());
    let with = |count: usize, value: &str| {
        let mut request = get("/");
        for _ in 0..count {
            let value = http::HeaderValue::from_str(value).expect("a value");
            request.headers_mut().append("cookie", value);
        }
        client.exchange(request, b"").expect("an answer").status()
    };
    assert_eq!(with(100, "a"), 404);
    assert_eq!(with(101, "a"), 431);
    assert_eq!(portolan.logged_reason("head_too_large")["protocol"], "HTTP/2.0");
    assert_eq!(portolan.ended("head_too_large"), 1.0);
    assert_eq!(with(1, &"x".repeat(30_000)), 404);
    assert_eq!(with(3, &"x".repeat(20_000)), 431);
    eventually(|| portolan.ended("head_too_large") == 2.0);
    let lines = portolan.access_log();
    let refused = lines.iter().filter(|line| line["reason"] == "head_too_large");
    assert!(refused.clone().all(|line| line["status"] == 431), "{lines:?}");
    assert_eq!(refused.count(), 2);
    assert_eq!(with(1, "a"), 404);
}

#[test]
fn whoever_begins_streams_only_to_cancel_them_is_told_to_calm_down() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.connection.wait_for_end();
    });
    let portolan = Portolan::start(&format!(
        "[[listener]]\nhttp2 = {{ max_cancels = 50 }}\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut client = Frames::open(portolan.address());
    for index in 0..200 {
        let stream = 2 * index + 1;
        client.request(stream, &GET);
        client.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        // Slowly enough for each to be looked at.
        if index % 10 == 9 && !client.is_alive() {
            break;
        }
    }
    let mut other = Frames::open(portolan.address());
    assert!(other.is_alive());
    eventually(|| portolan.in_flight("app") == 0);
    assert!(portolan.ended("client_gone") < 150.0);
}

#[test]
fn a_flood_of_cancels_ends_with_enhance_your_calm() {
    let portolan = Portolan::start("[[listener]]\nhttp2 = { max_cancels = 50 }\n");
    let cancels = |count: u32| -> Vec<u8> {
        let one = |index| {
            let head = frame(HEADERS, END_HEADERS | END_STREAM, 2 * index + 1, &fields(&GET));
            [head, frame(RST_STREAM, 0, 2 * index + 1, &CANCEL.to_be_bytes())].concat()
        };
        (0..count).flat_map(one).collect()
    };
    // The last one is one too many. Of a longer flood the rest would be on its
    // way when the connection ends, and a reset in return would take the
    // goodbye with it.
    let mut client = Frames::open(portolan.address());
    client.connection.send(cancels(51));
    let frames = client.rest();
    let goaway = frames.iter().rfind(|frame| frame.kind == GOAWAY).expect("a goodbye");
    assert_eq!(goaway.code(), ENHANCE_YOUR_CALM);
    assert_eq!(portolan.logged_reason("flood")["protocol"], "HTTP/2.0");
    let mut client = Frames::open(portolan.address());
    client.connection.send(cancels(2000));
    client.rest();
    eventually(|| portolan.ended("flood") == 2.0);
    assert!(Frames::open(portolan.address()).is_alive());
}

#[test]
fn a_head_without_an_end_is_cut_off() {
    let portolan = Portolan::start("");
    let mut client = Frames::open(portolan.address());
    client.send(HEADERS, 0, 1, &fields(&GET));
    let crumb = frame(CONTINUATION, 0, 1, &fields(&[("cookie", &"x".repeat(8000))]));
    for _ in 0..2000 {
        if client.connection.try_send(&crumb).is_err() {
            break;
        }
    }
    client.rest();
    assert!(Frames::open(portolan.address()).is_alive());
}

#[test]
fn frames_that_carry_nothing_are_counted() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let empty = [frame(DATA, 0, 1, &[]), frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])];
    for (floods, empty) in (1..).zip(empty) {
        let mut client = Frames::open(portolan.address());
        let mut head = GET;
        head[0] = (":method", "POST");
        client.send(HEADERS, END_HEADERS, 1, &fields(&head));
        let stream = client.connection.into_stream();
        let mut reading = Connection::over(stream.try_clone().expect("a descriptor"));
        let mut flooding = Connection::over(stream);
        let reader =
            thread::spawn(move || while reading.read().is_ok_and(|bytes| !bytes.is_empty()) {});
        let many = empty.repeat(1000);
        assert!((0..1000).any(|_| flooding.try_send(&many).is_err()), "it was not ended");
        reader.join().expect("no panic");
        eventually(|| portolan.ended("flood") == f64::from(floods));
    }
    assert_eq!(portolan.get("/").status(), 200);
}

#[test]
fn a_slow_stream_does_not_stall_its_neighbours() {
    let backend = Backend::start(|mut accepted| {
        let Some(request) = accepted.head() else { return };
        if request.target() == "/large" {
            accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n");
            accepted.connection.send_until_stuck(104_857_600);
            accepted.connection.wait_for_end();
        } else {
            accepted.send(OK);
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(16 << 20);
    let client = Http2::with(portolan.address(), &builder);
    // Its body is asked for by nobody.
    let (large, _stream) = client.begin(get("/large"), true);
    let large = client.wait(large).expect("a head");
    for _ in 0..20 {
        assert_eq!(client.get("/small").status(), 200);
    }
    drop((large, _stream));
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn a_slow_upload_does_not_stall_its_neighbours() {
    let backend = Backend::start(|mut accepted| {
        let Some(request) = accepted.head() else { return };
        if request.target() == "/slow" {
            accepted.connection.wait_for_end();
        } else {
            take_and_answer(&mut accepted, request);
        }
    });
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    let (_answer, mut stream) = client.begin(post("/slow"), false);
    stream.send_data(Bytes::from(vec![0; 8 << 20]), false).expect("queued");
    eventually(|| portolan.in_flight("app") == 1);
    for _ in 0..20 {
        assert_eq!(client.exchange(post("/fast"), b"body").expect("an answer").status(), 200);
    }
    stream.send_reset(Reason::CANCEL);
    eventually(|| portolan.in_flight("app") == 0);
    assert_eq!(client.get("/fast").status(), 200);
}

#[test]
fn uploads_that_are_stuck_leave_the_window_of_their_connection_open() {
    let held = Mutex::new(Vec::new());
    let backend = Backend::start(move |mut accepted| {
        let Some(request) = accepted.head() else { return };
        if request.target() == "/stuck" {
            // Nobody reads more of it.
            held.lock().expect("no panic").push(accepted);
        } else {
            take_and_answer(&mut accepted, request);
        }
    });
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    // More of them than one would have to fill a window of their own size, and
    // more in each than all that is between here and the instance can hold.
    let body = Bytes::from(vec![0; 16 << 20]);
    let stuck: Vec<_> = (0..20)
        .map(|_| {
            let (answer, mut stream) = client.begin(post("/stuck"), false);
            stream.send_data(body.clone(), false).expect("queued");
            (answer, stream)
        })
        .collect();
    eventually(|| portolan.in_flight("app") == 20);
    // For as long as the sockets in between take to fill, and then some.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let answer = client.exchange(post("/fast"), &[0; 10_000]).expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    drop(stuck);
    eventually(|| portolan.in_flight("app") == 0);
}

#[test]
fn a_client_that_does_not_take_its_response_loses_the_stream_alone() {
    let backend = Backend::start(|mut accepted| {
        let Some(request) = accepted.head() else { return };
        if request.target() == "/large" {
            accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n");
            accepted.connection.send_until_stuck(104_857_600);
            accepted.connection.wait_for_end();
        } else {
            accepted.send(OK);
        }
    });
    let portolan = Portolan::start(&format!(
        "[[listener]]\nidle_timeout = '500ms'\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(16 << 20);
    let client = Http2::with(portolan.address(), &builder);
    let (large, _stream) = client.begin(get("/large"), true);
    let _large = client.wait(large).expect("a head");
    eventually(|| {
        assert_eq!(client.get("/small").status(), 200);
        thread::sleep(Duration::from_millis(100));
        portolan.in_flight("app") == 0
    });
    assert!(!client.has_ended());
    portolan.logged_reason("client_gone");
}

#[test]
fn a_client_that_cancels_is_known_to_have_gone() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.connection.wait_for_end();
    });
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    let (answer, mut stream) = client.begin(get("/"), true);
    eventually(|| portolan.in_flight("app") == 1);
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    eventually(|| portolan.in_flight("app") == 0);
    portolan.logged_reason("client_gone");
}

#[test]
fn a_response_that_breaks_off_is_reset() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi");
    });
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    let error = client.exchange(get("/"), b"").expect_err("it broke off");
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    portolan.logged_reason("response_truncated");
}

#[test]
fn an_answer_may_come_before_the_request_has_ended() {
    let backend = Backend::start(|mut accepted| {
        accepted.head();
        accepted.send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    });
    let portolan = Portolan::before(backend.address);
    let client = Http2::open(portolan.address());
    let (answer, mut stream) = client.begin(post("/"), false);
    stream.send_data(Bytes::from_static(b"begun"), false).expect("sent");
    let answer = client.wait(http2::read(answer)).expect("an answer");
    assert_eq!((answer.status(), answer.text()), (413, "no".to_owned()));
    let reason = client.wait(std::future::poll_fn(|context| stream.poll_reset(context)));
    assert_eq!(reason.expect("a reset"), Reason::NO_ERROR);
    assert_eq!(client.get("/").status(), 413);
}
