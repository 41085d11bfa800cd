//! The store of the registry, as `status` shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The store of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreView {
    /// `writable`, or why it is not.
    pub state: String,
    /// Instances that it holds.
    pub instances: usize,
    /// Time that half of the last 1,000 commits did not exceed, in
    /// microseconds; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_p50_us: Option<u64>,
    /// Time that 99 % of them did not exceed, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_p99_us: Option<u64>,
    /// Time since the newest snapshot was taken; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_ms: Option<u64>,
    /// Instances in the newest snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_instances: Option<u64>,
}
