//! What comes of a change of the process as a whole: another config file,
//! another program.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to a config check or reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadView {
    /// Whether the file is good; for a reload, whether it took effect.
    pub ok: bool,
    /// What a reload changed, a line each.
    pub changes: Vec<String>,
    /// What only a restart changes, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<String>,
    /// Errors and warnings.
    pub diagnostics: Vec<DiagnosticView>,
}

/// The answer to an upgrade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpgradeView {
    /// Whether another process serves now.
    pub ok: bool,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The version of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// How long it took.
    pub took_ms: u64,
    /// Why it did not come to it; this process goes on as before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What is wrong with the config file, if it is that, as `portolan check`
    /// shows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problems: String,
}

impl UpgradeView {
    /// One that did not come to it.
    #[must_use]
    pub fn refused(why: impl Into<String>) -> Self {
        let (why, problems) = (why.into(), String::new());
        Self { ok: false, pid: None, program: None, took_ms: 0, why, problems }
    }
}

/// One problem of a config file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiagnosticView {
    /// `error` or `warning`.
    pub severity: String,
    /// Its code, such as `P0101`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// The file.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}
