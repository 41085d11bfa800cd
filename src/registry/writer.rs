//! The writer: the thread that owns the ledger and the store.
//!
//! It takes everything that is queued, applies it in order, commits it in one
//! transaction, publishes it in the same order, and only then answers. A
//! thousand registrations at once are one fsync. If the commit fails, the
//! ledger goes back to what is on disk and only what needs no write succeeds.

use std::{path::Path, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{
        OwnedSemaphorePermit,
        mpsc::{UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::Instant,
};

use super::{
    OpenError, RegistryError, RegistryEvent, Removal, StoreFault, StoreState,
    ledger::{Change, Ledger, Operation, Outcome},
    live::Live,
    snapshot::Snapshots,
    store::Store,
    suspended::Resume,
};
use crate::telemetry::StoreMetrics;

/// Operations in one transaction at most: bounds how long the first of them
/// waits for the last.
const BATCH: usize = 1000;

/// How often it is tried to open the store again before what waits for it is
/// refused, and the wait between two tries, before that and after.
const REOPEN_AT_ONCE: u32 = 40;
const REOPEN_SOON: Duration = Duration::from_millis(50);
const REOPEN: Duration = Duration::from_secs(1);

/// Where the writer gets its work from.
pub(super) type Queue = UnboundedSender<Command>;

/// One entry of the queue.
pub(super) enum Command {
    Apply(Work),
    /// Answered when the store is closed and unlocked.
    Close(oneshot::Sender<()>),
    /// Close the store and unlock it, say so, and open it again when that is
    /// asked for.
    Suspend {
        done: oneshot::Sender<()>,
        resumed: oneshot::Receiver<Resume>,
    },
    #[cfg(test)]
    Tamper(Box<dyn FnOnce(&mut Store) + Send>),
}

/// An operation, who waits for it, and its place in the bounded part of the
/// queue. Operations of the proxy itself have neither.
pub(super) struct Work {
    pub(super) operation: Operation,
    pub(super) answer: Option<oneshot::Sender<Result<Outcome, RegistryError>>>,
    pub(super) _place: Option<OwnedSemaphorePermit>,
}

pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) ledger: Ledger,
    pub(super) live: Arc<Live>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) metrics: Arc<StoreMetrics>,
    /// Set for good by the first fault that only a restart ends.
    pub(super) poison: Option<StoreFault>,
}

impl Writer {
    /// Works until the queue is closed.
    pub(super) fn run(mut self, mut queue: UnboundedReceiver<Command>) {
        let mut commands = Vec::new();
        let mut closing = None;
        while closing.is_none() && queue.blocking_recv_many(&mut commands, BATCH) > 0 {
            let mut batch = Vec::with_capacity(commands.len());
            for command in commands.drain(..) {
                match command {
                    Command::Apply(work) => batch.push(work),
                    Command::Close(done) => {
                        closing = Some(done);
                        break;
                    }
                    Command::Suspend { done, resumed } => {
                        self.process(std::mem::take(&mut batch));
                        let Some(writer) = self.suspend(done, resumed, &mut queue) else { return };
                        self = writer;
                    }
                    #[cfg(test)]
                    Command::Tamper(tamper) => {
                        self.process(std::mem::take(&mut batch));
                        tamper(&mut self.store);
                    }
                }
            }
            self.process(batch);
        }
        let is_well = self.poison.is_none();
        // Before the lock is given up: then the folder is somebody else's.
        self.snapshots.close(is_well.then(|| self.store.commits()));
        if !is_well {
            self.store.leave_as_is();
        }
        drop(self);
        if let Some(done) = closing {
            // An error means that nobody waits for it.
            let _ = done.send(());
        }
    }

    /// Closes the store until nobody else wants it; none if another process
    /// has it for good, or the registry is closed first. The ledger stays:
    /// nobody else has acknowledged anything meanwhile.
    fn suspend(
        self,
        done: oneshot::Sender<()>,
        resumed: oneshot::Receiver<Resume>,
        queue: &mut UnboundedReceiver<Command>,
    ) -> Option<Self> {
        let Self { store, ledger, live, snapshots, metrics, poison } = self;
        if poison.is_some() {
            store.leave_as_is();
        }
        snapshots.close(None);
        let data_dir = store.data_dir().to_owned();
        drop(store);
        // An error means that nobody waits for it.
        let _ = done.send(());
        let answer = match resumed.blocking_recv() {
            Ok(Resume::Elsewhere) => return None,
            Ok(Resume::Here(answer)) => Some(answer),
            // Whoever was to tell has ended.
            Err(_) => None,
        };
        let store = reopen(&data_dir, &live, answer, queue)?;
        snapshots.reopen();
        Some(Self { store, ledger, live, snapshots, metrics, poison })
    }

    fn process(&mut self, batch: Vec<Work>) {
        let results = match self.commit(&batch) {
            Ok(results) => {
                self.publish(&results);
                results
            }
            Err(fault) => batch.iter().map(|work| self.without_store(work, &fault)).collect(),
        };
        for (work, result) in batch.into_iter().zip(results) {
            if let Some(answer) = work.answer {
                // Whoever asked may have left; what was done stays done.
                drop(answer.send(result));
            }
        }
        self.tidy();
    }

