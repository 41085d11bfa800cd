//! Counts with one writer each.
//!
//! A worker is the only writer of its shard, so an increment is a load and a
//! store and needs no locked instruction. Two writers on one shard would lose
//! counts; they would do no other harm.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// A count that only grows, written by one thread and read by any.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, more: u64) {
        // Release, so that who sees this count has seen the ones before it: an
        // end is never seen without its begin. On x86 it costs nothing.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Release);
    }

    pub(super) fn increment(&self) {
        self.add(1);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// One `T` per worker, made when the worker first asks for it, so that what
/// gets no traffic costs two words per worker.
#[derive(Debug)]
pub(super) struct PerWorker<T>(Box<[OnceLock<Box<T>>]>);

impl<T> PerWorker<T> {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OnceLock::new()).collect())
    }

    /// The shard of one worker, counted from 0.
    pub(super) fn of(&self, worker: usize, make: impl FnOnce() -> T) -> &T {
        self.0[worker].get_or_init(|| Box::new(make()))
    }

    /// The shards made so far.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceLock::get).map(Box::as_ref)
    }
}
