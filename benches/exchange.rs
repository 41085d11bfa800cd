//! What a plain exchange with an instance costs: a request without a body and
//! a small answer, over a connection that is kept, to a thread that answers.
//!
//! `cargo bench --bench exchange`. The allocations are those of the client
//! alone and do not depend on the machine; the times are mostly the kernel's.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up should say so and end")]

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    pin::Pin,
    thread,
};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use http::{HeaderMap, HeaderValue, Request, header};
use http_body::Body;
use http_body_util::Empty;
use portolan::upstream::{self, Connection, Outgoing, Stream};
use tokio::{net::TcpStream, runtime::LocalRuntime};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: test\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\
    content-type: text/plain\r\ncontent-length: 5\r\n\r\nhello";

/// The same with a field whose name no standard knows.
const CUSTOM: &[u8] = b"HTTP/1.1 200 OK\r\nserver: test\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\
    content-type: text/plain\r\nx-custom: 1\r\ncontent-length: 5\r\n\r\nhello";

/// Answers whatever it is sent with `answer`.
fn instance(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut read = [0; 4096];
        while stream.read(&mut read).is_ok_and(|count| count > 0) {
            stream.write_all(answer).expect("a client");
        }
    });
    address
}

fn fields() -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(16);
    for (name, value) in [
        (header::HOST, "orders.example"),
        (header::USER_AGENT, "bench"),
        (header::ACCEPT, "*/*"),
        (header::VIA, "1.1 portolan"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields
}

async fn exchange(connection: Connection, head: &Request<()>) -> Connection {
    let body = Outgoing::new(Empty::<Bytes>::new());
    let answer = connection.send(head, body, |_, _| {}).await.expect("an answer");
    let (parts, mut body) = answer.into_parts();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        drop(frame.expect("a frame"));
    }
    let connection = body.take_connection().expect("a connection that is kept");
    // As the proxy does with the heads of its requests.
    upstream::recycle(parts.headers);
    connection
}

#[divan::bench]
fn plain_get(bencher: Bencher<'_, '_>) {
    exchanges(bencher, ANSWER);
}

#[divan::bench]
fn with_a_field_of_its_own(bencher: Bencher<'_, '_>) {
    exchanges(bencher, CUSTOM);
}

fn exchanges(bencher: Bencher<'_, '_>, answer: &'static [u8]) {
    let runtime = LocalRuntime::new().expect("a runtime");
    let address = instance(answer);
    let mut head = Request::new(());
    *head.headers_mut() = fields();
    let mut connection = Some(runtime.block_on(async {
        let stream = TcpStream::connect(address).await.expect("an instance");
        stream.set_nodelay(true).expect("a socket");
        Connection::open(Stream::Plain(stream), None)
    }));
    bencher.bench_local(|| {
        let kept = connection.take().expect("the last one");
        connection = Some(runtime.block_on(exchange(kept, &head)));
    });
}
