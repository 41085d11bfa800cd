//! The registry in etcd, which several proxies share: each takes
//! registrations, heartbeats and farewells of any instance, each hears of all.
//!
//! `schema.rs` is what stands in etcd, `mirror.rs` what this proxy has heard
//! of it, `operations.rs` what is to be written; all three are pure. `follow.rs`,
//! `renewals.rs` and `writing.rs` carry between them and etcd, `memory.rs` keeps
//! on disk what was last heard, `deferring.rs` what was accepted without etcd.
//!
//! The promise is that of the embedded registry, with etcd in the place of the
//! disk: what was answered with `Ok` is in etcd, and an event is sent only for
//! what etcd has said. `presence.rs` has the others know of this proxy,
//! `fleet.rs` knows of them, `asking.rs` asks them; `shelf.rs` and `shelving.rs`
//! are what proxies keep in common beside registrations. While etcd is away,
//! what is known stays as it is: heartbeats are taken and passed on later,
//! nothing expires, and what would have to be written is refused.

mod announced;
mod asking;
pub mod carry;
mod deferring;
mod entry;
mod fleet;
mod follow;
mod memory;
mod mirror;
mod newer;
mod operations;
mod presence;
mod progress;
mod renewals;
mod schema;
mod shelf;
mod shelving;
mod state;
mod writing;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        Mutex as AsyncMutex, Notify, Semaphore,
        mpsc::{self, UnboundedReceiver},
        watch,
    },
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    Caller, EtcdBackendSettings, InheritedLease, OnOutage, OpenError, RegistryError, RegistryEvent,
    RegistrySettings, Removal, Renewed, StoreFault, StoreState,
    ledger::{Operation, Outcome},
};
use crate::{
    etcd::{Client, ClientSettings},
    model::InstanceKey,
};

use announced::Announced;
pub use asking::{Asked, Fellows};
use fleet::Fleet;
use mirror::Mirror;
use presence::Presence;
use progress::Progress;
use schema::Keys;
use shelf::Shelf;
pub use shelf::Shelved;
pub use shelving::{SharedShelf, ShelfTurn, Swap};
use state::{State, away};

/// How long a start waits for etcd before it begins with what was known.
const FIRST_LIST: Duration = Duration::from_secs(10);

/// How long a member may take to answer, before another is asked.
const BRISK: Duration = Duration::from_secs(1);

/// How long it may take to renew a lease: so long that one that is only slow
/// does it, and so short that another one still does, before it is over.
const RENEWED: Duration = Duration::from_millis(2500);

/// Instances that are given up at a time: about each the others are asked.
const GIVEN_UP_AT_ONCE: usize = 16;

/// How long after `forget_after` a farewell is kept. Until then nobody brings
/// back what has left.
const FAREWELL: Duration = Duration::from_secs(120);

/// A registry that several proxies share. Its copies are the same one.
#[derive(Clone)]
pub(super) struct SharedRegistry {
    inner: Arc<Inner>,
    tasks: Arc<Tasks>,
}

struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end();
    }
}

