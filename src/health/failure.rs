//! Why a probe failed, and whose fault it was.
//!
//! What a failure prints is what people read in `explain` and in the log, so
//! it is short and has no control characters in it, whatever the instance
//! sent.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use rustix::io::Errno;

use crate::model::{AddressDenied, HumanDuration};

/// Why a probe did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The name has no address, or nobody could be asked.
    #[error("resolve {name}: {}", words(.source))]
    Resolve { name: Arc<str>, source: io::Error },
    /// The resolver did not answer in time.
    #[error("resolve {name}: no answer within {}", HumanDuration(*.within))]
    ResolveTimeout { name: Arc<str>, within: Duration },
    /// So many lookups hang that this one never began.
    #[error("resolve {name}: too many lookups are under way")]
    ResolverBusy { name: Arc<str> },
    /// The address is forbidden.
    #[error("connect: {0}")]
    Denied(AddressDenied),
    /// No connection.
    #[error("connect: {}", words(.0))]
    Connect(io::Error),
    /// No connection in time.
    #[error("connect: no answer within {}", HumanDuration(*.within))]
    ConnectTimeout { within: Duration },
    /// A connection, but no good answer.
    #[error("{request} -> {why}")]
    Http {
        /// Its method and path, this as shown: see [`shown_path`].
        request: String,
        why: HttpFailure,
    },
    /// A connection, but no good answer by gRPC.
    #[error("grpc health -> {0}")]
    Grpc(GrpcFailure),
}

/// Why an answer by gRPC did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrpcFailure {
    /// The address cannot be said in a request.
    #[error("not sent")]
    Unsendable,
    /// No answer in time.
    #[error("no answer within {}", HumanDuration(*.within))]
    Timeout { within: Duration },
    /// A status of HTTP that is none of gRPC.
    #[error("HTTP status {0}")]
    Http(u16),
    /// The call failed: 5 if the service is not known, 12 if health is not.
    #[error("grpc-status {0}")]
    Status(u32),
    /// It answers that it does not serve.
    #[error("{}", serving_words(*.0))]
    NotServing(u64),
    /// No TLS, with somebody else, or without HTTP/2.
    #[error("TLS: {0}")]
    Tls(String),
    /// What came is no answer.
    #[error("no message of grpc.health.v1")]
    NoAnswer,
    /// The connection broke, or what came is not HTTP/2.
    #[error("{0}")]
    Protocol(h2::Error),
}

/// The name of a `ServingStatus`.
const fn serving_words(status: u64) -> &'static str {
    match status {
        0 => "UNKNOWN",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "a status that is not known",
    }
}

/// Why an HTTP answer did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpFailure {
    /// The path or host cannot be sent.
    #[error("not sent: {0}")]
    Unsendable(http::Error),
    /// No answer in time.
    #[error("no answer within {}", HumanDuration(*.within))]
    Timeout { within: Duration },
    /// No TLS, or with somebody else.
    #[error("TLS: {0}")]
    Tls(String),
    /// A status that is not expected.
    #[error("{status}{}", Quoted(.body))]
    Status { status: u16, body: Vec<u8> },
    /// The expected text was not in the body.
    #[error("{status} without{}{}", Quoted(.wanted.as_bytes()), Quoted(.body))]
    Body { status: u16, wanted: String, body: Vec<u8> },
    /// The connection broke, or what came is not HTTP/1.1.
    #[error("{}", protocol_words(.0))]
    Protocol(hyper::Error),
}

impl Failure {
    /// Whether the instance refused the connection.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether it says something about this process and nothing about the
    /// instance. Such a probe is no verdict: a proxy that runs out of
    /// descriptors must not take every instance out.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::ResolverBusy { .. } => true,
            Self::Resolve { source, .. } => is_ours(source),
            Self::Connect(error) => is_ours(error),
            Self::Http { why: HttpFailure::Protocol(error), .. } => {
                io_source(error).is_some_and(is_ours)
            }
            Self::Grpc(GrpcFailure::Protocol(error)) => error.get_io().is_some_and(is_ours),
            _ => false,
        }
    }
}

/// Whether `error` means that this process, or the machine it runs on, is out
/// of something.
pub(super) fn is_ours(error: &io::Error) -> bool {
    is_exhausted(error) || is_out_of_ports(error)
}

