//! A request that the proxy has to answer itself.

use std::borrow::Cow;

use crate::{deadline::Elapsed, model::Reason, upstream::ConnectError};

/// Why, in a word and in words.
#[derive(Debug)]
pub(super) struct Failure {
    /// The word.
    pub(super) reason: Reason,
    /// For a person. Says nothing about what is behind the proxy.
    pub(super) detail: Cow<'static, str>,
    /// In how many seconds it may go better, if that is known.
    pub(super) retry_after: Option<u32>,
    /// Whether the instance has said that it did not look at the request.
    pub(super) untouched: bool,
}

impl Failure {
    /// A failure for `reason`.
    #[must_use]
    pub(super) const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail: Cow::Borrowed(detail), retry_after: None, untouched: false }
    }

    /// The same, with the time after which it may go better.
    pub(super) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same, for a request that the instance did not look at.
    pub(super) const fn untouched(mut self) -> Self {
        self.untouched = true;
        self
    }

    pub(super) const fn invalid(detail: &'static str) -> Self {
        Self::new(Reason::RequestInvalid, detail)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused(_) => {
                Self::new(Reason::ConnectRefused, "the instance refused the connection")
            }
            ConnectError::Resolve { .. } => {
                Self::new(Reason::DnsError, "the name of the instance could not be resolved")
            }
            ConnectError::Denied(_) => {
                Self::new(Reason::AddressDenied, "the address of the instance is not allowed")
            }
            ConnectError::Tls { certificate: true, .. } => Self::new(
                Reason::TlsCertificateError,
                "the certificate of the instance does not verify",
            ),
            ConnectError::NoHttp2 => {
                Self::new(Reason::TlsProtocolError, "the instance does not offer HTTP/2")
            }
            ConnectError::Misfit => Self::new(
                Reason::UpstreamProtocolError,
                "the service speaks h2 over TLS, or h2c in the clear, and the instance cannot",
            ),
            ConnectError::Tls { .. } => {
                Self::new(Reason::TlsProtocolError, "the instance does not speak TLS as it should")
            }
            ConnectError::Exhausted(_) => {
                Self::new(Reason::ProxyExhausted, "the proxy has no connection left")
            }
            _ => Self::new(Reason::ConnectFailed, "the instance could not be reached"),
        }
    }
}

/// The failure that goes with a time that is over: that of the phase, or that
/// of the whole request.
pub(super) fn elapsed(elapsed: Elapsed, phase: Failure) -> Failure {
    match elapsed {
        Elapsed::Total => Failure::new(Reason::RequestTimeout, "the request took too long"),
        Elapsed::Expired => {
            let detail = "the instance left, and the time for what it was doing is over";
            Failure::new(Reason::DrainTimeout, detail)
        }
        Elapsed::Phase => phase,
    }
}
