//! Which protocol a client speaks, told from the first bytes it sends.
//!
//! A client that knows that it may speak HTTP/2 begins with a preface that no
//! HTTP/1.1 request begins with (RFC 9113 section 3.4). It is looked for in
//! what has come, byte by byte, and never waited for once a byte differs.

use std::{future::Future, io::ErrorKind, pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::Farewell;
use crate::deadline::Deadline;

/// What an HTTP/2 connection begins with.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is read at once while looking: an ordinary head, so that looking costs
/// no read of its own.
const LOOK: usize = 2048;

/// What a connection is served as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// What was agreed on in a TLS handshake (RFC 7301).
    #[must_use]
    pub fn agreed(alpn: Option<&str>) -> Self {
        if alpn == Some("h2") { Self::Http2 } else { Self::Http1 }
    }
}

/// What a connection is served as, and what is known of it by then.
#[derive(Debug)]
pub struct Recognised {
    /// What it speaks.
    pub protocol: Protocol,
    /// What was read of it.
    pub ahead: Bytes,
    /// Whether the time for the head that `ahead` begins is over.
    pub late: bool,
}

impl Recognised {
    /// What speaks `protocol`, with `ahead` in time.
    #[must_use]
    pub const fn in_time(protocol: Protocol, ahead: Bytes) -> Self {
        Self { protocol, ahead, late: false }
    }
}

/// Finds out what `stream` speaks, of which `ahead` was read already. Answers
/// with nothing if no byte came in `patience`; what has only begun by then is
/// late. On `shutdown` it is what it was taken for so far.
pub async fn recognise(
    stream: &TcpStream,
    ahead: Bytes,
    patience: Duration,
    shutdown: impl Future<Output = Farewell>,
) -> Option<Recognised> {
    if let Some(protocol) = of(&ahead) {
        return Some(Recognised::in_time(protocol, ahead));
    }
    let deadline = Deadline::new();
    deadline.set(patience);
    let mut read = BytesMut::from(&*ahead);
    let protocol = {
        let mut shutdown = pin!(shutdown);
        let looking = async {
            loop {
                tokio::select! {
                    biased;
                    ready = stream.readable() => {
                        // hyper finds out what is wrong with it.
                        if ready.is_err() || !fill(stream, &mut read) {
                            return Protocol::Http1;
                        }
                    }
                    _ = &mut shutdown => return Protocol::Http1,
                }
                if let Some(protocol) = of(&read) {
                    return protocol;
                }
            }
        };
        deadline.limit(looking).await
    };
    if protocol.is_err() && read.is_empty() {
        return None;
    }
    let late = protocol.is_err();
    Some(Recognised { protocol: protocol.unwrap_or(Protocol::Http1), ahead: read.freeze(), late })
}

/// Reads what is there; whether more may come.
fn fill(stream: &TcpStream, read: &mut BytesMut) -> bool {
    let mut buffer = [0; LOOK];
    match stream.try_read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            read.extend_from_slice(&buffer[..count]);
            true
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// What begins with `bytes`, if they tell.
fn of(bytes: &[u8]) -> Option<Protocol> {
    if bytes.starts_with(PREFACE) {
        return Some(Protocol::Http2);
    }
    (!PREFACE.starts_with(bytes)).then_some(Protocol::Http1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_that_differs_tells() {
        assert_eq!(of(b""), None);
        assert_eq!(of(b"P"), None);
        assert_eq!(of(b"PO"), Some(Protocol::Http1));
        assert_eq!(of(b"PRI * HTTP/1"), Some(Protocol::Http1));
        assert_eq!(of(&PREFACE[..23]), None);
        assert_eq!(of(PREFACE), Some(Protocol::Http2));
        assert_eq!(of(&[&PREFACE[..], b"more"].concat()), Some(Protocol::Http2));
    }
}
