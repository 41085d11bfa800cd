//! What is known of a client before its first request.

use std::sync::Arc;

use http::HeaderValue;

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
}

impl Client {
    /// The client that is `peer`, accepted under `settings`.
    #[must_use]
    pub fn new(peer: Peer, settings: Arc<ListenerSettings>) -> Self {
        let ip = peer.ip();
        let trusted = settings.trusted_proxies.iter().any(|network| network.contains(&ip));
        let address = HeaderValue::try_from(ip.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { peer, trusted, settings, address }
    }
}
