//! Fronts: services register as with a registry of another make, by plain
//! HTTP. Their real clients are in `tests/registries`.

mod access;
mod consul;
mod consul_checks;
mod consul_waits;
mod eureka;
mod eureka_reads;
mod reads_all;
mod upgrade;

use std::net::SocketAddr;

use crate::support::{Backend, Connection, Message, Portolan};

/// A proxy with one front, described by `front`, and a route to `orders`.
#[track_caller]
fn start(front: &str) -> Portolan {
    Portolan::start(&format!("[[front]]\n{front}\n[[route]]\nservice = 'orders'\n"))
}

/// An instance that answers `here`.
fn backend() -> Backend {
    Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere")
}

/// Calls the front at `address` as a client without a token does.
#[track_caller]
fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Message {
    call_with(address, method, path, body, "")
}

/// As [`call`], with further header `fields`, a line each.
#[track_caller]
fn call_with(address: SocketAddr, method: &str, path: &str, body: &str, fields: &str) -> Message {
    let length = body.len();
    Connection::open(address).exchange(format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\
         connection: close\r\n{fields}\r\n{body}"
    ))
}
