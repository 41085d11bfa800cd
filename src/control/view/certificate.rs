//! A certificate as the admin API shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A certificate that clients are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateView {
    /// The address of the listener, or `admin`.
    pub listener: String,
    /// Its file.
    pub file: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// Who issued it, as far as it says.
    #[serde(default)]
    pub issuer: String,
    /// Until when it holds, as RFC 3339 in UTC.
    pub expires: String,
    /// Whole days until then; negative once it has expired.
    pub days_left: i64,
}

/// How things stand with a name for which certificates are obtained by ACME.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AcmeView {
    /// The name.
    pub name: String,
    /// Until when its certificate holds, as RFC 3339 in UTC; absent if there is
    /// none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// When the next order is due, as RFC 3339 in UTC.
    pub next: String,
    /// Orders that failed since the last one that did not.
    pub failures: u32,
    /// What was wrong with the last one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
