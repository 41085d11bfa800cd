//! What is known of a client before its first request.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue};

use super::headers::{CLIENT_CERT, X_CLIENT_CERT_SAN, X_CLIENT_CERT_SHA256, X_CLIENT_CERT_SUBJECT};
use crate::{listener::ListenerSettings, model::Peer};

/// The other end of one client connection.
#[derive(Debug)]
pub struct Client {
    /// What the connection says of it.
    pub peer: Peer,
    /// Whether it is a proxy whose word is taken.
    pub trusted: bool,
    /// The settings of the listener at the time it connected.
    pub settings: Arc<ListenerSettings>,
    /// Its IP address as `X-Forwarded-For` has it.
    pub(super) address: HeaderValue,
    /// What instances are told of its certificate.
    pub(super) certificate: Vec<(HeaderName, HeaderValue)>,
}

impl Client {
    /// The client that is `peer`, accepted under `settings`.
    #[must_use]
    pub fn new(peer: Peer, settings: Arc<ListenerSettings>) -> Self {
        let ip = peer.ip();
        let trusted = settings.trusted_proxies.iter().any(|network| network.contains(&ip));
        let address = HeaderValue::try_from(ip.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let certificate = certificate_fields(&peer, &settings).unwrap_or_default();
        Self { peer, trusted, settings, address, certificate }
    }
}

/// The fields that tell instances of the certificate of `peer`; none if it has
/// shown none, or instances are not to be told.
fn certificate_fields(
    peer: &Peer,
    settings: &ListenerSettings,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let wanted = settings.tls.as_ref().is_some_and(|tls| tls.client_cert_headers);
    let certificate = peer.tls.as_ref().filter(|_| wanted)?.client.as_ref()?;
    // RFC 9440 section 2.1: a byte sequence (RFC 8941 section 3.3.5).
    let whole = format!(":{}:", BASE64_STANDARD.encode(&certificate.der));
    let fields = [
        (CLIENT_CERT, whole),
        (X_CLIENT_CERT_SUBJECT, certificate.subject.clone()),
        (X_CLIENT_CERT_SAN, certificate.names.join(", ")),
        (X_CLIENT_CERT_SHA256, certificate.fingerprint.clone()),
    ];
    let value = |(name, text)| Some((name, HeaderValue::try_from(text).ok()?));
    Some(fields.into_iter().filter_map(value).collect())
}
