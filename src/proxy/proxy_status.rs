//! `Proxy-Status` (RFC 9209): why the proxy, and not an instance, has answered,
//! for whoever is between it and the client.

use http::{HeaderName, HeaderValue};

use super::client::Client;
use crate::{listener::ProxyStatus, model::Reason};

pub(super) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What `client` is told of a failure for `reason`, if the listener tells it
/// anything.
pub(super) fn told(client: &Client, reason: Reason) -> Option<HeaderValue> {
    let tells = match client.settings.proxy_status {
        ProxyStatus::Off => false,
        ProxyStatus::Trusted => client.trusted,
        ProxyStatus::All => true,
    };
    let error = tells.then(|| error_type(reason)).flatten()?;
    HeaderValue::try_from(format!("portolan; error={error}; details=\"{reason}\"")).ok()
}

/// The type of error that `reason` is (RFC 9209 section 2.3).
const fn error_type(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::NoRoute => "destination_not_found",
        Reason::MethodRefused => "http_request_denied",
        Reason::InternalError => "proxy_internal_error",
        Reason::ConnectRefused => "connection_refused",
        Reason::DnsError => "dns_error",
        Reason::AddressDenied => "destination_ip_prohibited",
        Reason::UpstreamReset | Reason::DrainTimeout => "connection_terminated",
        Reason::UpstreamProtocolError => "http_protocol_error",
        Reason::TlsCertificateError => "tls_certificate_error",
        Reason::TlsProtocolError => "tls_protocol_error",
        Reason::ConnectFailed | Reason::NoHealthyInstance | Reason::CircuitOpen => {
            "destination_unavailable"
        }
        Reason::Overload | Reason::QueueTimeout | Reason::ProxyExhausted => {
            "connection_limit_reached"
        }
        Reason::ConnectTimeout => "connection_timeout",
        Reason::ResponseTimeout | Reason::RequestTimeout => "http_response_timeout",
        Reason::LoopDetected => "proxy_loop_detected",
        _ => match reason.status() {
            Some(400..=499 | 501 | 505) => "http_request_error",
            Some(502..=504) => "destination_unavailable",
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_the_proxy_has_a_type_of_error() {
        for reason in Reason::ALL {
            assert_eq!(error_type(*reason).is_some(), reason.status().is_some(), "{reason}");
        }
    }

    #[test]
    fn what_went_wrong_with_tls_is_named() {
        assert_eq!(error_type(Reason::TlsCertificateError), Some("tls_certificate_error"));
        assert_eq!(error_type(Reason::TlsProtocolError), Some("tls_protocol_error"));
    }
}
