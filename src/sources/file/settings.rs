//! `[[source]]` with `kind = "file"`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::HumanDuration;

/// A file with a list of instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// The file: TOML if its name ends with `.toml`, else JSON. It is read
    /// again when it changes.
    pub path: PathBuf,
    /// How often it is looked at all the same, for file systems that do not
    /// tell of changes.
    #[serde(default = "interval")]
    pub interval: HumanDuration,
}

const fn interval() -> HumanDuration {
    HumanDuration::from_secs(10)
}
