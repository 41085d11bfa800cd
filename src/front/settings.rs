//! `[[front]]`: addresses where services register that speak to a registry of
//! another make.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    admin::TokenSettings,
    model::{AdminTlsSettings, FrontApi, HumanDuration, ListenAddress},
};

/// An address that answers clients of other registries as their own would. It
/// has nothing else of the admin address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FrontSettings {
    /// Where to listen.
    pub address: ListenAddress,
    /// Speak Eureka's REST API, under `/eureka` and `/eureka/v2`.
    pub eureka: bool,
    /// Speak the API of a Consul agent, under `/v1`.
    pub consul: bool,
    /// Answer what is registered, too: whoever can register here then learns
    /// of all instances that registered.
    pub read: bool,
    /// With `read`: answer the instances of sources and of the config file too,
    /// not only those that registered.
    pub read_all: bool,
    /// With `eureka`: reach instances by the names of their hosts, not by
    /// their addresses.
    pub use_hostname: bool,
    /// With `eureka`: reach instances by TLS where both of their ports are
    /// enabled.
    pub prefer_secure: bool,
    /// With `consul`: the datacenter that clients are told.
    pub datacenter: String,
    /// How long the answer to an instance that leaves waits until what it has
    /// in flight is finished.
    pub leave_wait: HumanDuration,
    /// As that of `[admin]`, while the address is a loopback address. Elsewhere
    /// any `Host` will do, and whatever says that it comes from a web page is
    /// refused.
    #[schemars(extend("items" = { "type": "string", "format": "host" }))]
    pub allowed_hosts: Vec<String>,
    /// Speak TLS. Default: no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<AdminTlsSettings>,
    /// Accept an address that is not a loopback address without TLS or without
    /// tokens.
    pub insecure: bool,
    /// Who may register what. None needed while the address is a loopback
    /// address. Taken as the password of Basic authentication too, as
    /// `X-Consul-Token` and as `?token=`.
    pub token: Vec<TokenSettings>,
}

impl Default for FrontSettings {
    fn default() -> Self {
        Self {
            address: ListenAddress(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8761)),
            eureka: false,
            consul: false,
            read: false,
            read_all: false,
            use_hostname: false,
            prefer_secure: false,
            datacenter: "dc1".to_owned(),
            leave_wait: HumanDuration::from_secs(2),
            allowed_hosts: Vec::new(),
            tls: None,
            insecure: false,
            token: Vec::new(),
        }
    }
}

impl FrontSettings {
    /// The languages that are spoken there.
    pub fn speaks(&self) -> impl Iterator<Item = FrontApi> {
        let spoken = [(FrontApi::Eureka, self.eureka), (FrontApi::Consul, self.consul)];
        spoken.into_iter().filter(|(_, on)| *on).map(|(api, _)| api)
    }
}
