//! Sources as the admin API shows them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InstanceView;

/// One source of the config file, and how current it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceView {
    /// Its name.
    pub source: String,
    /// Its kind: `consul`, `eureka`, …
    pub kind: String,
    /// Whether it was reached the last time that was tried.
    pub connected: bool,
    /// Instances that it has as far as that is believed.
    pub instances: usize,
    /// Since it was last heard, in this process or one before; absent if it
    /// never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms: Option<u64>,
    /// Since it last said all that it has; absent if it has not in this
    /// process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_ms: Option<u64>,
    /// Since when it is not reached, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_ms: Option<u64>,
    /// Present while its last list lacks so much that it is not believed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldView>,
    /// The last failure, over or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Attempts that failed, since the start.
    pub failures: u64,
    /// Times that an entry of it was left out, since the start.
    pub rejections: u64,
    /// Entries that were left out lately, the last one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<RejectedView>,
    /// Why what it has is not kept on disk, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
}

/// Instances that a list lacked and that stay until that is believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldView {
    /// How many.
    pub missing: usize,
    /// Some of them, as `service/id`.
    pub some: Vec<String>,
    /// Until it is believed without another list; counted while the source is
    /// reached.
    pub left_ms: u64,
}

/// Something that a source has and that cannot be an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectedView {
    /// Its key, path or name there.
    pub what: String,
    /// Why it is left out.
    pub why: String,
    /// How long ago that was found.
    pub ago_ms: u64,
}

/// All sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourcesView {
    /// In the order in which they count.
    pub sources: Vec<SourceView>,
}

/// One source with what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceDetailView {
    /// How current it is.
    #[serde(flatten)]
    pub source: SourceView,
    /// Its instances by service and id, up to 1000 of them.
    pub has: Vec<InstanceView>,
}
