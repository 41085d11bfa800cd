//! `[registry]`: the embedded registry.

use std::{num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::HumanDuration;

/// The embedded registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegistrySettings {
    /// The folder of the store. It is made if it is missing.
    pub data_dir: PathBuf,
    /// Whether instances may have loopback addresses. Default: only while the
    /// admin address is a loopback address itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_loopback: Option<bool>,
    /// How long passing HTTP probes keep an instance routable whose lease has
    /// expired.
    pub suspect_for: HumanDuration,
    /// How long the record of an instance is kept after its lease expired. A
    /// heartbeat within it revives the instance.
    pub forget_after: HumanDuration,
    /// How long an instance without a TTL may fail its probes before it is
    /// deregistered.
    pub deregister_after: HumanDuration,
    /// How long after a snapshot of the store the next one is made at the
    /// earliest. One is made when the store has changed, and at the end.
    pub snapshot_every: HumanDuration,
    /// Snapshots that are kept, in `snapshots` in `data_dir`. With 0 none are
    /// made.
    pub snapshots_kept: u32,
    /// Services with registered instances.
    pub max_services: NonZeroU32,
    /// Instances of one service.
    pub max_instances_per_service: NonZeroU32,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            allow_loopback: None,
            suspect_for: HumanDuration::from_secs(60),
            forget_after: HumanDuration::from_secs(600),
            deregister_after: HumanDuration::from_secs(86_400),
            snapshot_every: HumanDuration::from_secs(900),
            snapshots_kept: 5,
            max_services: const { NonZeroU32::new(20_000).unwrap() },
            max_instances_per_service: const { NonZeroU32::new(10_000).unwrap() },
        }
    }
}
