//! What is asked of the proxies.

use crate::{
    load::{Protocol, Work},
    transport,
};

/// Which of a target's addresses is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    Tls,
    /// HTTP/2 without TLS, known beforehand.
    H2c,
    /// The same, by targets that pass on calls of gRPC.
    Grpc,
}

/// A kind of work with a name.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) work: Work,
}

const BROWSER: &str = "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
accept-encoding: gzip, deflate, br, zstd\r\n\
accept-language: en-GB,en;q=0.9,de;q=0.7\r\n\
cache-control: no-cache\r\n\
cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes; visitor=8c1f0a52-3b8e-4a63-9ad5-4e6d1a1b7c55\r\n\
referer: http://bench.test/some/page/of/the/shop?item=4711&size=xl\r\n\
sec-fetch-dest: document\r\n\
sec-fetch-mode: navigate\r\n";

fn get(path: &str, fields: &str) -> Vec<u8> {
    format!("GET /api{path} HTTP/1.1\r\nhost: bench.test\r\n{fields}\r\n").into_bytes()
}

fn body(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {head}\r\nhost: bench.test\r\ncontent-type: text/plain\r\n");
    [head.as_bytes(), body].concat()
}

/// Every scenario, in the order of the report.
pub(crate) fn all() -> anyhow::Result<Vec<Scenario>> {
    let steady = |request| Work {
        protocol: Protocol::Http1,
        tls: None,
        request,
        connections: 64,
        reconnect: false,
        rate: None,
    };
    let plain = |name: &str, work| Scenario { name: name.to_owned(), way: Way::Plain, work };
    let other = |name: &str, way, work| Scenario { name: name.to_owned(), way, work };
    let small = get("/b200", "");
    let close = get("/b200", "connection: close\r\n");
    let block = vec![b'y'; 16 << 10];
    let post = body("/api/b200 HTTP/1.1", &[b"content-length: 16384\r\n\r\n", &*block].concat());
    let mut chunked = body("/api/chunks HTTP/1.1", b"transfer-encoding: chunked\r\n\r\n");
    for part in block.chunks(1 << 12) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(&[part, b"\r\n"].concat());
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let tls = transport::config("http/1.1")?;
    let keep_alive = Work { tls: Some(tls.clone()), ..steady(small.clone()) };
    let handshakes =
        Work { tls: Some(tls), reconnect: true, connections: 16, ..steady(close.clone()) };
    let h2c =
        Work { protocol: Protocol::Http2(8), connections: 16, ..steady(b"/api/b200".to_vec()) };
    let h2 = Work { tls: Some(transport::config("h2")?), ..h2c.clone() };
    let grpc =
        Work { protocol: Protocol::Grpc(8), request: b"/bench.Echo/Call".to_vec(), ..h2c.clone() };
    // A text message of 64 bytes, masked with zeros (RFC 6455 section 5.2).
    let frame = [&[0x81, 0x80 | 64, 0, 0, 0, 0][..], &[b'x'; 64]].concat();
    let websocket = Work { protocol: Protocol::WebSocket, ..steady(frame) };
    Ok(vec![
        plain("small", steady(small.clone())),
        plain("heads", steady(get("/b200", BROWSER))),
        plain("16 KiB", steady(get("/b16k", ""))),
        plain("1 MiB", Work { connections: 16, ..steady(get("/b1m", "")) }),
        plain("POST 16 KiB", steady(post)),
        plain("chunked both ways", steady(chunked)),
        plain("1,000 connections", Work { connections: 1000, ..steady(small.clone()) }),
        plain("a connection each", Work { reconnect: true, connections: 32, ..steady(close) }),
        plain("6,000 a second", Work { rate: Some(6000), ..steady(small.clone()) }),
        plain("25,000 a second", Work { rate: Some(25_000), ..steady(small) }),
        plain("WebSocket", websocket),
        other("TLS", Way::Tls, keep_alive),
        other("TLS, a handshake each", Way::Tls, handshakes),
        other("h2 over TLS", Way::Tls, h2),
        other("h2c", Way::H2c, h2c),
        other("gRPC unary", Way::Grpc, grpc),
    ])
}

/// The first scenario with more and more connections.
pub(crate) fn growth() -> anyhow::Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for connections in [1, 8, 64, 512, 4096] {
        for Scenario { name, way, work } in all()?.into_iter().take(1) {
            let name = format!("{name}, {connections} connections");
            scenarios.push(Scenario { name, way, work: Work { connections, ..work } });
        }
    }
    Ok(scenarios)
}
