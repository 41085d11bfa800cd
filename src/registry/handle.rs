//! The handle that everybody else holds, whoever keeps the registrations.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    Backend, Caller, CommitTimes, InheritedLease, OpenError, Registered, RegistryError,
    RegistryEvent, RegistrySettings, Renewed, SnapshotReport, StoreState,
    embedded::Embedded,
    ledger::{Change, Operation, Outcome},
    limits,
    shared::{Fellows, SharedRegistry, SharedShelf},
};
use crate::{
    model::{Instance, InstanceKey},
    telemetry::StoreMetrics,
};

/// The registry. Cheap to clone; when the last clone is dropped, an embedded
/// one finishes what is queued and closes its store. Await [`Self::close`] to
/// know that it has.
#[derive(Clone, Debug)]
pub struct Registry {
    pub(super) keeper: Keeper,
}

/// Who keeps the registrations.
#[derive(Clone)]
pub(super) enum Keeper {
    /// This proxy, on its disk.
    Embedded(Embedded),
    /// An etcd cluster, for several proxies.
    Shared(SharedRegistry),
}

/// How the store is doing.
#[derive(Clone, Debug)]
pub struct StoreReport {
    /// Whether it takes writes.
    pub state: StoreState,
    /// How many instances it holds.
    pub instances: usize,
    /// How long the last commits took; none before the first.
    pub commits: Option<CommitTimes>,
    /// Its snapshots.
    pub snapshots: SnapshotReport,
}

/// A registry that was just opened.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub registry: Registry,
    /// What happens. The restored instances are already in it. Not bounded:
    /// the reader must keep reading, and what is queued is at most what was
    /// written to disk meanwhile.
    pub events: UnboundedReceiver<RegistryEvent>,
    /// How many instances were restored.
    pub restored: usize,
}

impl Registry {
    /// Locks `settings.data_dir`, reads the store in it, or makes one if there
    /// is none, and starts the writer, the lease task and the snapshots on the
    /// current runtime. Restored leases begin with their full TTL.
    ///
    /// # Errors
    ///
    /// If the folder is in use or the store is not whole. A store is never
    /// replaced by an empty one.
    pub async fn open(settings: &RegistrySettings) -> Result<Opened, OpenError> {
        let opened = Self::take_over(settings, &[]).await?;
        opened.registry.begin();
        Ok(opened)
    }

