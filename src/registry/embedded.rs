//! The registry of one proxy, with a store of its own.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{
        Semaphore,
        mpsc::{self, UnboundedReceiver},
        oneshot,
    },
    task::AbortHandle,
    time::Instant,
};

use super::{
    Caller, OpenError, RegistryError, RegistryEvent, RegistrySettings, Removal, Renewed,
    StoreReport, StoreState, expiry,
    lease::{InheritedLease, Leases},
    ledger::{Ledger, Operation, Outcome},
    live::Live,
    snapshot::{self, Snapshots},
    store::Store,
    writer::{Command, Queue, Work, Writer},
};
use crate::{model::InstanceKey, telemetry::StoreMetrics};

/// Operations that may wait for the writer at a time. More wait outside,
/// where whoever hangs up leaves nothing behind.
const WAITING: usize = 4096;

/// The embedded registry. Cheap to clone; when the last clone is dropped, the
/// writer finishes what is queued and closes the store. Await
/// [`Self::close`] to know that it has.
#[derive(Clone)]
pub(super) struct Embedded {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) live: Arc<Live>,
    pub(super) queue: Queue,
    places: Arc<Semaphore>,
    pub(super) snapshots: Arc<Snapshots>,
    metrics: Arc<StoreMetrics>,
    tasks: [AbortHandle; 2],
    /// While it has not begun.
    still: Mutex<Option<Still>>,
}

/// The time before a registry begins.
struct Still {
    since: Instant,
    begin: oneshot::Sender<()>,
}

