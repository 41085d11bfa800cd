//! `[admin]`: who may talk to the admin address, and how.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::model::{AdminTlsSettings, ListenAddress, Network};

/// The admin address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Where to listen.
    pub address: ListenAddress,
    /// Names and addresses, beside the listening address and `localhost`, that
    /// a request may give as its `Host`. Any other is refused, which keeps web
    /// pages from reaching this address through DNS rebinding.
    #[schemars(with = "Vec<HostText>")]
    pub allowed_hosts: Vec<String>,
    /// Speak TLS. Default: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<AdminTlsSettings>,
    /// Accept an address that is not a loopback address without TLS or without
    /// tokens.
    pub insecure: bool,
    /// Who may do what. None needed while the address is a loopback address.
    pub token: Vec<TokenSettings>,
    /// A file that each change asked for is appended to, as a line of JSON.
    /// Default: the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_log: Option<PathBuf>,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            address: ListenAddress(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9900)),
            allowed_hosts: Vec::new(),
            tls: None,
            insecure: false,
            token: Vec::new(),
            audit_log: None,
        }
    }
}

/// What a token allows. Each scope holds those before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look.
    Read,
    /// Register, renew, drain and deregister instances of `services`.
    Register,
    /// Everything.
    Admin,
}

/// A bearer token. `portolan token` makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// How it is called in logs. Not secret.
    pub name: String,
    /// The SHA-256 of the token, in hexadecimal. The token itself is not kept.
    #[schemars(extend("format" = "sha256"))]
    pub sha256: String,
    /// What it allows.
    pub scope: Scope,
    /// The services it may register, `*` standing for any characters.
    /// Needed for, and only used by, the scope `register`.
    #[serde(default)]
    pub services: Vec<String>,
    /// The networks that registered addresses may be in. Default: while the
    /// admin address is not a loopback address, only the address that the
    /// registration comes from.
    #[serde(default)]
    #[schemars(with = "Vec<Network>")]
    pub addresses: Vec<IpNet>,
}

/// Stands for a host name or address in the schema.
#[derive(Debug)]
pub(super) struct HostText;

impl JsonSchema for HostText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Host".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "host" })
    }
}
