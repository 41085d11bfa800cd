//! What proxies that share a registry ask of each other, and what they answer.
//!
//! "Routable" and "drained" are said for all of them, so whoever is asked for
//! either asks the others, and names those that have not said yes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Ended, InstanceKey};

/// What one proxy wants to hear from all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Of which instance.
    pub key: InstanceKey,
    /// Of which registration of it; of whichever there is, or was, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// When they say yes.
    pub until: Until,
}

/// When an [`Ask`] is answered with yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// No worker can pick it any more, and nothing is in flight on it.
    Drained,
    /// Every worker routes by a table that holds it.
    Routable,
}

/// How things stand with one proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it is so. Once it is, it stays.
    pub done: bool,
    /// Requests, streams and tunnels on it.
    #[serde(default)]
    pub in_flight: u32,
    /// How those ended that were on it since it began to leave.
    #[serde(default)]
    pub ended: Ended,
    /// What it waits for, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What the others have answered, taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// In flight on them.
    pub in_flight: u32,
    /// How requests ended on them.
    pub ended: Ended,
    /// Who has not said yes, each with what is known of it.
    pub unconfirmed: Vec<(String, String)>,
    /// How many of those have said nothing yet.
    pub silent: usize,
    /// How many have said yes.
    pub confirmed: usize,
}

/// The proxies that share a registry, as this one knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetReport {
    /// What this one is called.
    pub id: String,
    /// The revision of etcd that it has come to.
    pub revision: i64,
    /// The one that etcd has come to, as far as it is known.
    pub etcd_revision: i64,
    /// For how long etcd has been further.
    pub behind: Option<Duration>,
    /// How long etcd has been out of reach, and why.
    pub lost: Option<(Duration, String)>,
    /// Registrations that etcd lacks and that are known here.
    pub pending: usize,
    /// The others, by name.
    pub fellows: Vec<FellowReport>,
}

/// Another proxy that shares the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FellowReport {
    /// What it is called.
    pub id: String,
    /// Version of its program.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// How long it has been missing, without having left.
    pub missing: Option<Duration>,
}
