//! An ordinary instance: it answers each request with what it got, in JSON.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Backend, Message};

/// An instance that answers with `name`, `method`, `target`, `headers` (pairs
/// of name and value in their order), `body` and `trailers`. A request for
/// `/healthz` gets 200 too.
#[derive(Debug)]
pub(crate) struct Echo {
    backend: Backend,
}

impl Echo {
    /// Starts one that calls itself `name`.
    pub(crate) fn start(name: &'static str) -> Self {
        Self {
            backend: Backend::start(move |mut accepted| {
                while let Some(request) = accepted.request() {
                    let body = describe(name, &request).to_string();
                    let length = body.len();
                    accepted.send(format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                         content-length: {length}\r\n\r\n"
                    ));
                    if request.method() != "HEAD" {
                        accepted.send(body);
                    }
                }
            }),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.backend.address
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.backend.connections()
    }

    /// Requests read so far.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.backend.requests()
    }
}

fn describe(name: &str, request: &Message) -> Value {
    json!({
        "name": name,
        "method": request.method(),
        "target": request.target(),
        "headers": request.fields,
        "body": request.text(),
        "trailers": request.trailers,
    })
}
