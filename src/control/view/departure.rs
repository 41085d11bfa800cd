//! Instances that leave: the answer to whoever asked, and what it came to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened to a drain or a deregistration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeavingView {
    /// Whether no worker can pick it any more and nothing is in flight on it.
    pub drained: bool,
    /// Requests, streams and tunnels still on it.
    pub in_flight: u32,
    /// Those that have ended as they should since it began to leave.
    pub completed: u64,
    /// Those that were left by their client meanwhile.
    #[serde(default)]
    pub client_gone: u64,
    /// Those that it did not answer meanwhile, so that another instance was
    /// asked.
    #[serde(default)]
    pub retried: u64,
    /// Those that were cut: by the instance, by a timeout, or because the time
    /// of `timeouts.drain` was over.
    #[serde(default)]
    pub cut: u64,
    /// The table version that the answer was made at.
    pub version: u64,
    /// False if it was not there to begin with.
    pub found: bool,
    /// Other proxies that share the registry and have not confirmed that it is
    /// drained there too; `drained` is false then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<String>,
}

/// An instance that has left, or fell out of use, with nothing in flight any
/// more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DepartureView {
    /// Its service.
    pub service: String,
    /// Its id.
    pub instance: String,
    /// Which registration of that id.
    pub generation: u64,
    /// Why it left: `it was asked for`, `its lease expired`.
    pub why: String,
    /// The instance that came in its place: the first one of the service that
    /// registered after it, and not more than ten minutes before it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// Requests, streams and tunnels that it got over its life.
    pub requests: u64,
    /// Those that ended as they should while it was leaving. One that fell out
    /// of use by itself began to leave when its last probe passed, or when it
    /// registered if it has none.
    pub completed: u64,
    /// Those that were left by their client meanwhile.
    pub client_gone: u64,
    /// Those that it did not answer meanwhile, so that another instance was
    /// asked.
    pub retried: u64,
    /// Those that were lost meanwhile: broken off by the instance or by a
    /// timeout, or cut.
    pub lost: u64,
    /// All of it in one line for a person.
    pub summary: String,
    /// Time since it had left.
    pub ago_ms: u64,
}
