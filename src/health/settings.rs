//! `[health]`: what all probes together may cost.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds over the probes of all services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProberSettings {
    /// Probes in flight at once.
    pub max_concurrent: NonZeroU32,
    /// Probes begun each second. When more are due, intervals stretch, and
    /// `portolan status` says by how much.
    pub max_per_second: NonZeroU32,
}

impl Default for ProberSettings {
    fn default() -> Self {
        Self {
            max_concurrent: const { NonZeroU32::new(256).unwrap() },
            max_per_second: const { NonZeroU32::new(2000).unwrap() },
        }
    }
}