/// Out of descriptors or memory.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| exhausted.contains(&errno))
}

/// No local address and port left to connect from, or none of that family.
pub(super) fn is_out_of_ports(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::ADDRNOTAVAIL)
}

fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    error.source().and_then(<dyn Error>::downcast_ref)
}

/// What the operating system said, without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn protocol_words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "the connection was closed before the answer was complete".to_owned()
    } else if let Some(error) = io_source(error) {
        words(error)
    } else if error.is_parse() {
        format!("not an HTTP/1.1 answer: {error}")
    } else {
        error.to_string()
    }
}

/// A path as shown: short, on one line, and without the query, which may hold
/// a secret.
pub(super) fn shown_path(path: &str) -> String {
    let (path, query) = path.split_once('?').map_or((path, ""), |(path, _)| (path, "?…"));
    let more = if path.chars().nth(Quoted::SHOWN).is_some() { "…" } else { "" };
    let letters = path.chars().take(Quoted::SHOWN).flat_map(char::escape_debug);
    letters.chain(more.chars()).chain(query.chars()).collect()
}

/// The beginning of a text in quotes, after a space; nothing if it is empty.
struct Quoted<'a>(&'a [u8]);

impl Quoted<'_> {
    /// The most characters shown.
    const SHOWN: usize = 80;
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0);
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let mut letters = text.chars();
        f.write_str(" \"")?;
        for letter in letters.by_ref().take(Self::SHOWN) {
            // `escape_debug` leaves nothing that moves a cursor or reorders a
            // line.
            letter.escape_debug().fmt(f)?;
        }
        f.write_str(if letters.next().is_some() { "…\"" } else { "\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_something_is_no_fault_of_the_instance() {
        for ours in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            assert!(Failure::Connect(ours.into()).is_ours(), "{ours}");
            let source = ours.into();
            assert!(Failure::Resolve { name: "a".into(), source }.is_ours(), "{ours}");
        }
        for theirs in [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::CONNRESET, Errno::TIMEDOUT] {
            assert!(!Failure::Connect(theirs.into()).is_ours(), "{theirs}");
        }
        assert!(!Failure::ConnectTimeout { within: Duration::from_secs(1) }.is_ours());
        assert!(Failure::ResolverBusy { name: "a".into() }.is_ours());
    }

    #[test]
    fn failures_read_well() {
        let refused = Failure::Connect(Errno::CONNREFUSED.into());
        assert!(refused.is_refused());
        assert_eq!(refused.to_string(), "connect: connection refused");
        let slow = Failure::ConnectTimeout { within: Duration::from_millis(500) };
        assert_eq!(slow.to_string(), "connect: no answer within 500ms");
        let body = b"db pool exhausted\n".to_vec();
        let why = HttpFailure::Status { status: 503, body };
        let failure = Failure::Http { request: "GET /healthz".to_owned(), why };
        assert_eq!(failure.to_string(), "GET /healthz -> 503 \"db pool exhausted\"");
    }

    #[test]
    fn a_query_is_not_shown() {
        assert_eq!(shown_path("/healthz"), "/healthz");
        assert_eq!(shown_path("/healthz?token=secret"), "/healthz?…");
        assert_eq!(shown_path("/a\r\nb"), "/a\\r\\nb");
        assert_eq!(shown_path(&"/".repeat(90)), format!("{}…", "/".repeat(80)));
    }

    #[test]
    fn what_the_instance_sent_is_cut_and_escaped() {
        assert_eq!(Quoted(b"").to_string(), "");
        assert_eq!(Quoted(b" \r\n").to_string(), "");
        assert_eq!(Quoted(b"a\x1b[2Jb\nc\"d").to_string(), r#" "a\u{1b}[2Jb\nc\"d""#);
        assert_eq!(Quoted("\u{202e}x".as_bytes()).to_string(), r#" "\u{202e}x""#);
        assert_eq!(Quoted(b"\xff\xfe").to_string(), " \"\u{fffd}\u{fffd}\"");
        let long = Quoted("é".repeat(100).as_bytes()).to_string();
        assert_eq!(long, format!(" \"{}…\"", "é".repeat(80)));
    }
}
