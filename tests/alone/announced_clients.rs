//! Instances that speak the PROXY protocol are told for whom each connection
//! is made.

use crate::support::{Accepted, Backend, Connection, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// An instance that says what stood before the first request, up to `mark` or
/// for so many bytes.
fn telling(read: fn(&mut Connection) -> Vec<u8>) -> Backend {
    Backend::start(move |mut accepted: Accepted| {
        let header = read(&mut accepted.connection);
        while accepted.request().is_some() {
            let length = header.len();
            accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
            accepted.send(&header);
        }
    })
}

fn line(connection: &mut Connection) -> Vec<u8> {
    connection.read_until(b"\r\n").unwrap_or_default()
}

fn binary(connection: &mut Connection) -> Vec<u8> {
    let mut header = connection.read_exact(16).unwrap_or_default();
    if let Some(length) = header.get(14..16) {
        let length = u16::from_be_bytes([length[0], length[1]]);
        header.extend(connection.read_exact(length.into()).unwrap_or_default());
    }
    header
}

/// One worker in front of `backend`.
fn before(backend: &Backend, service: &str) -> Portolan {
    Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n{service}\n[[route]]\nservice = 'app'",
        backend.address
    ))
}

#[test]
fn a_connection_is_made_for_one_client() {
    let backend = telling(line);
    let portolan = before(&backend, "proxy_protocol = 'v1'");
    let local = portolan.address();
    let mut clients = [portolan.connect(), portolan.connect()];
    for _ in 0..3 {
        for client in &mut clients {
            let peer = client.local_address();
            let expected = format!(
                "PROXY TCP4 {} {} {} {}\r\n",
                peer.ip(),
                local.ip(),
                peer.port(),
                local.port()
            );
            assert_eq!(client.exchange(GET).text(), expected);
        }
    }
    // Each has one of its own, and keeps it.
    assert_eq!(backend.connections(), 2);
}

#[test]
fn the_header_may_be_binary() {
    let backend = telling(binary);
    let portolan = before(&backend, "proxy_protocol = 'v2'");
    let mut client = portolan.connect();
    let port = client.local_address().port().to_be_bytes();
    let header = client.exchange(GET).body;
    assert_eq!(header[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!((&header[16..24], &header[24..26]), (&[127, 0, 0, 1, 127, 0, 0, 1][..], &port[..]));
}

#[test]
fn a_probe_is_made_for_nobody() {
    for (version, read, expected) in [
        ("v1", line as fn(&mut Connection) -> Vec<u8>, &b"PROXY UNKNOWN\r\n"[..]),
        ("v2", binary, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
    ] {
        let backend = Backend::start(move |mut accepted: Accepted| {
            let header = read(&mut accepted.connection);
            if let Some(request) = accepted.request() {
                let right = request.target() != "/healthz" || header == expected;
                let status = if right { 200 } else { 500 };
                accepted.send(format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n"));
            }
        });
        let portolan = before(
            &backend,
            &format!(
                "proxy_protocol = '{version}'\nhealth = {{ kind = 'http', path = '/healthz' }}"
            ),
        );
        eventually(|| portolan.get("/").status() == 200);
    }
}

#[test]
fn without_the_setting_nothing_stands_before_a_request() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let text = |protocol: &str| {
        format!(
            "workers = 1\n[defaults]\nproxy_protocol = 'v1'\n[service.app]\n\
             endpoints = ['{}']\nproxy_protocol = '{protocol}'\n[[route]]\nservice = 'app'",
            backend.address
        )
    };
    let portolan = Portolan::start(&text("off"));
    assert_eq!(portolan.get("/").status(), 200);
    assert!(backend.only_request().start.starts_with("GET "));
    // A connection that was made for nobody is not used for anybody.
    assert_eq!(portolan.reload(&text("v1")).status(), 200);
    let _ = portolan.get("/");
    eventually(|| backend.requests().len() == 2);
    assert!(backend.requests()[1].start.starts_with("PROXY TCP4 "));
}
