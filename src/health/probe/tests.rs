//! Probes against listeners that misbehave in every way that was thought of.

use std::{net::SocketAddr, num::NonZeroU16};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::*;
use crate::{
    health::{Prober, ProberSettings, prober::tests::target},
    model::{HealthSettings, HumanDuration, Verdict},
};

/// What a backend does after it wrote its answer.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Hold,
}

/// Answers every connection with the same bytes; what it was sent comes out
/// of the channel.
async fn backend(answer: impl Into<Vec<u8>>, then: Then) -> (SocketAddr, mpsc::Receiver<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (requests, received) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok() {}
            _ = requests.send(String::from_utf8_lossy(&request).into_owned()).await;
            // A probe that has seen enough may hang up in the middle.
            _ = stream.write_all(&answer).await;
            match then {
                Then::Close => {}
                Then::Hold => held.push(stream),
            }
        }
    });
    (address, received)
}

fn http(path: &str) -> HealthSettings {
    let timeout = Some(HumanDuration::from_secs(60));
    HealthSettings { path: Some(path.to_owned()), timeout, ..HealthSettings::default() }
}

fn guard(allow_loopback: bool) -> AddressGuard {
    AddressGuard::new(allow_loopback, Vec::new())
}

async fn outcome_of(target: &Target, guard: &AddressGuard) -> Outcome {
    match run(&Dialer::new(), target, guard).await {
        Conclusion::Known(outcome) => outcome,
        Conclusion::Ours(failure) => panic!("no verdict: {failure}"),
    }
}

/// Whether the probe passed, and its detail.
async fn probed(address: SocketAddr, settings: &HealthSettings) -> (bool, String) {
    let outcome = outcome_of(&target(&address.to_string(), settings), &guard(true)).await;
    assert!(!outcome.refused);
    (outcome.passed, outcome.detail)
}

async fn answered(answer: impl Into<Vec<u8>>, settings: &HealthSettings) -> (bool, String) {
    let (address, _requests) = backend(answer, Then::Close).await;
    probed(address, settings).await
}

fn said(passed: bool, detail: &str) -> (bool, String) {
    (passed, detail.to_owned())
}

#[tokio::test]
async fn a_good_answer_passes_and_the_request_says_who_asks() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (address, mut requests) = backend(answer, Then::Hold).await;
    let result = probed(address, &http("/healthz?deep=1")).await;
    assert_eq!(result, said(true, "GET /healthz?… -> 200"));
    let request = requests.recv().await.expect("a request").to_ascii_lowercase();
    assert!(request.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{request}");
    for header in [
        format!("\r\nhost: {address}\r\n"),
        "\r\nconnection: close\r\n".to_owned(),
        format!("\r\nuser-agent: portolan-probe/{}\r\n", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(request.contains(&header), "{header:?} in {request}");
    }
}

#[tokio::test]
async fn host_and_port_can_be_others_than_those_of_the_instance() {
    let (address, mut requests) = backend("HTTP/1.1 204 No Content\r\n\r\n", Then::Close).await;
    let settings = HealthSettings {
        host: Some("orders.internal".to_owned()),
        port: NonZeroU16::new(address.port()),
        ..http("/")
    };
    let outcome = outcome_of(&target("localhost:1", &settings), &guard(true)).await;
    assert!(outcome.passed, "{}", outcome.detail);
    let request = requests.recv().await.expect("a request").to_ascii_lowercase();
    assert!(request.contains("\r\nhost: orders.internal\r\n"), "{request}");
}

#[tokio::test]
async fn a_bad_status_is_shown_with_the_beginning_of_its_body() {
    let answer =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 18\r\n\r\ndb pool exhausted\n";
    let result = answered(answer, &http("/healthz")).await;
    assert_eq!(result, said(false, "GET /healthz -> 503 \"db pool exhausted\""));
}

#[tokio::test]
async fn a_bad_status_is_known_even_if_its_body_never_comes() {
    let answer = "HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\npartial";
    let (address, _requests) = backend(answer, Then::Hold).await;
    assert_eq!(probed(address, &http("/")).await, said(false, "GET / -> 500 \"partial\""));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (elsewhere, mut followed) = backend("HTTP/1.1 200 OK\r\n\r\n", Then::Close).await;
    let answer =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(answered(answer.clone(), &http("/")).await, said(true, "GET / -> 302"));
    let strict = HealthSettings { expect_status: Some("200".parse().expect("a set")), ..http("/") };
    assert_eq!(answered(answer, &strict).await, said(false, "GET / -> 302"));
    assert!(followed.try_recv().is_err());
}

#[tokio::test]
async fn a_server_that_sends_its_body_later_is_not_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut read).await.expect("a request");
        }
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        stream.write_all(head).await.expect("the head is taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
        stream.write_all(b"ready").await.expect("the body is taken");
        stream.read_buf(&mut read).await
    });
    assert_eq!(probed(address, &http("/")).await, said(true, "GET / -> 200"));
    let read = server.await.expect("no panic");
    assert!(matches!(read, Ok(0)), "closed, not reset: {read:?}");
}

