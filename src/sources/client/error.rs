//! Why a call brought nothing.

use std::time::Duration;

use http::StatusCode;

/// How much of a body that is not understood is shown, in characters.
const SHOWN: usize = 120;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call brought nothing. Its text is for the log: it holds neither user
/// nor password.
#[derive(Debug, thiserror::Error)]
pub(in crate::sources) enum CallError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// TLS did not come about.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The connection broke, or something else than HTTP came.
    #[error("the answer is broken: {}", root(.0.as_ref()))]
    Broken(Cause),
    /// Nothing in time.
    #[error("no {what} within {}", humantime::format_duration(*.within))]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
    },
    /// Longer than is read.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// In an encoding, though none was asked for.
    #[error("the answer is encoded as {0:?}, which was not asked for")]
    Encoded(String),
    /// A status that is no success here.
    #[error("status {}{}{beginning}", .status.as_u16(), meaning(*.status))]
    Status {
        /// It.
        status: StatusCode,
        /// How the body begins, with what sets it off.
        beginning: String,
    },
    /// A body that is not what it should be.
    #[error("the answer is not understood: {why}{beginning}")]
    NotUnderstood {
        /// Where and why.
        why: serde_json::Error,
        /// How the body begins, with what sets it off.
        beginning: String,
    },
}

/// What `status` means where its number alone says little.
fn meaning(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => " (user and password, or a token, are missing or wrong)",
        _ => "",
    }
}

/// How `body` begins, on one line, after a colon; empty if it is empty.
pub(super) fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let plain = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    format!(": {}", plain.take(SHOWN).collect::<String>())
}

/// What is at the bottom of `error`: the sentences above it say little.
fn root(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
