//! `[[source]]` with `kind = "eureka"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::Reached;
use crate::{
    model::{ClientTlsSettings, HumanDuration},
    sources::{ServerUrl, ServicePattern},
};

/// The registry of one or more Eureka servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EurekaSettings {
    /// Servers that replicate each other, with the path that clients are given
    /// (`http://HOST:8761/eureka`), and user and password if they want them.
    /// One is asked; when it fails, the next.
    pub urls: Vec<ServerUrl>,
    /// The applications that are taken; `*` stands for anything. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServicePattern>,
    /// Applications that are not taken all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<ServicePattern>,
    /// How often changes are asked for, give or take a fifth. A server shows
    /// them up to 30 s late unless it is set to do better
    /// (`eureka.server.response-cache-update-interval-ms`).
    #[serde(default = "interval")]
    pub interval: HumanDuration,
    /// How long instances are kept that a server does not have after it could
    /// not be reached, or Portolan was restarted or the source edited: a server
    /// that restarts begins with nothing, and clients come back with their next
    /// heartbeat.
    #[serde(default = "keep")]
    pub keep: HumanDuration,
    /// Reach instances by the names of their hosts, not by their addresses.
    #[serde(default)]
    pub use_hostname: bool,
    /// Reach instances by TLS where both of their ports are enabled.
    #[serde(default)]
    pub prefer_secure: bool,
    /// TLS to servers whose URL begins with `https`.
    #[serde(default)]
    pub tls: ClientTlsSettings,
}

impl EurekaSettings {
    /// How an instance is reached that leaves a choice.
    pub(super) const fn reached(&self) -> Reached {
        Reached { by_hostname: self.use_hostname, by_tls: self.prefer_secure }
    }
}

const fn interval() -> HumanDuration {
    HumanDuration::from_secs(5)
}

/// Three heartbeats.
const fn keep() -> HumanDuration {
    HumanDuration::from_secs(90)
}
