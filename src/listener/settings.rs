//! `[[listener]]`: where clients are accepted, and what one of them may cost.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    str::FromStr,
};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::model::{ByteSize, HumanDuration};

/// An address to listen on: `"127.0.0.1:8080"`, `"[::]:8080"`, or `":8080"`
/// for every IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListenAddress(pub SocketAddr);

impl FromStr for ListenAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.strip_prefix(':') {
            Some(port) => {
                port.parse().ok().map(|port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
            }
            None => text.parse().ok(),
        };
        parsed.map(Self).ok_or_else(|| {
            format!(
                "{text:?} is not an address to listen on; write \"127.0.0.1:8080\" or \":8080\""
            )
        })
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.0.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for ListenAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ListenAddress".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "listen-address",
            "examples": ["0.0.0.0:8080", "[::]:8080", ":8080"]
        })
    }
}

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
    /// From the first byte of a request head to its last. The connection is
    /// closed after it.
    pub head_timeout: HumanDuration,
    /// Without a request on an open connection, or without the client taking a
    /// byte of its response.
    pub idle_timeout: HumanDuration,
    /// Bytes of a request head: request line and fields. More gets 431.
    pub max_head_size: ByteSize,
    /// Fields of a request head. More gets 431.
    pub max_head_fields: NonZeroU32,
    /// Bytes of a request target. More gets 414.
    pub max_target_size: ByteSize,
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
        }
    }
}

/// Stands for an [`IpNet`] in the schema.
#[derive(Debug)]
pub struct Network;

impl JsonSchema for Network {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "network",
            "examples": ["10.0.0.0/8", "fd00::/8"]
        })
    }
}
