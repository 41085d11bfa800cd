//! The form of the proxy's own answers, as the client can read it (RFC 9110
//! section 12.5.1): JSON for programs, a page for people, a line of text, or
//! the status of a gRPC call.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::{admission::tokens, failure::Failure};
use crate::model::Reason;

/// The form of an answer of the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// RFC 9457.
    #[default]
    Problem,
    Html,
    Text,
    /// Trailers only, as a `Content-Type` of gRPC is to be answered.
    Grpc(&'static str),
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

impl Form {
    /// The form that an `Accept` asks for. Most are told by how they begin.
    pub(super) fn accepted(accept: &HeaderValue) -> Self {
        match accept.as_bytes() {
            [b'*', ..] => Self::Problem,
            start if start.starts_with(b"text/html,") => Self::Html,
            start if start.starts_with(b"application/json") => Self::Problem,
            _ => Self::preferred(accept),
        }
    }

    /// The one of the highest quality, the first of those.
    fn preferred(accept: &HeaderValue) -> Self {
        let mut best = (0.0, Self::Problem);
        for range in tokens(accept) {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/html" | "application/xhtml+xml" => Self::Html,
                "text/plain" | "text/*" => Self::Text,
                "application/json" | "application/problem+json" | "application/*" | "*/*" => {
                    Self::Problem
                }
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
            let quality: f32 = quality.unwrap_or(1.0);
            if quality > best.0 {
                best = (quality, form);
            }
        }
        best.1
    }

    /// The form that a body of this type is answered in, if it is of gRPC.
    pub(super) fn of_call(content_type: &HeaderValue) -> Option<Self> {
        let rest = content_type.as_bytes().strip_prefix(b"application/grpc")?;
        match rest {
            [] | [b'+' | b';', ..] => Some(Self::Grpc("application/grpc")),
            b"-web" | [b'-', b'w', b'e', b'b', b'+' | b';', ..] => {
                Some(Self::Grpc("application/grpc-web"))
            }
            _ if rest.starts_with(b"-web-text") => Some(Self::Grpc("application/grpc-web-text")),
            _ => None,
        }
    }

    /// The form that goes with `headers`, of a request that was refused before
    /// they were looked at.
    #[cold]
    pub(super) fn asked_by(headers: &HeaderMap) -> Self {
        let of_call = headers.get(CONTENT_TYPE).and_then(Self::of_call);
        of_call.or_else(|| headers.get(ACCEPT).map(Self::accepted)).unwrap_or_default()
    }

    /// The status of an answer for `failure` that is `status` elsewhere.
    pub(super) const fn status(self, status: StatusCode) -> StatusCode {
        match self {
            Self::Grpc(_) => StatusCode::OK,
            _ => status,
        }
    }

    /// The body of an answer for `failure`, with the fields that tell of it.
    pub(super) fn body(
        self,
        headers: &mut HeaderMap,
        status: StatusCode,
        failure: &Failure,
        id: &str,
    ) -> String {
        let Failure { reason, detail, .. } = failure;
        let (code, title) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
        let (content_type, body) = match self {
            Self::Problem => (
                "application/problem+json",
                format!(
                    "{{\"status\":{code},\"reason\":\"{reason}\",\"detail\":\"{detail}\",\"request_id\":\"{id}\"}}\n"
                ),
            ),
            Self::Html => (
                "text/html; charset=utf-8",
                format!(
                    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
                     <title>{code} {title}</title></head>\n<body><h1>{code} {title}</h1>\
                     <p>{detail}</p>\n<p><code>{reason}</code> <code>{id}</code></p></body></html>\n"
                ),
            ),
            Self::Text => (
                "text/plain; charset=utf-8",
                format!("{code} {title}: {detail}\nreason: {reason}\nrequest id: {id}\n"),
            ),
            Self::Grpc(content_type) => {
                headers.insert(
                    GRPC_STATUS,
                    HeaderValue::from(call_status(*reason, failure.untouched)),
                );
                // Of printable ASCII without `%`: nothing is to be encoded.
                if let Ok(message) = HeaderValue::try_from(format!("{reason}: {detail}")) {
                    headers.insert(GRPC_MESSAGE, message);
                }
                (content_type, String::new())
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        body
    }
}

/// The status of a gRPC call that ended for `reason`. `UNAVAILABLE` is for what
/// surely was not processed, since clients send such a call again by
/// themselves; `untouched` says it where the reason does not.
const fn call_status(reason: Reason, untouched: bool) -> u16 {
    const DEADLINE_EXCEEDED: u16 = 4;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    match reason {
        Reason::ResponseTimeout
        | Reason::RequestTimeout
        | Reason::HeadTimeout
        | Reason::RequestBodyTimeout => DEADLINE_EXCEEDED,
        Reason::RequestTooLarge => RESOURCE_EXHAUSTED,
        Reason::NoRoute => UNIMPLEMENTED,
        Reason::ConnectRefused
        | Reason::ConnectFailed
        | Reason::ConnectTimeout
        | Reason::TlsCertificateError
        | Reason::TlsProtocolError
        | Reason::DnsError
        | Reason::AddressDenied
        | Reason::NoHealthyInstance
        | Reason::CircuitOpen
        | Reason::Overload
        | Reason::QueueTimeout
        | Reason::ProxyExhausted => UNAVAILABLE,
        Reason::UpstreamReset if untouched => UNAVAILABLE,
        _ => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Form {
        Form::accepted(&HeaderValue::from_str(accept).expect("a value"))
    }

    #[test]
    fn an_answer_has_the_form_that_the_client_prefers() {
        for (accept, form) in [
            ("*/*", Form::Problem),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form::Html),
            ("application/json, text/plain, */*", Form::Problem),
            ("text/plain", Form::Text),
            ("text/*;q=0.5, application/json;q=0.1", Form::Text),
            ("text/html;q=0.2, application/problem+json", Form::Problem),
            ("TEXT/HTML", Form::Html),
            ("image/png", Form::Problem),
            ("text/html;q=0", Form::Problem),
            ("", Form::Problem),
        ] {
            assert_eq!(accepted(accept), form, "{accept}");
        }
    }

    #[test]
    fn b7_a_call_of_grpc_is_answered_as_one() {
        let form = |text: &'static str| Form::of_call(&HeaderValue::from_static(text));
        assert_eq!(form("application/grpc"), Some(Form::Grpc("application/grpc")));
        assert_eq!(form("application/grpc+proto"), Some(Form::Grpc("application/grpc")));
        assert_eq!(form("application/grpc-web+proto"), Some(Form::Grpc("application/grpc-web")));
        assert_eq!(
            form("application/grpc-web-text"),
            Some(Form::Grpc("application/grpc-web-text"))
        );
        assert_eq!(form("application/grpcx"), None);
        assert_eq!(form("application/json"), None);
        for (reason, status) in [
            (Reason::NoHealthyInstance, 14),
            (Reason::ConnectTimeout, 14),
            (Reason::Overload, 14),
            (Reason::UpstreamReset, 13),
            (Reason::UpstreamProtocolError, 13),
            (Reason::DrainTimeout, 13),
            (Reason::ResponseTimeout, 4),
            (Reason::RequestTimeout, 4),
            (Reason::NoRoute, 12),
            (Reason::RequestInvalid, 13),
            (Reason::InternalError, 13),
            (Reason::RequestTooLarge, 8),
        ] {
            assert_eq!(call_status(reason, false), status, "{reason}");
        }
        assert_eq!(call_status(Reason::UpstreamReset, true), 14);
    }
}
