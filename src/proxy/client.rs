//! What is known of a client before its first request.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::HeaderValue;

use crate::listener::ListenerSettings;

/// The other end of one client connection.
#[derive(Debug)]
pub struct Client {
    /// Its address.
    pub peer: SocketAddr,
    /// Whom it speaks for: itself, or the client that a load balancer has
    /// named before the first byte.
    pub ip: IpAddr,
    /// Whether it is a proxy whose word is taken.
    pub trusted: bool,
    /// The settings of the listener at the time it connected.
    pub settings: Arc<ListenerSettings>,
    /// Its IP address as `X-Forwarded-For` has it.
    pub(super) address: HeaderValue,
}

impl Client {
    /// The client at `peer`, or the one that it has `announced`, accepted under
    /// `settings`.
    #[must_use]
    pub fn new(
        peer: SocketAddr,
        announced: Option<SocketAddr>,
        settings: Arc<ListenerSettings>,
    ) -> Self {
        let ip = announced.unwrap_or(peer).ip().to_canonical();
        let trusted = settings.trusted_proxies.iter().any(|network| network.contains(&ip));
        let address = HeaderValue::try_from(ip.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { peer, ip, trusted, settings, address }
    }
}
