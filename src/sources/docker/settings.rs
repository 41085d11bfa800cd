//! `[[source]]` with `kind = "docker"`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::{ClientTlsSettings, HumanDuration},
    sources::ServerUrl,
};

/// Containers of a Docker engine that carry the label `portolan.service`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerSettings {
    /// The socket of the engine. Whoever may use it owns the machine; with
    /// `url` a proxy can stand before it that lets through what is read here:
    /// `/_ping`, `/containers/json` and `/events`.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// The engine, or a proxy before it, by TCP in place of the socket:
    /// `"http://docker-proxy:2375"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<ServerUrl>,
    /// How TLS is spoken to a `url` that begins with `https`.
    #[serde(default)]
    pub tls: ClientTlsSettings,
    /// The network by which containers are reached, unless a container names
    /// another as `portolan.network`. Default: the one that it is in, or the
    /// first by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// How often all containers are looked at, beside what the engine tells
    /// when one comes or goes.
    #[serde(default = "interval")]
    pub interval: HumanDuration,
}

fn socket() -> PathBuf {
    PathBuf::from("/var/run/docker.sock")
}

const fn interval() -> HumanDuration {
    HumanDuration::from_secs(30)
}
