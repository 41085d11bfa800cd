//! Who is at the other end of a client connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::HostRules;

/// What is known of a client connection before its first request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address, as the socket has it.
    pub address: SocketAddr,
    /// The address that it connected to.
    pub local: SocketAddr,
    /// The client that a load balancer at `address` speaks for, if it has
    /// named one.
    pub announced: Option<SocketAddr>,
    /// What the handshake agreed on, if the connection is encrypted.
    pub tls: Option<TlsSession>,
}

impl Peer {
    /// A peer that speaks in the clear.
    #[must_use]
    pub const fn plain(address: SocketAddr, local: SocketAddr) -> Self {
        Self { address, local, announced: None, tls: None }
    }

    /// The address of the client itself.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.announced.unwrap_or(self.address).ip().to_canonical()
    }

    /// The scheme of what it asks for.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug)]
pub struct TlsSession {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The name that the client asked for (RFC 6066 section 3), in lower case.
    pub server_name: Option<Arc<str>>,
    /// The protocol they agreed on (RFC 7301), such as `h2`.
    pub alpn: Option<Arc<str>>,
    /// Which of the listener's rules for client certificates held: their
    /// number, the listener's own being 0.
    pub rule: usize,
    /// The rules by host, if there are several.
    pub rules: Option<Arc<HostRules>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The certificate that the client has shown, which was verified.
    pub client: Option<Arc<ClientCertificate>>,
}

impl TlsSession {
    /// Whether a request for `host` is to be made over another connection: the
    /// rule for client certificates that holds for it is not the one that this
    /// one was held to (RFC 9110 section 7.4).
    #[must_use]
    pub fn misdirects(&self, host: &str) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.of(host) != self.rule)
    }
}

/// A client's certificate, as far as instances are told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject (RFC 4514).
    pub subject: String,
    /// Its subject alternative names, such as `DNS:a.example`.
    pub names: Vec<String>,
    /// The SHA-256 of its DER form, in lower-case hex.
    pub fingerprint: String,
    /// Its DER form.
    pub der: Arc<[u8]>,
}