#[tokio::test]
async fn an_expected_text_is_looked_for() {
    let ready = HealthSettings { expect_body: Some("ready".to_owned()), ..http("/") };
    let body = |body: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
    assert_eq!(answered(body("status: ready"), &ready).await, said(true, "GET / -> 200"));
    let result = answered(body("starting"), &ready).await;
    assert_eq!(result, said(false, "GET / -> 200 without \"ready\" \"starting\""));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n";
    let (address, _requests) = backend(chunked, Then::Hold).await;
    assert_eq!(probed(address, &ready).await, said(true, "GET / -> 200"));
}

#[tokio::test]
async fn a_text_beyond_the_limit_is_not_found() {
    let ready = HealthSettings { expect_body: Some("ready".to_owned()), ..http("/") };
    let body = |before: usize| {
        let padding = "x".repeat(before);
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{padding}ready{padding}")
    };
    let (passed, _) = answered(body((64 << 10) - 5), &ready).await;
    assert!(passed);
    let (passed, detail) = answered(body((64 << 10) - 4), &ready).await;
    assert!(!passed);
    assert_eq!(detail, format!("GET / -> 200 without \"ready\" \"{}…\"", "x".repeat(80)));
    let (passed, detail) = answered(body(8 << 20), &ready).await;
    assert!(!passed && detail.len() < 200);
}

#[tokio::test]
async fn half_an_answer_fails() {
    let broke = said(false, "GET / -> the connection was closed before the answer was complete");
    assert_eq!(answered("", &http("/")).await, broke);
    assert_eq!(answered("HTTP/1.1 200 OK\r\ncontent-le", &http("/")).await, broke);
    let ready = HealthSettings { expect_body: Some("ready".to_owned()), ..http("/") };
    let half_a_body = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nrea";
    let (passed, detail) = answered(half_a_body, &ready).await;
    assert!(!passed && detail.starts_with("GET / -> "), "{detail}");
}

#[tokio::test]
async fn what_is_not_http_fails() {
    for garbage in
        ["SSH-2.0-OpenSSH_9.9\r\n", "\0\x01\x02\x1b[2J\r\n\r\n", "+PONG\r\n", "HTTP/9.9 x"]
    {
        let (passed, detail) = answered(garbage, &http("/")).await;
        assert!(!passed && !detail.contains(char::is_control), "{detail:?}");
    }
    let endless_head = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(1 << 20));
    let (passed, detail) = answered(endless_head, &http("/")).await;
    assert!(!passed, "{detail}");
}

#[tokio::test]
async fn silence_fails_when_the_time_is_up() {
    let hasty =
        |settings| HealthSettings { timeout: Some(HumanDuration::from_millis(50)), ..settings };
    let silent = said(false, "GET / -> no answer within 50ms");
    let (address, _requests) = backend("", Then::Hold).await;
    assert_eq!(probed(address, &hasty(http("/"))).await, silent);
    let (address, _requests) = backend("HTTP/1.1 200 OK\r\n", Then::Hold).await;
    assert_eq!(probed(address, &hasty(http("/"))).await, silent);
    let ready = HealthSettings { expect_body: Some("ready".to_owned()), ..http("/") };
    let (address, _requests) = backend("HTTP/1.1 200 OK\r\n\r\nstill…", Then::Hold).await;
    assert_eq!(probed(address, &hasty(ready)).await, silent);
    // A TCP probe asks for no more than this.
    assert_eq!(
        probed(address, &hasty(HealthSettings::default())).await,
        said(true, "connect: accepted")
    );
}