impl Tasks {
    fn end(&self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// What callers and tasks share.
struct Inner {
    client: Client,
    /// The same one, where whoever is asked has to answer soon.
    brisk: Client,
    /// The same one, to renew leases.
    renewing: Client,
    /// A member was silent.
    doubt: Notify,
    keys: Keys,
    mirror: Mutex<Announced>,
    /// The revision that the mirror has come to.
    heard: watch::Sender<i64>,
    progress: Mutex<Progress>,
    /// The watch is to say how far it has come.
    lagging: Notify,
    state: watch::Sender<State>,
    presence: Arc<Presence>,
    /// Something was heard of other proxies, or of etcd itself.
    pulse: watch::Sender<()>,
    /// Something was heard of the shelf, or of etcd itself.
    stocked: watch::Sender<()>,
    /// Whether registrations are accepted while etcd is away.
    accepts_in_outage: bool,
    /// Held by who writes to disk what was.
    deferring: AsyncMutex<()>,
    /// How many may be given up at a time.
    giving_up: Arc<Semaphore>,
    farewell: AsyncMutex<Option<(i64, Instant)>>,
    farewell_ttl: Duration,
    max_services: u32,
    max_instances: u32,
    data_dir: PathBuf,
    /// Whether it may write by itself: not while the process before does.
    begun: AtomicBool,
    closed: AtomicBool,
}

fn client(settings: &EtcdBackendSettings) -> ClientSettings {
    ClientSettings {
        endpoints: settings.endpoints.clone(),
        username: settings.username.clone(),
        password: settings.password.clone(),
        tls: settings.tls.clone(),
    }
}

impl SharedRegistry {
    /// Reads what is in etcd, or what was last known if etcd does not answer,
    /// and follows from there.
    pub(super) async fn open(
        settings: &RegistrySettings,
        etcd: &EtcdBackendSettings,
    ) -> Result<(Self, UnboundedReceiver<RegistryEvent>, usize), OpenError> {
        let keys = Keys::new(&etcd.prefix);
        let (announce, events) = mpsc::unbounded_channel();
        let forget_after = settings.forget_after.into();
        let mirror = Mirror::new(keys.clone(), forget_after);
        let presence = Presence::new(settings.data_dir.clone()).await?;
        let missing_for = etcd.missing_for.into();
        let fleet = Fleet::new(keys.clone(), presence.id().to_owned(), missing_for);
        let shelf = Shelf::new(keys.clone());
        let state = State { connected: false, listed: false, fault: None };
        let client = Client::new(client(etcd));
        let inner = Arc::new(Inner {
            brisk: client.answered(BRISK),
            renewing: client.answered(RENEWED),
            client,
            doubt: Notify::new(),
            keys,
            mirror: Mutex::new(Announced { mirror, fleet, shelf, events: announce }),
            heard: watch::Sender::new(0),
            progress: Mutex::default(),
            lagging: Notify::new(),
            state: watch::Sender::new(state),
            presence,
            pulse: watch::Sender::new(()),
            stocked: watch::Sender::new(()),
            accepts_in_outage: etcd.on_outage == OnOutage::Accept,
            deferring: AsyncMutex::new(()),
            giving_up: Arc::new(Semaphore::new(GIVEN_UP_AT_ONCE)),
            farewell: AsyncMutex::new(None),
            farewell_ttl: forget_after.saturating_add(FAREWELL),
            max_services: settings.max_services.into(),
            max_instances: settings.max_instances_per_service.into(),
            data_dir: settings.data_dir.clone(),
            begun: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        // First, so that an etcd that has lost everything is known as such.
        let known = memory::read(&settings.data_dir).await?;
        let deferred = deferring::read(&settings.data_dir).await?;
        inner.change(|mirror, out| {
            mirror.remember(known, out);
            for one in deferred {
                mirror.defer(one, true, out);
            }
        });
        let listed = timeout(FIRST_LIST, follow::begin(&inner)).await;
        let fault = match listed {
            Ok(Ok(_)) => None,
            Ok(Err(fault)) => Some(fault),
            Err(_) => {
                let text = format!("it has not answered within {FIRST_LIST:?}");
                Some(StoreFault::Away { text })
            }
        };
        if let Some(fault) = fault {
            inner.lost(fault);
        }
        let restored = inner.announced().mirror.len();
        let tasks = [
            tokio::spawn(follow::run(Arc::clone(&inner))).abort_handle(),
            tokio::spawn(renewals::run(Arc::clone(&inner))).abort_handle(),
            tokio::spawn(presence::run(Arc::clone(&inner))).abort_handle(),
            tokio::spawn(memory::run(Arc::clone(&inner))).abort_handle(),
        ];
        let tasks = Arc::new(Tasks(tasks.into()));
        Ok((Self { inner, tasks }, events, restored))
    }

    pub(super) fn begin(&self) {
        self.inner.begun.store(true, Ordering::Relaxed);
        self.inner.pulse.send_replace(());
    }

    pub(super) fn heartbeat(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<Renewed, RegistryError> {
        if self.inner.closed.load(Ordering::Relaxed) {
            return Err(RegistryError::Closed);
        }
        let mut renewed = Err(RegistryError::Closed);
        self.inner.change(|mirror, out| {
            renewed = mirror.heartbeat(key, generation, caller, Instant::now(), out);
        });
        renewed
    }

    pub(super) fn give_up(&self, key: &InstanceKey, generation: u64) {
        let begun = self.inner.begun.load(Ordering::Relaxed);
        if begun && self.inner.is_connected() && !self.inner.closed.load(Ordering::Relaxed) {
            let why = Removal::GaveUp;
            let operation = Operation::Remove { key: key.clone(), generation, why };
            let inner = Arc::clone(&self.inner);
            // It is asked for again.
            let Ok(turn) = Arc::clone(&inner.giving_up).try_acquire_owned() else { return };
            tokio::spawn(async move {
                let _turn = turn;
                // What this proxy cannot reach others may.
                if !inner.is_held_elsewhere(&operation.key(), generation).await {
                    // Another proxy may be first.
                    drop(inner.apply(operation).await);
                }
            });
        }
    }

    pub(super) fn lease_left(&self, key: &InstanceKey) -> Option<Option<Duration>> {
        self.inner.announced().mirror.lease_left(key)
    }

    pub(super) fn state(&self) -> StoreState {
        match self.inner.state.borrow().fault.clone() {
            Some((reason, since)) => StoreState::Failed { reason, since },
            None => StoreState::Writable,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.inner.announced().mirror.len()
    }

    fn standings(&self) -> Vec<InheritedLease> {
        self.inner.announced().mirror.standings()
    }

    /// Ends following; what is known is on disk then, and the others know that
    /// nothing is routed here any more. Registrations stay: their leases are
    /// etcd's.
    pub(super) async fn close(&self) {
        self.end();
        memory::write(&self.inner).await;
        self.inner.say_goodbye().await;
    }

    fn end(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        self.inner.pulse.send_replace(());
        self.tasks.end();
    }

    /// Leaves its folder to the process that may take over.
    pub(super) fn suspend(&self) -> Vec<InheritedLease> {
        self.inner.presence.move_out();
        self.standings()
    }

    /// That process does not take over.
    pub(super) async fn resume(&self) -> Result<(), OpenError> {
        self.inner.presence.settle_in().await
    }

    /// Leaves following to the process that has taken over, and that speaks for
    /// what is still in flight here.
    pub(super) fn leave(&self) {
        self.end();
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.say_goodbye().await });
    }

    /// Goes on if the caller hangs up.
    pub(super) async fn apply(&self, operation: Operation) -> Result<Outcome, RegistryError> {
        if self.inner.closed.load(Ordering::Relaxed) {
            return Err(RegistryError::Closed);
        }
        let is_sign_of_life = matches!(operation, Operation::Register { .. });
        let key = operation.key();
        let inner = Arc::clone(&self.inner);
        let applied = tokio::spawn(async move { inner.apply(operation).await }).await;
        let outcome = applied.map_err(|_| RegistryError::Closed)??;
        if is_sign_of_life {
            self.inner.change(|mirror, out| mirror.touch(&key, false, Instant::now(), out));
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
