//! `[[source]]` with `kind = "docker"`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::HumanDuration;

/// Containers of a Docker engine that carry the label `portolan.service`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerSettings {
    /// The socket of the engine. Whoever may use it owns the machine, so give
    /// Portolan one that only reads, if you can.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// The network by which containers are reached. Default: the one that a
    /// container is in, or the first by name.
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