    /// Applies and writes a batch. On an error the ledger is as before.
    fn commit(
        &mut self,
        batch: &[Work],
    ) -> Result<Vec<Result<Outcome, RegistryError>>, StoreFault> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        let results: Vec<_> = batch.iter().map(|work| self.apply(&work.operation)).collect();
        let mut changes = results.iter().flatten().filter(|it| it.change.is_some()).peekable();
        if changes.peek().is_some() {
            let begun = std::time::Instant::now();
            let (last_generation, instances) = (self.ledger.last_generation(), self.ledger.len());
            let written = self.store.write(changes, last_generation, instances);
            self.note(written.as_ref().err());
            if written.is_ok() {
                let took = begun.elapsed();
                self.metrics.committed(took);
                self.live.committed(self.store.commits(), took);
            }
            if let Err(fault) = written {
                self.ledger.undo();
                return Err(fault);
            }
        }
        self.ledger.keep();
        Ok(results)
    }

    fn apply(&mut self, operation: &Operation) -> Result<Outcome, RegistryError> {
        if let Operation::Remove { key, generation, why: Removal::Forgotten } = operation
            && !self.live.leases().leases.begin_forgetting(key, *generation)
        {
            return Err(RegistryError::NotFound { key: key.clone() });
        }
        let outcome = self.ledger.apply(operation)?;
        if let Operation::Register { instance, .. } = operation
            && matches!(outcome.change, None | Some(Change::Updated))
        {
            // A sign of life at once, not after the commit: a decision to
            // forget later in this batch must already see it.
            self.live.leases().touch(&instance.key(), Instant::now());
        }
        Ok(outcome)
    }

    /// The answer while nothing can be written: what needs no write is as
    /// good as ever, the rest is refused.
    fn without_store(&mut self, work: &Work, fault: &StoreFault) -> Result<Outcome, RegistryError> {
        if let Operation::Remove { key, generation, why } = &work.operation {
            if *why == Removal::Forgotten {
                self.live.leases().leases.keep(key, *generation, Instant::now());
            }
            return Err(refusal(fault));
        }
        let result = self.apply(&work.operation);
        let needs_write = result.as_ref().is_ok_and(|outcome| outcome.change.is_some());
        self.ledger.undo();
        if needs_write { Err(refusal(fault)) } else { result }
    }

    fn publish(&self, results: &[Result<Outcome, RegistryError>]) {
        let now = Instant::now();
        for Outcome { registration, change } in results.iter().flatten() {
            let Some(change) = change else { continue };
            let mut live = self.live.leases();
            let (key, generation) = (registration.instance.key(), registration.generation);
            match change {
                Change::Created | Change::Updated | Change::Replaced => {
                    live.put(registration.clone(), false, now);
                }
                Change::Draining => {
                    live.leases.drain(&key);
                    live.announce(RegistryEvent::Draining { key, generation });
                }
                Change::Removed(why) => {
                    live.leases.remove(&key);
                    live.announce(RegistryEvent::Removed { key, generation, why: *why });
                }
            }
        }
    }

    fn tidy(&mut self) {
        if self.poison.is_none()
            && let Err(fault) = self.store.tidy()
        {
            self.note(Some(&fault));
        }
    }

    /// Keeps the state of the store that others see, and logs its turns.
    fn note(&mut self, fault: Option<&StoreFault>) {
        let mut state = self.live.store();
        let before = match &*state {
            StoreState::Writable => None,
            StoreState::Full { since } | StoreState::Failed { since, .. } => Some(*since),
        };
        let Some(fault) = fault else {
            if before.is_some() {
                tracing::info!("the registry takes writes again");
                *state = StoreState::Writable;
            }
            return;
        };
        let since = before.unwrap_or_else(Instant::now);
        let now = match fault {
            StoreFault::Full => StoreState::Full { since },
            reason => StoreState::Failed { reason: reason.clone(), since },
        };
        if *state != now {
            tracing::error!(reason = %fault, "the registry takes no writes");
            *state = now;
        }
        if fault.is_final() {
            self.poison = Some(fault.clone());
        }
    }
}

/// Opens the store again. For as long as that cannot be done, what is asked for
/// is refused; none if the registry is closed meanwhile.
fn reopen(
    data_dir: &Path,
    live: &Live,
    mut answer: Option<oneshot::Sender<Result<(), OpenError>>>,
    queue: &mut UnboundedReceiver<Command>,
) -> Option<Store> {
    let mut since = None;
    for attempt in 0_u32.. {
        let error = match Store::open(data_dir) {
            Ok((store, _)) => {
                if since.is_some() {
                    tracing::info!("the store is open again");
                    *live.store() = StoreState::Writable;
                }
                // An error means that nobody waits for it.
                let _ = answer.take().map(|answer| answer.send(Ok(())));
                return Some(store);
            }
            Err(error) => error,
        };
        if attempt < REOPEN_AT_ONCE {
            // The process that had it may be about to end.
            thread::sleep(REOPEN_SOON);
            continue;
        }
        let reason = StoreFault::Other { text: error.to_string() };
        if since.is_none() {
            tracing::error!(%error, "the store cannot be opened again; trying on");
        }
        let since = *since.get_or_insert_with(Instant::now);
        *live.store() = StoreState::Failed { reason: reason.clone(), since };
        let _ = answer.take().map(|answer| answer.send(Err(error)));
        while let Ok(command) = queue.try_recv() {
            match command {
                Command::Apply(Work { answer: Some(answer), .. }) => {
                    drop(answer.send(Err(refusal(&reason))));
                }
                Command::Close(done) => {
                    let _ = done.send(());
                    return None;
                }
                // The proxy itself asks again.
                _ => {}
            }
        }
        thread::sleep(REOPEN);
    }
    None
}

fn refusal(fault: &StoreFault) -> RegistryError {
    match fault {
        StoreFault::Full => RegistryError::StoreFull,
        reason => RegistryError::StoreFailed { reason: reason.clone() },
    }
}
