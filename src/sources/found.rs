//! What a source says of one instance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Instance;

/// One instance as a source has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its address and what goes with it.
    pub instance: Instance,
    /// Whether it wants requests.
    #[serde(default)]
    pub reported: Reported,
}

/// What a registry of others says of the health of an instance. Whatever it
/// is, probes have to agree before requests are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reported {
    /// It may get requests: Eureka's `UP`, Consul's `passing` and `warning`.
    #[default]
    Up,
    /// It fails, or is not there yet: Eureka's `DOWN`, `STARTING` and
    /// `UNKNOWN`, Consul's `critical`.
    Down,
    /// Somebody took it out: Eureka's `OUT_OF_SERVICE`, Consul's maintenance.
    OutOfService,
}
