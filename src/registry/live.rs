//! What the handle, the writer and the lease task share.
//!
//! Events are sent while the leases are locked, so that they come in the order
//! in which the leases changed. The locks are held for the length of a map
//! access, never across an await or a write to disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{
    Caller, Registration, RegistryError, RegistryEvent, Renewed, StoreState, lease::Leases,
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
        caller: &Caller,
        now: Instant,
    ) -> Result<Renewed, RegistryError> {
        let (renewed, news) = self.leases.renew(key, caller, now)?;
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
}

impl Live {
    pub(super) fn new(leases: Leases, events: UnboundedSender<RegistryEvent>) -> Self {
        Self {
            announced: Mutex::new(Announced { leases, events }),
            store: Mutex::new(StoreState::Writable),
        }
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