#[tokio::test]
async fn a_refused_connection_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    for settings in [http("/"), HealthSettings::default()] {
        let outcome = outcome_of(&target(&address, &settings), &guard(true)).await;
        assert!(!outcome.passed && outcome.refused);
        assert_eq!(outcome.detail, "connect: connection refused");
    }
}

#[tokio::test]
async fn forbidden_addresses_are_not_connected_to() {
    let (address, mut requests) = backend("HTTP/1.1 200 OK\r\n\r\n", Then::Close).await;
    // By name too: what counts is what it resolves to.
    for written in [address.to_string(), format!("localhost:{}", address.port())] {
        let mut target = target(&written, &http("/"));
        let outcome = outcome_of(&target, &guard(false)).await;
        assert!(!outcome.passed && !outcome.refused);
        assert!(outcome.detail.contains("is not allowed: loopback"), "{}", outcome.detail);
        assert!(requests.try_recv().is_err());

        // The config file may name it, unless it is a listener of our own.
        target.provenance = crate::model::Provenance::Named;
        assert!(outcome_of(&target, &guard(false)).await.passed);
        requests.recv().await.expect("a request");
        let own = AddressGuard::new(true, vec![address]);
        let outcome = outcome_of(&target, &own).await;
        assert!(!outcome.passed);
        assert!(outcome.detail.contains("the proxy itself"), "{}", outcome.detail);
        assert!(requests.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_sent_is_a_failure() {
    let (address, mut requests) = backend("HTTP/1.1 200 OK\r\n\r\n", Then::Close).await;
    let split = HealthSettings { host: Some("a\r\nx: y".to_owned()), ..http("/") };
    for settings in [http("/a b"), http("/a\r\nx: y"), split] {
        let (passed, detail) = probed(address, &settings).await;
        assert!(!passed && !detail.contains(char::is_control), "{detail:?}");
        assert!(requests.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_watched_instance_is_probed_over_the_network() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (address, mut requests) = backend(answer, Then::Close).await;
    let (sender, mut reports) = mpsc::unbounded_channel();
    let prober = Prober::start(&ProberSettings::default(), guard(false), sender);
    let target = target(&address.to_string(), &http("/healthz"));
    prober.watch(target.clone());
    let report = reports.recv().await.expect("a report");
    assert_eq!((report.endpoint, report.verdict), (target.endpoint, Verdict::Unknown));
    assert!(requests.try_recv().is_err());

    prober.set_guard(guard(true));
    let report = reports.recv().await.expect("a report");
    assert_eq!((report.verdict, report.changed, report.in_a_row), (Verdict::Passing, true, 1));
    assert_eq!(report.outcome.detail, "GET /healthz -> 200");
    let last = prober.last(target.endpoint).expect("a probe");
    assert_eq!((last.verdict, last.outcome), (Verdict::Passing, report.outcome));
    assert_eq!(prober.counts().passed, 1);
}

/// In a process of its own, since the limit holds for all tests of this one.
#[tokio::test]
async fn out_of_descriptors_there_is_no_verdict() {
    const INNER: &str = "PORTOLAN_TEST_OUT_OF_DESCRIPTORS";
    if std::env::var_os(INNER).is_none() {
        let this = std::env::current_exe().expect("a path");
        let name = "health::probe::tests::out_of_descriptors_there_is_no_verdict";
        let inner = std::process::Command::new(this)
            .args(["--exact", name])
            .env(INNER, "1")
            .output()
            .expect("starts");
        assert!(inner.status.success(), "{}", String::from_utf8_lossy(&inner.stdout));
        return;
    }
    let (address, _requests) = backend("HTTP/1.1 200 OK\r\n\r\n", Then::Close).await;
    let limit = getrlimit(Resource::Nofile);
    let none = Rlimit { current: Some(0), ..limit };
    for settings in [http("/"), HealthSettings::default()] {
        let target = target(&address.to_string(), &settings);
        setrlimit(Resource::Nofile, none).expect("lowered");
        let conclusion = run(&Dialer::new(), &target, &guard(true)).await;
        setrlimit(Resource::Nofile, limit).expect("raised");
        assert!(matches!(conclusion, Conclusion::Ours(_)), "{conclusion:?}");
        assert!(outcome_of(&target, &guard(true)).await.passed);
    }
}
