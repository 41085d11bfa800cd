//! What somebody else says of the health of an instance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a registry of others, or a client that speaks the language of one,
/// says of an instance. Whatever it is, probes have to agree before requests
/// are sent.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reported {
    /// It may get requests: Eureka's `UP`, Consul's `passing` and `warning`.
    #[default]
    Up,
    /// It fails, or is not there yet: Eureka's `DOWN`, `STARTING` and
    /// `UNKNOWN`, Consul's `critical`.
    Down,
    /// Somebody took it out: Eureka's `OUT_OF_SERVICE`, Consul's maintenance.
    /// What it has in flight goes on.
    OutOfService,
}
