//! What is counted of the registry's store.

use std::time::Duration;

use super::histogram::{COMMIT_BOUNDS, Histogram};

/// The counts of one store. The thread that writes the store is the only one
/// that counts here.
#[derive(Debug)]
pub struct StoreMetrics {
    pub(super) commits: Histogram<{ COMMIT_BOUNDS.len() }>,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self { commits: Histogram::new(&COMMIT_BOUNDS) }
    }
}

impl StoreMetrics {
    /// Counts a commit that took so long, flush included.
    pub fn committed(&self, took: Duration) {
        self.commits.record(took);
    }
}
