//! What is counted for one service: its side of the proxy.

use std::{array, sync::Arc, time::Duration};

use super::{
    counter::{Counter, PerWorker},
    histogram::{Distribution, Histogram, REQUEST_BOUNDS},
    retry::{Retries, RetryCause, RetryCounts},
    route::{CLASS_LABELS, class_of},
};

/// What is counted for one service. Kept by its owner across reloads, so that
/// counts never go back.
#[derive(Debug)]
pub struct ServiceMetrics(PerWorker<Shard>);

#[derive(Debug)]
#[repr(align(64))] // shards of two workers never share a cache line
struct Shard {
    responses: [Counter; CLASS_LABELS.len()],
    first_byte: Histogram<17>,
    retries: Retries,
    connects: Counter,
    connect_failures: Counter,
}

impl ServiceMetrics {
    /// Nothing counted yet, to be counted by `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self(PerWorker::new(workers)))
    }

    /// Counts one response head from an instance, `first_byte` after the
    /// request was given to the instance's connection (or to opening one).
    ///
    /// # Panics
    ///
    /// If there is no worker of that number; likewise below.
    pub fn upstream(&self, worker: usize, status: u16, first_byte: Duration) {
        let shard = self.shard(worker);
        shard.responses[class_of(status)].increment();
        shard.first_byte.record(first_byte);
    }

    /// Counts one request that is sent once more.
    pub fn retried(&self, worker: usize, cause: RetryCause) {
        self.shard(worker).retries.sent(cause);
    }

    /// Counts one request that the budget did not let be sent once more.
    pub fn retry_refused(&self, worker: usize) {
        self.shard(worker).retries.refused();
    }

    /// Counts one attempt to open a connection to an instance.
    pub fn connect(&self, worker: usize, ok: bool) {
        let shard = self.shard(worker);
        if ok { &shard.connects } else { &shard.connect_failures }.increment();
    }

    fn shard(&self, worker: usize) -> &Shard {
        self.0.of(worker, || Shard {
            responses: array::from_fn(|_| Counter::default()),
            first_byte: Histogram::new(&REQUEST_BOUNDS),
            retries: Retries::default(),
            connects: Counter::default(),
            connect_failures: Counter::default(),
        })
    }

    /// Whether anything was counted.
    pub(super) fn is_used(&self) -> bool {
        self.0.iter().next().is_some()
    }

    /// Responses by the class of their status; those that never came are left
    /// out.
    pub(super) fn responses(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASS_LABELS.iter().enumerate().filter_map(|(class, label)| {
            let count = self.0.iter().map(|shard| shard.responses[class].value()).sum();
            (count > 0).then_some((*label, count))
        })
    }

    /// Times to the first byte.
    pub(super) fn first_bytes(&self) -> Option<Distribution> {
        Distribution::of(self.0.iter().map(|shard| &shard.first_byte))
    }

    /// Requests sent once more, and those that the budget did not let be.
    #[must_use]
    pub fn retries(&self) -> (u64, u64) {
        let counts = self.retry_counts();
        (counts.sent(), counts.refused)
    }

    pub(super) fn retry_counts(&self) -> RetryCounts {
        RetryCounts::of(self.0.iter().map(|shard| &shard.retries))
    }

    /// Connections opened, and those that could not be.
    pub(super) fn connects(&self) -> (u64, u64) {
        let sum = |of: fn(&Shard) -> &Counter| self.0.iter().map(|shard| of(shard).value()).sum();
        (sum(|shard| &shard.connects), sum(|shard| &shard.connect_failures))
    }
}
