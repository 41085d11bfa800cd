//! Addresses to listen on and networks, as `proxy.toml` spells them.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

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

/// Stands for an [`ipnet::IpNet`] in the schema.
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
