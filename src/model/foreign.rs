//! What a registration carries that came in the language of another registry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Reported;

/// A language that services register in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FrontApi {
    /// Portolan's own, under `/api/v1`.
    Native,
    /// Eureka's REST API, under `/eureka` and `/eureka/v2`.
    Eureka,
    /// The API of a Consul agent, under `/v1`.
    Consul,
}

/// What a client said in the language of another registry. It is on disk with
/// the registration, so that the client finds after a restart what it left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Foreign {
    /// Which language.
    pub api: FrontApi,
    /// What the client says of its health.
    #[serde(default)]
    pub reported: Reported,
    /// What that language has and an instance has no place for. Only the front
    /// that wrote it reads it.
    pub record: Value,
}
