//! `[[source]]` with `kind = "http"`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DocumentUrl;
use crate::model::{ByteSize, ClientTlsSettings, HumanDuration};

/// A document with a list of instances that a server answers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Where the document is. Redirects are not followed.
    pub url: DocumentUrl,
    /// From one look at it to the next. A server that sends an `ETag` is asked
    /// whether it has changed.
    #[serde(default = "interval")]
    pub interval: HumanDuration,
    /// How long the server may take to begin its answer.
    #[serde(default = "timeout")]
    pub timeout: HumanDuration,
    /// The longest document that is read.
    #[serde(default = "max_size")]
    pub max_size: ByteSize,
    /// Sent as `Authorization: Bearer`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How TLS is spoken to the server.
    #[serde(default)]
    pub tls: ClientTlsSettings,
}

const fn interval() -> HumanDuration {
    HumanDuration::from_secs(10)
}

const fn timeout() -> HumanDuration {
    HumanDuration::from_secs(10)
}

const fn max_size() -> ByteSize {
    ByteSize(32 << 20)
}
