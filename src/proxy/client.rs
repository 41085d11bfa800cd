//! What is known of a client before its first request.

use std::{net::SocketAddr, sync::Arc};

use http::HeaderValue;

use crate::listener::ListenerSettings;

/// The other end of one client connection.
#[derive(Debug)]
pub struct Client {
    /// Its address.
    pub peer: SocketAddr,
    /// Whether it is a proxy whose word is taken.
    pub trusted: bool,
    /// The settings of the listener at the time it connected.
    pub settings: Arc<ListenerSettings>,
    /// Its IP address as `X-Forwarded-For` has it.
    pub(super) address: HeaderValue,
    /// What it speaks, as the targets of requests name it.
    pub(super) scheme: &'static str,
}

impl Client {
    /// The client at `peer`, accepted under `settings`.
    #[must_use]
    pub fn new(peer: SocketAddr, settings: Arc<ListenerSettings>) -> Self {
        let ip = peer.ip().to_canonical();
        let trusted = settings.trusted_proxies.iter().any(|network| network.contains(&ip));
        let address = HeaderValue::try_from(ip.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self { peer, trusted, settings, address, scheme: "http" }
    }
}
