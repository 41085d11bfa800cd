//! `[[listener]]`: where clients are accepted, and what one of them may cost.

mod http2;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU16, NonZeroU32},
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    AlpnProtocol, ByteSize, HumanDuration, ListenAddress, Network, ServerTlsSettings,
};

pub use http2::Http2Settings;

/// One address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerSettings {
    /// Where to listen.
    pub address: ListenAddress,
    /// Networks whose `X-Forwarded-*` and `X-Request-Id` are believed.
    /// Default: none.
    #[schemars(with = "Vec<Network>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at once, over all workers; more wait in the accept queue of
    /// the kernel.
    pub max_connections: NonZeroU32,
    /// From the first byte of a request head to its last. Longer gets 408.
    pub head_timeout: HumanDuration,
    /// Without a request on an open connection, or without the client taking a
    /// byte of its response.
    pub idle_timeout: HumanDuration,
    /// Bytes of a request head: request line and fields. More gets 431.
    pub max_head_size: ByteSize,
    /// Fields of a request head. More gets 431.
    pub max_head_fields: NonZeroU32,
    /// Bytes of a request target. More gets 414. Never more than 65534.
    pub max_target_size: ByteSize,
    /// How instances are told of the client. Fields of the other style are
    /// removed, also those of a trusted proxy.
    pub forwarded: ForwardedStyle,
    /// Whom `Proxy-Status` tells why the proxy answered by itself (RFC 9209).
    pub proxy_status: ProxyStatus,
    /// HTTP/2.
    pub http2: Http2Settings,
    /// Speak TLS. Default: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTlsSettings>,
    /// Answer every request with a redirect (308) to the same host and path at
    /// `https://`, and `https_port`.
    pub redirect_to_https: bool,
    /// The port that `redirect_to_https` leads to.
    pub https_port: NonZeroU16,
    /// Load balancers in front that say in a PROXY protocol header whose
    /// connection they pass on. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocolSettings>,
}

/// The fields in which instances are told of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ForwardedStyle {
    /// `X-Forwarded-For`, `-Host` and `-Proto`.
    #[default]
    #[serde(rename = "x-forwarded")]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    #[serde(rename = "rfc7239")]
    Rfc7239,
    /// Both.
    #[serde(rename = "both")]
    Both,
}

/// Whom `Proxy-Status` is sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyStatus {
    /// Nobody.
    #[default]
    Off,
    /// The proxies in `trusted_proxies`.
    Trusted,
    /// Everybody.
    All,
}

/// Who begins connections with a PROXY protocol header, version 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolSettings {
    /// Networks that have to send it, within `head_timeout`, and are believed.
    /// A connection from elsewhere is an ordinary one, and is refused if it
    /// begins with such a header.
    #[schemars(with = "Vec<Network>")]
    pub from: Vec<IpNet>,
}

impl ProxyProtocolSettings {
    /// Whether a connection from `peer` has to begin with a header.
    #[must_use]
    pub fn lists(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.from.iter().any(|network| network.contains(&peer))
    }
}

impl ListenerSettings {
    /// What is spoken to clients over TLS, the best first.
    #[must_use]
    pub const fn spoken_over_tls(&self) -> &'static [AlpnProtocol] {
        if self.http2.enabled {
            &[AlpnProtocol::Http2, AlpnProtocol::Http1]
        } else {
            &[AlpnProtocol::Http1]
        }
    }
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            address: ListenAddress(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 8080)),
            trusted_proxies: Vec::new(),
            max_connections: const { NonZeroU32::new(16_384).unwrap() },
            head_timeout: HumanDuration::from_secs(10),
            idle_timeout: HumanDuration::from_secs(60),
            max_head_size: ByteSize::kib(64),
            max_head_fields: const { NonZeroU32::new(100).unwrap() },
            max_target_size: ByteSize::kib(16),
            forwarded: ForwardedStyle::default(),
            proxy_status: ProxyStatus::default(),
            http2: Http2Settings::default(),
            tls: None,
            redirect_to_https: false,
            https_port: const { NonZeroU16::new(443).unwrap() },
            proxy_protocol: None,
        }
    }
}
