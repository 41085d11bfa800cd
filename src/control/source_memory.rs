//! What sources had, to disk and back. Writing is done beside the reconciler,
//! which waits for nothing here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{task::JoinHandle, time::Instant};

use super::catalog::Sources;
use crate::sources::{LastKnown, SourceName, last_known};

/// From one time that something is written to the next.
const PAUSE: Duration = Duration::from_secs(2);

type Failures = BTreeMap<SourceName, String>;

/// The last known sets on disk.
#[derive(Debug)]
pub(super) struct SourceMemory {
    data_dir: PathBuf,
    writing: Option<JoinHandle<Failures>>,
    begun: Option<Instant>,
}

impl SourceMemory {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), writing: None, begun: None }
    }

    /// What is on disk of `sources`, and what is not to be used. Blocks.
    pub(super) fn read<'s>(
        &self,
        sources: impl Iterator<Item = &'s SourceName>,
    ) -> (Vec<LastKnown>, Failures) {
        let (mut all, mut failures) = (Vec::new(), Failures::new());
        for source in sources {
            match last_known::read(&self.data_dir, source) {
                Ok(known) => all.extend(known),
                Err(error) => {
                    tracing::error!(%source, "{error}; what the source had is not known");
                    failures.insert(source.clone(), error.to_string());
                }
            }
        }
        (all, failures)
    }

    /// Has written what has changed, a pause after the last time at the
    /// earliest.
    pub(super) fn tend(&mut self, sources: &mut Sources, now: Instant) {
        if let Some(writing) = &mut self.writing {
            let Some(done) = writing.now_or_never() else { return };
            self.writing = None;
            for (source, why) in done.unwrap_or_default() {
                tracing::error!(%source, "what it has could not be kept on disk: {why}");
                if let Some(state) = sources.all.get_mut(&source) {
                    state.changed = true;
                }
                sources.memory_failures.insert(source, format!("cannot be written: {why}"));
            }
        }
        if self.begun.is_some_and(|begun| now.duration_since(begun) < PAUSE) {
            return;
        }
        let changed = sources.take_changed();
        if changed.is_empty() {
            return;
        }
        for known in &changed {
            sources.memory_failures.remove(&known.source);
        }
        self.begun = Some(now);
        let data_dir = self.data_dir.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let write = |known: LastKnown| match last_known::write(&data_dir, &known) {
                Ok(()) => None,
                Err(error) => Some((known.source, error.to_string())),
            };
            changed.into_iter().filter_map(write).collect()
        }));
    }
}