    /// As [`Self::open`], but leases go on where the process before left them,
    /// and stand still until [`Self::begin`]. A lease that it did not know
    /// begins anew.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub async fn take_over(
        settings: &RegistrySettings,
        inherited: &[InheritedLease],
    ) -> Result<Opened, OpenError> {
        let (keeper, events, restored) = match (settings.backend, &settings.etcd) {
            (Backend::Embedded, _) => {
                let (embedded, events, restored) = Embedded::take_over(settings, inherited).await?;
                (Keeper::Embedded(embedded), events, restored)
            }
            (Backend::Etcd, Some(etcd)) => {
                let (shared, events, restored) = SharedRegistry::open(settings, etcd).await?;
                (Keeper::Shared(shared), events, restored)
            }
            (Backend::Etcd, None) => return Err(OpenError::NoEtcd),
        };
        Ok(Opened { registry: Self { keeper }, events, restored })
    }

    /// Lets the leases run. The time since the store was opened does not count:
    /// heartbeats went elsewhere.
    pub fn begin(&self) {
        match &self.keeper {
            Keeper::Embedded(it) => it.begin(),
            Keeper::Shared(it) => it.begin(),
        }
    }

    /// Registers `instance`, or edits it. When this returns `Ok`, it is on
    /// disk and its event is sent. It goes on if the caller hangs up.
    ///
    /// # Errors
    ///
    /// If a limit is reached, the id is somebody else's, or the store cannot
    /// be written.
    pub async fn register(
        &self,
        instance: Instance,
        caller: Caller,
    ) -> Result<Registered, RegistryError> {
        limits::check(&instance)?;
        let operation = Operation::Register { instance: instance.into(), caller };
        let Outcome { registration, change } = self.apply(operation).await?;
        let created = change == Some(Change::Created);
        Ok(Registered { created, changed: change.is_some(), registration })
    }

    /// Renews the lease of an instance, of `generation` or of whichever there
    /// is. In memory only.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`] tells the client to register again;
    /// [`RegistryError::Owned`] that it is not its instance, and
    /// [`RegistryError::Replaced`] that it is not any more.
    pub fn heartbeat(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<Renewed, RegistryError> {
        match &self.keeper {
            Keeper::Embedded(it) => it.heartbeat(key, generation, caller),
            Keeper::Shared(it) => it.heartbeat(key, generation, caller),
        }
    }

    /// Marks an instance, of `generation` or of whichever there is, as leaving,
    /// durably, and returns its generation. Repeating it is fine.
    ///
    /// # Errors
    ///
    /// If there is no such instance, it is somebody else's or of another
    /// generation, or the store cannot be written.
    pub async fn drain(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<u64, RegistryError> {
        let (key, caller) = (key.clone(), caller.clone());
        let outcome = self.apply(Operation::Drain { key, generation, caller }).await?;
        Ok(outcome.registration.generation)
    }

    /// Removes an instance, of `generation` or of whichever there is, durably,
    /// and returns the generation that was removed; none if it was not there,
    /// so that a repeated call succeeds.
    ///
    /// # Errors
    ///
    /// If it is somebody else's or the store cannot be written.
    pub async fn deregister(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<Option<u64>, RegistryError> {
        let (key, caller) = (key.clone(), caller.clone());
        match self.apply(Operation::Deregister { key, generation, caller }).await {
            Ok(outcome) => Ok(Some(outcome.registration.generation)),
            Err(RegistryError::NotFound { .. } | RegistryError::Replaced { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn apply(&self, operation: Operation) -> Result<Outcome, RegistryError> {
        match &self.keeper {
            Keeper::Embedded(it) => it.apply(operation).await,
            Keeper::Shared(it) => it.apply(operation).await,
        }
    }

    /// Has `generation` of an instance removed, if it is still the current
    /// one. Returns at once; [`RegistryEvent::Removed`] follows, unless the
    /// store cannot be written, or the registry has not begun: then it has to
    /// be asked for again.
    pub fn give_up(&self, key: &InstanceKey, generation: u64) {
        match &self.keeper {
            Keeper::Embedded(it) => it.give_up(key, generation),
            Keeper::Shared(it) => it.give_up(key, generation),
        }
    }

    /// Time left of the lease of an instance: none if there is no such
    /// instance, `Some(None)` if it has no TTL, zero once expired.
    #[must_use]
    pub fn lease_left(&self, key: &InstanceKey) -> Option<Option<Duration>> {
        match &self.keeper {
            Keeper::Embedded(it) => it.lease_left(key),
            Keeper::Shared(it) => it.lease_left(key),
        }
    }

    /// Whether the registry takes writes.
    #[must_use]
    pub fn store_state(&self) -> StoreState {
        match &self.keeper {
            Keeper::Embedded(it) => it.store_state(),
            Keeper::Shared(it) => it.state(),
        }
    }

    /// How the store is doing.
    #[must_use]
    pub fn store_report(&self) -> StoreReport {
        match &self.keeper {
            Keeper::Embedded(it) => it.store_report(),
            Keeper::Shared(it) => StoreReport {
                state: it.state(),
                instances: it.len(),
                commits: None,
                snapshots: SnapshotReport::default(),
            },
        }
    }

    /// The other proxies that share it; none if it is this proxy's alone.
    #[must_use]
    pub fn fellows(&self) -> Option<Fellows> {
        match &self.keeper {
            Keeper::Embedded(_) => None,
            Keeper::Shared(it) => Some(it.fellows()),
        }
    }

    /// What they keep in common beside registrations; none if it is this
    /// proxy's alone.
    #[must_use]
    pub fn shelf(&self) -> Option<SharedShelf> {
        match &self.keeper {
            Keeper::Embedded(_) => None,
            Keeper::Shared(it) => Some(it.shelf()),
        }
    }

    /// What is counted of the store; of etcd, nothing.
    #[must_use]
    pub fn metrics(&self) -> Arc<StoreMetrics> {
        match &self.keeper {
            Keeper::Embedded(it) => it.metrics(),
            Keeper::Shared(_) => Arc::default(),
        }
    }

    /// How many instances are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.keeper {
            Keeper::Embedded(it) => it.len(),
            Keeper::Shared(it) => it.len(),
        }
    }

    /// Whether no instance is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what is queued, closes the store and gives up its lock. Other
    /// clones get [`RegistryError::Closed`] from then on.
    pub async fn close(self) {
        match self.keeper {
            Keeper::Embedded(it) => it.close().await,
            Keeper::Shared(it) => it.close().await,
        }
    }

    /// The embedded one, which most tests are about.
    #[cfg(test)]
    pub(super) fn embedded(&self) -> &Embedded {
        match &self.keeper {
            Keeper::Embedded(it) => it,
            Keeper::Shared(_) => unreachable!("the test is about an embedded one"),
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(it) => it.fmt(f),
            Self::Shared(it) => f.debug_tuple("Shared").field(&it.len()).finish(),
        }
    }
}
