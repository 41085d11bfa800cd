//! The one word that says how a request ended.
//!
//! The same word stands in the access log, the metric, the error body and
//! `explain`. `docs/reference/reasons.md` explains each; a test holds the two
//! together.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $status:expr;)+) => {
        /// How a request ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the docs.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The status of the proxy's own answer; none where the answer is
            /// an instance's, or where there is nobody left to answer.
            #[must_use]
            pub const fn status(self) -> Option<u16> {
                match self { $(Self::$variant => $status,)+ }
            }
        }
    };
}

reasons! {
    /// An instance's response was forwarded to its last byte, whatever its
    /// status.
    Ok = "ok", None;
    /// A route answered with its redirect.
    Redirect = "redirect", None;
    /// The proxy answered an `OPTIONS` that was for itself.
    Answered = "answered", None;
    /// An upgraded connection ended; both sides were served until then.
    TunnelClosed = "tunnel_closed", None;
    /// Nothing passed through an upgraded connection for too long.
    TunnelIdleTimeout = "tunnel_idle_timeout", None;
    /// The client left before its response was complete.
    ClientGone = "client_gone", None;
    /// A connection from a load balancer does not begin with a PROXY protocol
    /// header that can be read.
    ProxyHeaderInvalid = "proxy_header_invalid", None;
    /// A client of HTTP/2 does too much that leads to nothing.
    Flood = "flood", None;
    /// The request breaks a rule of HTTP or of this proxy.
    RequestInvalid = "request_invalid", Some(400);
    /// No route matches.
    NoRoute = "no_route", Some(404);
    /// CONNECT and TRACE are refused.
    MethodRefused = "method_refused", Some(405);
    /// The request head did not come to its end in time.
    HeadTimeout = "head_timeout", Some(408);
    /// The request body stopped coming.
    RequestBodyTimeout = "request_body_timeout", Some(408);
    /// The request body is longer than the service allows.
    RequestTooLarge = "request_too_large", Some(413);
    /// The request target is longer than the listener allows.
    TargetTooLong = "target_too_long", Some(414);
    /// An `Expect` other than `100-continue`.
    ExpectationRefused = "expectation_refused", Some(417);
    /// The host has another rule for client certificates than the connection
    /// was held to.
    Misdirected = "misdirected", Some(421);
    /// The request head is larger, or has more fields, than the listener
    /// allows.
    HeadTooLarge = "head_too_large", Some(431);
    /// The proxy itself failed.
    InternalError = "internal_error", Some(500);
    /// A transfer coding other than chunked.
    CodingRefused = "coding_refused", Some(501);
    /// A version of HTTP that is not spoken here.
    VersionRefused = "version_refused", Some(505);
    /// An extended CONNECT to a protocol other than WebSocket.
    ProtocolRefused = "protocol_refused", Some(501);
    /// The instance refused the connection.
    ConnectRefused = "connect_refused", Some(502);
    /// The connection could not be opened for another reason.
    ConnectFailed = "connect_failed", Some(502);
    /// The certificate of the instance does not verify.
    TlsCertificateError = "tls_certificate_error", Some(502);
    /// The TLS handshake with the instance failed.
    TlsProtocolError = "tls_protocol_error", Some(502);
    /// The name of the instance could not be resolved.
    DnsError = "dns_error", Some(502);
    /// The instance resolves to an address that the address rules forbid.
    AddressDenied = "address_denied", Some(502);
    /// The instance closed the connection before a response head.
    UpstreamReset = "upstream_reset", Some(502);
    /// The instance's answer breaks a rule of HTTP.
    UpstreamProtocolError = "upstream_protocol_error", Some(502);
    /// The service has no instance that may get requests.
    NoHealthyInstance = "no_healthy_instance", Some(503);
    /// The service fails so much that it is given a rest.
    CircuitOpen = "circuit_open", Some(503);
    /// The service is at its limit and its queue is full.
    Overload = "overload", Some(503);
    /// The service is at its limit and the wait in its queue was too long.
    QueueTimeout = "queue_timeout", Some(503);
    /// The proxy has no descriptor or port left to connect with.
    ProxyExhausted = "proxy_exhausted", Some(503);
    /// The connection was not open in time.
    ConnectTimeout = "connect_timeout", Some(504);
    /// The response head did not come in time.
    ResponseTimeout = "response_timeout", Some(504);
    /// The whole request took too long.
    RequestTimeout = "request_timeout", Some(504);
    /// The instance left, and the time for what was in flight on it was over.
    DrainTimeout = "drain_timeout", Some(504);
    /// The response body stopped coming.
    ResponseIdleTimeout = "response_idle_timeout", None;
    /// The response body ended before its end.
    ResponseTruncated = "response_truncated", None;
    /// The request has passed through this proxy too often.
    LoopDetected = "loop_detected", Some(508);
}