impl Shared {
    fn still(&self) -> MutexGuard<'_, Option<Still>> {
        self.still.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end_tasks(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

impl Embedded {
    /// Locks the folder, reads the store in it or makes one, and starts the
    /// writer, the lease task and the snapshots on the current runtime.
    pub(super) async fn take_over(
        settings: &RegistrySettings,
        inherited: &[InheritedLease],
    ) -> Result<(Self, UnboundedReceiver<RegistryEvent>, usize), OpenError> {
        let data_dir = settings.data_dir.clone();
        let (store, contents) = tokio::task::spawn_blocking(move || Store::open(&data_dir))
            .await
            .map_err(|error| OpenError::Thread(error.into()))??;
        let ledger = Ledger::restore(&contents.registrations, contents.last_generation, settings);

        let now = Instant::now();
        let (announce, events) = mpsc::unbounded_channel();
        let leases = Leases::new(settings.forget_after.into(), now);
        let live = Arc::new(Live::new(leases, announce, contents.commits));
        let restored = contents.registrations.len();
        for registration in contents.registrations {
            live.leases().put(registration, true, now);
        }
        for lease in inherited {
            live.leases().leases.inherit(lease, now);
        }

        let (queue, commands) = mpsc::unbounded_channel();
        let kept = settings.snapshots_kept as usize;
        let snapshots = Arc::new(Snapshots::of(store.data_dir(), kept));
        let metrics = Arc::new(StoreMetrics::default());
        let writer = Writer {
            store,
            ledger,
            live: Arc::clone(&live),
            snapshots: Arc::clone(&snapshots),
            metrics: Arc::clone(&metrics),
            poison: None,
        };
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || {
                // The clock of the writer is that of the runtime, which tests
                // can pause.
                let _entered = runtime.enter();
                writer.run(commands);
            })
            .map_err(OpenError::Thread)?;
        let (begin, begun) = oneshot::channel();
        let expiry = expiry::run(Arc::clone(&live), queue.downgrade());
        let leases = tokio::spawn(async move {
            if begun.await.is_ok() {
                expiry.await;
            }
        });
        let every = settings.snapshot_every.into();
        let taking = snapshot::run(Arc::clone(&snapshots), Arc::clone(&live), every);
        let tasks = [leases.abort_handle(), tokio::spawn(taking).abort_handle()];
        let shared = Shared {
            live,
            queue,
            places: Arc::new(Semaphore::new(WAITING)),
            snapshots,
            metrics,
            tasks,
            still: Mutex::new(Some(Still { since: now, begin })),
        };
        Ok((Self { shared: Arc::new(shared) }, events, restored))
    }

    /// Lets the leases run. The time since the store was opened does not count:
    /// heartbeats went elsewhere.
    pub(super) fn begin(&self) {
        if let Some(Still { since, begin }) = self.shared.still().take() {
            self.shared.live.leases().leases.leave_out(since, Instant::now());
            // An error means that the registry is closed.
            let _ = begin.send(());
        }
    }

    /// Renews the lease of an instance, of `generation` or of whichever there
    /// is. In memory only.
    pub(super) fn heartbeat(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<Renewed, RegistryError> {
        self.shared.live.leases().renew(key, generation, caller, Instant::now())
    }

    /// Has `generation` of an instance removed, if it is still the current
    /// one. Returns at once; [`RegistryEvent::Removed`] follows, unless the
    /// store cannot be written, or the registry has not begun: then it has to
    /// be asked for again.
    pub(super) fn give_up(&self, key: &InstanceKey, generation: u64) {
        if self.shared.still().is_some() {
            return;
        }
        let operation = Operation::Remove { key: key.clone(), generation, why: Removal::GaveUp };
        // A closed registry has nothing left to give up.
        drop(self.shared.queue.send(Command::Apply(Work {
            operation,
            answer: None,
            _place: None,
        })));
    }

    /// Time left of the lease of an instance: none if there is no such
    /// instance, `Some(None)` if it has no TTL, zero once expired.
    pub(super) fn lease_left(&self, key: &InstanceKey) -> Option<Option<Duration>> {
        self.shared.live.leases().leases.left(key, Instant::now())
    }

    /// Whether the store takes writes.
    pub(super) fn store_state(&self) -> StoreState {
        self.shared.live.store().clone()
    }

    /// How the store is doing.
    pub(super) fn store_report(&self) -> StoreReport {
        StoreReport {
            state: self.store_state(),
            instances: self.len(),
            commits: self.shared.live.commit_times(),
            snapshots: self.shared.snapshots.report(),
        }
    }

    /// What is counted of the store.
    pub(super) fn metrics(&self) -> Arc<StoreMetrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// How many instances are registered.
    pub(super) fn len(&self) -> usize {
        self.shared.live.leases().leases.len()
    }

    /// Writes what is queued, closes the store and gives up its lock. Other
    /// clones get [`RegistryError::Closed`] from then on.
    pub(super) async fn close(self) {
        self.shared.end_tasks();
        let (done, closed) = oneshot::channel();
        if self.shared.queue.send(Command::Close(done)).is_ok() {
            // An error means that another clone has closed it just before.
            drop(closed.await);
        }
    }

    pub(super) async fn apply(&self, operation: Operation) -> Result<Outcome, RegistryError> {
        let place = Arc::clone(&self.shared.places)
            .acquire_owned()
            .await
            .map_err(|_| RegistryError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let work = Work { operation, answer: Some(answer), _place: Some(place) };
        self.shared.queue.send(Command::Apply(work)).map_err(|_| RegistryError::Closed)?;
        answered.await.map_err(|_| RegistryError::Closed)?
    }

    #[cfg(test)]
    pub(super) fn shared_snapshots(&self) -> &Snapshots {
        &self.shared.snapshots
    }

    /// Runs `tamper` on the store, in the writer and in turn.
    #[cfg(test)]
    pub(super) async fn tamper(&self, tamper: impl FnOnce(&mut Store) + Send + 'static) {
        let (done, told) = oneshot::channel();
        let tamper = Command::Tamper(Box::new(move |store: &mut Store| {
            tamper(store);
            let _ = done.send(());
        }));
        assert!(self.shared.queue.send(tamper).is_ok(), "the writer runs");
        told.await.expect("the writer runs");
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded")
            .field("instances", &self.len())
            .field("store", &self.store_state())
            .finish_non_exhaustive()
    }
}
