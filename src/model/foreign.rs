//! What a registration carries that came in the language of another registry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DeclaredProbe, HumanDuration, Reported};

/// The language of another registry that services register in here.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FrontApi {
    /// Eureka's REST API, under `/eureka` and `/eureka/v2`.
    Eureka,
    /// The API of a Consul agent, under `/v1`.
    Consul,
}

impl FrontApi {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Eureka, Self::Consul];

    /// The word used in the API, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eureka => "eureka",
            Self::Consul => "consul",
        }
    }
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
    /// How long it is kept once its lease has expired, or its probes fail.
    /// Default: as `[registry]` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<HumanDuration>,
    /// Probes that its client asks for, if one `health` does not say it all: the
    /// first is what that has, with what it sends. All have to pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<DeclaredProbe>,
    /// What that language has and an instance has no place for. Only the front
    /// that wrote it reads it.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub record: Value,
}
