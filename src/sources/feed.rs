//! What a source tells: the one contract of all of them.
//!
//! A list is all there is; what it lacks is gone, as far as that is believed.
//! An instance that is removed by name is gone. While a source is lost it says
//! nothing about instances, and what it said last stands.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use super::Found;
use crate::model::InstanceKey;

/// How a source is called in `proxy.toml`: 1 to 63 characters of `a-z`, `0-9`
/// and `-`, other than `registry`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(Arc<str>);

/// A text that cannot be the name of a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a source; use 1 to 63 of a-z, 0-9 and \"-\", other than \"registry\""
)]
pub struct ParseSourceNameError(String);

impl SourceName {
    /// The name of a source that has none but its kind.
    pub(super) fn of_kind(kind: &'static str) -> Self {
        Self(kind.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceName {
    type Err = ParseSourceNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        // The registry is a source of its own.
        let fits = text != "registry" && text.bytes().all(fits);
        match (1..=63).contains(&text.len()) && fits {
            true => Ok(Self(text.into())),
            false => Err(ParseSourceNameError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for SourceName {
    type Error = ParseSourceNameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl JsonSchema for SourceName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SourceName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "source-name", "examples": ["consul-east"] })
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Something that a source tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// All that it has, read in full and without an error.
    List(Vec<Found>),
    /// One instance is new or has changed.
    Upserted(Box<Found>),
    /// One instance is gone: it left, or the source gave it up.
    Removed(InstanceKey),
    /// It was heard that nothing has changed.
    Unchanged,
    /// It cannot be reached or understood; why, in words for a person. Told at
    /// each attempt.
    Lost(String),
    /// It holds something that cannot be an instance.
    Rejected {
        /// The key, path or name of it there.
        what: String,
        /// Why, in words for a person.
        why: String,
    },
}

/// Where one source tells what it has.
#[derive(Clone, Debug)]
pub struct Feed {
    source: SourceName,
    news: mpsc::UnboundedSender<(SourceName, News)>,
    wanted: Arc<Notify>,
    had: Arc<Mutex<Vec<Arc<Found>>>>,
}

impl Feed {
    /// The feed of the source called `source`. It reads its list anew when
    /// `wanted` is notified.
    #[must_use]
    pub fn new(
        source: SourceName,
        news: mpsc::UnboundedSender<(SourceName, News)>,
        wanted: Arc<Notify>,
    ) -> Self {
        Self { source, news, wanted, had: Arc::default() }
    }

    /// The same, of a source that had `had` when it was last heard: before a
    /// restart, or by other settings.
    #[must_use]
    pub fn after(self, had: Vec<Arc<Found>>) -> Self {
        Self { had: Arc::new(Mutex::new(had)), ..self }
    }

    /// What the source had before this driver began. Says so once: a driver
    /// that is started again later knows nothing that is still true.
    pub(super) fn take_had(&self) -> Vec<Arc<Found>> {
        std::mem::take(&mut self.had.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The name of the source.
    #[must_use]
    pub fn source(&self) -> &SourceName {
        &self.source
    }

    /// Tells it.
    pub fn tell(&self, news: News) {
        // Nobody listens when the process ends.
        let _ = self.news.send((self.source.clone(), news));
    }

    /// Ends when a full list is wanted now: so many instances disappeared that
    /// it is not believed before it was read twice, or somebody asked for it.
    pub async fn list_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Waits for `time` before the next attempt, or until somebody wants a list.
    pub(super) async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.list_wanted() => {}
        }
    }
}
