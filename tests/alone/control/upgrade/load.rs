//! Upgrades under load: no request is refused, lost or failed.

use std::{net::TcpStream, sync::atomic::AtomicBool, thread};

use super::*;
use crate::support::Backend;

/// An instance that answers everything with how long its body was, `/stream`
/// with chunks until told to end, and upgrades with an echo.
fn instance(stop: &'static AtomicBool) -> Backend {
    Backend::start(move |mut accepted| {
        while let Some(request) = accepted.request() {
            if request.field("upgrade").is_some() {
                accepted.send(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                     upgrade: websocket\r\n\r\n",
                );
                while let Ok(bytes) = accepted.connection.read() {
                    accepted.send(bytes);
                }
                return;
            }
            if request.target() == "/stream" {
                accepted.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                while !stop.load(Ordering::SeqCst) {
                    accepted.send("4\r\ntick\r\n");
                    thread::sleep(Duration::from_millis(20));
                }
                accepted.send("0\r\n\r\n");
                continue;
            }
            let body = request.body.len().to_string();
            let length = body.len();
            accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"));
        }
    })
}

/// Sends `request` over and over until `stop`, over one connection for as long
/// as that lasts if `keep`. Answers with how many were answered by `expected`,
/// and the rest.
fn client(
    proxy: &Portolan,
    stop: &AtomicBool,
    request: &str,
    expected: &str,
    keep: bool,
) -> (usize, Vec<String>) {
    let (mut good, mut bad) = (0, Vec::new());
    let mut open = None;
    while !stop.load(Ordering::SeqCst) {
        let mut connection = match open.take() {
            Some(connection) => connection,
            None => match TcpStream::connect(proxy.address()) {
                Ok(stream) => Connection::over(stream),
                Err(error) => {
                    bad.push(format!("refused: {error}"));
                    continue;
                }
            },
        };
        connection.send(request);
        let Ok(mut answer) = connection.read_head() else {
            bad.push("lost: it ended without an answer".to_owned());
            continue;
        };
        connection.read_body(&mut answer, true);
        if answer.status() == 200 && answer.complete && answer.text() == expected {
            good += 1;
        } else {
            bad.push(format!("failed: {answer:?}"));
        }
        if keep && answer.field("connection") != Some("close") {
            open = Some(connection);
        }
    }
    (good, bad)
}

/// Lets everybody stop, also when a test fails.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn under_load_nothing_is_refused_lost_or_failed() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let rounds = if length(Duration::ZERO, Duration::from_secs(1)).is_zero() { 4 } else { 20 };
    let mut proxy = spawned(&SELDOM.replace("path = '/healthz', ", "kind = 'tcp', "));
    let instances = [instance(&STOP), instance(&STOP)];
    proxy.register("app/a", instances[0].address);
    proxy.register("app/b", instances[1].address);
    let plain = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    let upload = format!(
        "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 20000\r\n\r\n{}",
        "x".repeat(20_000)
    );
    let mut stream = proxy.connect();
    stream.send("GET /stream HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.read_until(b"tick").expect("a chunk");
    let mut tunnel = drain::tunnel(&proxy);
    let shared = &proxy;
    let registered = thread::scope(|scope| {
        let stopping = Stopping(&STOP);
        let clients: Vec<_> = [
            (plain, "0", true),
            (plain, "0", true),
            (plain, "0", false),
            (plain, "0", false),
            (upload.as_str(), "20000", true),
            (upload.as_str(), "20000", false),
        ]
        .into_iter()
        .map(|(request, expected, keep)| {
            scope.spawn(move || client(shared, &STOP, request, expected, keep))
        })
        .collect();
        let registering = scope.spawn(|| {
            let (mut names, mut bad) = (Vec::new(), Vec::new());
            while !STOP.load(Ordering::SeqCst) {
                let name = format!("other/x{}", names.len());
                let body = r#"{"port": 1, "health": {"kind": "ttl"}}"#;
                let answer = shared.put(&name, "", body);
                if answer.status() != 201 {
                    bad.push(format!("{answer:?}"));
                }
                names.push(name);
                thread::sleep(Duration::from_millis(5));
            }
            (names, bad)
        });
        for _ in 0..rounds {
            shared.upgrade();
            tunnel.send("ping");
            assert_eq!(tunnel.read_exact(4).expect("an echo"), b"ping");
            thread::sleep(Duration::from_millis(200));
        }
        drop(stopping);
        for client in clients {
            let (good, bad) = client.join().expect("no panic");
            assert!(good > 0);
            assert!(bad.is_empty(), "{} of {}: {bad:#?}", bad.len(), good + bad.len());
        }
        let (names, bad) = registering.join().expect("no panic");
        assert!(bad.is_empty(), "{} of {}: {bad:#?}", bad.len(), names.len());
        names
    });
    stream.read_until(b"0\r\n\r\n").expect("the stream ends, and is not cut");
    drop(tunnel);
    assert_eq!(proxy.exit().code(), Some(0));
    for name in registered {
        assert_eq!(proxy.admin("GET", &path(&name), "").status(), 200, "{name} is lost");
    }
    let states = kinds(&proxy);
    assert!(!states.iter().any(|kind| kind == "state"), "{states:?}");
}
