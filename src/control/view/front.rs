//! Fronts, as the admin API shows them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::FrontApi;

/// An address where services register that speak to a registry of another
/// make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrontView {
    /// Where it listens.
    pub address: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// What is spoken there.
    pub speaks: Vec<FrontApi>,
    /// Whether it answers what is registered.
    pub read: bool,
    /// Whether that is all that is known, of sources too.
    #[serde(default)]
    pub read_all: bool,
}
