//! What the handle, the writer and the lease task share.
//!
//! Events are sent while the leases are locked, so that they come in the order
//! in which the leases changed. The locks are held for the length of a map
//! access, never across an await or a write to disk.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{
    Caller, CommitTimes, Registration, RegistryError, RegistryEvent, Renewed, StoreState,
    lease::Leases, pace::Pace,
};
use crate::model::InstanceKey;

/// The leases and the way to tell about them.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) leases: Leases,
    events: UnboundedSender<RegistryEvent>,
}

impl Announced {
    /// Sends `event`. Nobody listening is not an error: the registry goes on.
    pub(super) fn announce(&self, event: RegistryEvent) {
        drop(self.events.send(event));
    }

    pub(super) fn put(&mut self, registration: Registration, restored: bool, now: Instant) {
        self.leases.put(&registration, now);
        self.announce(RegistryEvent::Upserted { registration, restored });
    }

    pub(super) fn touch(&mut self, key: &InstanceKey, now: Instant) {
        if let Some(generation) = self.leases.touch(key, now) {
            self.announce(RegistryEvent::LeaseRenewed { key: key.clone(), generation });
        }
    }

    pub(super) fn renew(
        &mut self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
        now: Instant,
    ) -> Result<Renewed, RegistryError> {
        let (renewed, news) = self.leases.renew(key, generation, caller, now)?;
        if news {
            let generation = renewed.generation;
            self.announce(RegistryEvent::LeaseRenewed { key: key.clone(), generation });
        }
        Ok(renewed)
    }
}

/// The shared state of a registry.
#[derive(Debug)]
pub(super) struct Live {
    announced: Mutex<Announced>,
    store: Mutex<StoreState>,
    pace: Mutex<Pace>,
    /// Transactions committed since the store was made.
    commits: AtomicU64,
}

impl Live {
    pub(super) fn new(
        leases: Leases,
        events: UnboundedSender<RegistryEvent>,
        commits: u64,
    ) -> Self {
        Self {
            announced: Mutex::new(Announced { leases, events }),
            store: Mutex::new(StoreState::Writable),
            pace: Mutex::new(Pace::default()),
            commits: AtomicU64::new(commits),
        }
    }

    /// Notes a commit, the `commits`th, that took so long.
    pub(super) fn committed(&self, commits: u64, took: Duration) {
        self.commits.store(commits, Ordering::Relaxed);
        self.pace().record(took);
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn commit_times(&self) -> Option<CommitTimes> {
        self.pace().times()
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, Announced> {
        // Every change under this lock is a single map access; a panic in
        // between leaves nothing half done that the next one would not mend.
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store(&self) -> MutexGuard<'_, StoreState> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
