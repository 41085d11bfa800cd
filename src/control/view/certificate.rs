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
    /// Until when it holds, as RFC 3339 in UTC.
    pub expires: String,
    /// Whole days until then; negative once it has expired.
    pub days_left: i64,
}
