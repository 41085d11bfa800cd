//! What a request costs in allocations.
//!
//! They are counted over the whole process, in which nothing else happens
//! meanwhile, and do not depend on the machine: more than is allowed here is
//! what somebody has changed.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it needs")]

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[allow(unused_imports, reason = "these tests use a part of it")]
#[path = "support/mod.rs"]
mod support;

use support::Portolan;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUESTS: usize = 2000;

/// For what the proxy does once a second, and when something grows at last.
const MARGIN: f64 = 0.1;

/// Answers every request, each of `length` bytes, without allocating.
fn instance(length: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut read = [0; 8192];
                let mut got = 0;
                while let Ok(count) = stream.read(&mut read)
                    && count > 0
                {
                    got += count;
                    let ends = read[..count].windows(4).any(|four| four == b"\r\n\r\n");
                    if (length == 0 && ends) || (length > 0 && got >= length) {
                        got = 0;
                        stream.write_all(ANSWER).expect("a proxy");
                    }
                }
            });
        }
    });
    address
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: test\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\
    content-type: text/plain\r\ncontent-length: 5\r\n\r\nhello";

/// Allocations of the process for each `request`, asked one after the other
/// over one connection.
fn allocations(portolan: &Portolan, request: &[u8]) -> f64 {
    let mut client = TcpStream::connect(portolan.listeners[0]).expect("a proxy");
    let mut read = [0; 8192];
    let mut ask = |times: usize| {
        for _ in 0..times {
            client.write_all(request).expect("a proxy");
            let mut got = 0;
            while !read[..got].ends_with(b"hello") {
                let count = client.read(&mut read[got..]).expect("an answer");
                assert!(count > 0, "{}", String::from_utf8_lossy(&read[..got]));
                got += count;
            }
        }
    };
    ask(200);
    let region = Region::new(ALLOCATOR);
    ask(REQUESTS);
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / REQUESTS as f64
}

fn main() {
    let portolan = |address: SocketAddr| {
        Portolan::start(&format!(
            "workers = 1\n[telemetry.access_log]\nmode = 'off'\n[service.app]\n\
             endpoints = ['{address}']\n\
             [[route]]\npath = '/api'\nservice = 'app'\nstrip_prefix = true\n\
             [[route]]\nservice = 'app'\n"
        ))
    };
    let browser = "user-agent: Mozilla/5.0\r\naccept: text/html\r\naccept-encoding: gzip\r\n\
        accept-language: en\r\ncookie: a=b; c=d\r\nreferer: http://a.example/\r\n";
    let cases = [
        ("as it came", "GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n".to_owned(), 4.0),
        ("prefix stripped", "GET /api/x HTTP/1.1\r\nhost: a.example\r\n\r\n".to_owned(), 5.0),
        ("of a browser", format!("GET /x HTTP/1.1\r\nhost: a.example\r\n{browser}\r\n"), 5.0),
    ];
    let proxy = portolan(instance(0));
    println!("| allocations of a request | counted | allowed |\n| --- | --- | --- |");
    let mut failed = false;
    for (name, request, allowed) in cases {
        let counted = allocations(&proxy, request.as_bytes());
        println!("| {name} | {counted:.2} | {allowed} |");
        failed |= counted > allowed + MARGIN;
    }
    assert!(!failed, "more allocations than allowed");
}
