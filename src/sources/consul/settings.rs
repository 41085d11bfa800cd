//! `[[source]]` with `kind = "consul"`.

use std::{fmt, num::NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::{ClientTlsSettings, HumanDuration},
    sources::{ServerUrl, ServicePattern},
};

/// The catalog of Consul, asked through an agent or a server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsulSettings {
    /// The HTTP API of an agent, best the one on the same machine.
    pub url: ServerUrl,
    /// A token that may read nodes and services. Better not in the file:
    /// `"${file:/run/secrets/consul}"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The datacenter that is asked. Default: that of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacenter: Option<String>,
    /// The namespace (Consul Enterprise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The services that are taken; `*` stands for anything. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServicePattern>,
    /// Services that are not taken all the same.
    #[serde(default = "itself")]
    pub exclude: Vec<ServicePattern>,
    /// Tags that an instance has to have, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Metadata that an instance has to have, all of it: `"key=value"`, or
    /// `"key"` whatever its value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<String>,
    /// A filter expression that Consul applies to the instances of each
    /// service, such as `Node.Meta.rack == "a"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Take only instances whose checks pass or warn. Without it the others
    /// are there too, and shown, but get no requests.
    #[serde(default)]
    pub passing_only: bool,
    /// Let any server answer, not the leader alone: less work for the leader,
    /// and answers that may be old by some milliseconds.
    #[serde(default)]
    pub stale: bool,
    /// How long a request may wait for a change, 1 s to 10 min.
    #[serde(default = "wait")]
    pub wait: HumanDuration,
    /// Requests at once that read services, beside two that wait for changes.
    /// An agent allows 200 connections from one address.
    #[serde(default = "requests")]
    pub max_requests: NonZeroU32,
    /// TLS, if the URL begins with `https`.
    #[serde(default)]
    pub tls: ClientTlsSettings,
}

/// Without the token.
impl fmt::Debug for ConsulSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsulSettings").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The service that the servers of Consul register as.
fn itself() -> Vec<ServicePattern> {
    vec!["consul".to_owned().into()]
}

const fn wait() -> HumanDuration {
    HumanDuration::from_secs(60)
}

const fn requests() -> NonZeroU32 {
    const { NonZeroU32::new(8).unwrap() }
}