/// What a reason comes to in the ledger: every accepted request ends in
/// exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// It was served, to the end that an instance or a route gave it.
    Completed,
    /// Its client left first.
    ClientGone,
    /// It was not one to be served: a breach of a rule or a limit, or for
    /// nobody.
    Refused,
    /// It was, and it was not served, or not to its end.
    Failed,
}

impl Reason {
    /// What this comes to in the ledger.
    #[must_use]
    pub const fn ending(self) -> Ending {
        match self {
            Self::Ok
            | Self::Redirect
            | Self::Answered
            | Self::TunnelClosed
            | Self::TunnelIdleTimeout => Ending::Completed,
            Self::ClientGone => Ending::ClientGone,
            Self::ProxyHeaderInvalid
            | Self::Flood
            | Self::RequestInvalid
            | Self::NoRoute
            | Self::MethodRefused
            | Self::HeadTimeout
            | Self::RequestBodyTimeout
            | Self::RequestTooLarge
            | Self::TargetTooLong
            | Self::ExpectationRefused
            | Self::Misdirected
            | Self::HeadTooLarge
            | Self::CodingRefused
            | Self::VersionRefused
            | Self::ProtocolRefused
            | Self::LoopDetected => Ending::Refused,
            Self::InternalError
            | Self::ConnectRefused
            | Self::ConnectFailed
            | Self::TlsCertificateError
            | Self::TlsProtocolError
            | Self::DnsError
            | Self::AddressDenied
            | Self::UpstreamReset
            | Self::UpstreamProtocolError
            | Self::NoHealthyInstance
            | Self::Overload
            | Self::QueueTimeout
            | Self::CircuitOpen
            | Self::ProxyExhausted
            | Self::ConnectTimeout
            | Self::ResponseTimeout
            | Self::RequestTimeout
            | Self::DrainTimeout
            | Self::ResponseIdleTimeout
            | Self::ResponseTruncated => Ending::Failed,
        }
    }

    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The place of this reason in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether the request ended as it should: served, or answered by a route.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Ok | Self::Redirect | Self::Answered | Self::TunnelClosed)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
            let word = reason.as_str();
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
            assert_eq!(Reason::ALL.iter().filter(|other| other.as_str() == word).count(), 1);
        }
    }

    #[test]
    fn the_docs_say_what_every_reason_comes_to() {
        let docs = include_str!("../../docs/reference/reasons.md");
        for (ending, name) in [
            (Ending::Completed, "completed"),
            (Ending::ClientGone, "client_gone"),
            (Ending::Refused, "refused"),
        ] {
            let start = format!("- `{name}`: ");
            let line = docs.lines().find_map(|line| line.strip_prefix(&start)).expect("a line");
            let of = Reason::ALL.iter().filter(|reason| reason.ending() == ending);
            let words: Vec<_> = of.map(|reason| format!("`{reason}`")).collect();
            assert_eq!(line, words.join(", "));
        }
    }

    #[test]
    fn the_docs_explain_every_reason_with_its_status() {
        let docs = include_str!("../../docs/reference/reasons.md");
        let documented: Vec<_> = docs
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
                let [word, status, happened, to_do] = cells[..] else {
                    panic!("not four cells: {line}")
                };
                assert!(!happened.is_empty() && !to_do.is_empty(), "{line}");
                (word.trim_matches('`').to_owned(), status.parse().ok())
            })
            .collect();
        let all = Reason::ALL.iter().map(|reason| (reason.to_string(), reason.status()));
        assert_eq!(all.collect::<Vec<_>>(), documented);
    }
}
