//! What a source says of one instance.

use serde::{Deserialize, Serialize};

use crate::model::{Instance, Reported};

/// One instance as a source has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its address and what goes with it.
    pub instance: Instance,
    /// Whether it wants requests.
    #[serde(default)]
    pub reported: Reported,
}
