//! The proxies that share a registry, as `status` shows them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The proxies that share a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetView {
    /// What this one is called.
    pub id: String,
    /// The revision of etcd that it has come to.
    pub revision: i64,
    /// The one that etcd has come to, as far as it is known.
    #[serde(default)]
    pub etcd_revision: i64,
    /// How long etcd has been further; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<u64>,
    /// How long etcd has been out of reach; absent while it is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_ms: Option<u64>,
    /// Why it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Registrations that are known here and that etcd has lost: the next
    /// heartbeat puts them back.
    pub pending: usize,
    /// The others.
    pub fellows: Vec<FellowView>,
}

/// Another proxy that shares the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FellowView {
    /// What it is called.
    pub id: String,
    /// Version of its program.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// How long it has been missing, without having left; absent while it is
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_ms: Option<u64>,
}
