//! The registry in etcd, which several proxies share: each takes
//! registrations, heartbeats and farewells of any instance, each hears of all.
//!
//! `schema.rs` is what stands in etcd, `mirror.rs` what this proxy has heard
//! of it, `operations.rs` what is to be written; all three are pure. `follow.rs`,
//! `renewals.rs` and `writing.rs` carry between them and etcd, `memory.rs` keeps
//! on disk what was last heard.
//!
//! The promise is that of the embedded registry, with etcd in the place of the
//! disk: what was answered with `Ok` is in etcd, and an event is sent only for
//! what etcd has said. `presence.rs` has the others know of this proxy,
//! `fleet.rs` knows of them, `asking.rs` asks them. While etcd is away, what is known stays as it is:
//! heartbeats are taken and passed on later, nothing expires, and what would
//! have to be written is refused.

mod asking;
pub mod carry;
mod entry;
mod fleet;
mod follow;
mod memory;
mod mirror;
mod operations;
mod presence;
mod renewals;
mod schema;
mod state;
mod writing;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{
        Mutex as AsyncMutex,
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        watch,
    },
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{
    Caller, EtcdBackendSettings, InheritedLease, OpenError, Registered, RegistryError,
    RegistryEvent, RegistrySettings, Removal, Renewed, StoreFault, StoreState,
    ledger::{Change, Operation, Outcome},
    limits,
};
use crate::{
    etcd::{Client, ClientSettings, Listing},
    model::{Instance, InstanceKey},
};

pub use asking::{Asked, Fellows};
use fleet::Fleet;
use mirror::Mirror;
use presence::Presence;
use schema::Keys;
use state::{State, away};

/// How long a start waits for etcd before it begins with what was known.
const FIRST_LIST: Duration = Duration::from_secs(10);

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
    keys: Keys,
    mirror: Mutex<Announced>,
    /// The revision that the mirror has come to.
    heard: watch::Sender<i64>,
    state: watch::Sender<State>,
    presence: Arc<Presence>,
    /// Something was heard of other proxies, or of etcd itself.
    pulse: watch::Sender<()>,
    farewell: AsyncMutex<Option<(i64, Instant)>>,
    farewell_ttl: Duration,
    max_services: u32,
    max_instances: u32,
    data_dir: PathBuf,
    /// Whether it may write by itself: not while the process before does.
    begun: AtomicBool,
    closed: AtomicBool,
}

struct Announced {
    mirror: Mirror,
    fleet: Fleet,
    events: UnboundedSender<RegistryEvent>,
}

impl Inner {
    fn announced(&self) -> MutexGuard<'_, Announced> {
        // Nothing is left half done by a panic that the next list would not
        // mend.
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the mirror, and tells what comes of it in the same order.
    fn change(&self, change: impl FnOnce(&mut Mirror, &mut Vec<RegistryEvent>)) {
        let mut announced = self.announced();
        let mut out = Vec::new();
        change(&mut announced.mirror, &mut out);
        for event in out {
            // Nobody listening is not an error.
            drop(announced.events.send(event));
        }
    }

    /// Changes what is known of other proxies. Only after [`Self::change`]: who
    /// hears an ask must have heard what it is about.
    fn meet(&self, change: impl FnOnce(&mut Fleet)) {
        change(&mut self.announced().fleet);
        self.pulse.send_replace(());
    }

    fn accepts(&self, listing: &Listing) -> bool {
        self.announced().mirror.accepts(listing)
    }

    fn advance(&self, revision: i64) {
        self.heard.send_replace(revision);
    }
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
        let state = State { connected: false, listed: false, fault: None };
        let inner = Arc::new(Inner {
            client: Client::new(client(etcd)),
            keys,
            mirror: Mutex::new(Announced { mirror, fleet, events: announce }),
            heard: watch::Sender::new(0),
            state: watch::Sender::new(state),
            presence,
            pulse: watch::Sender::new(()),
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
        inner.change(|mirror, out| mirror.remember(known, out));
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

    pub(super) async fn register(
        &self,
        instance: Instance,
        caller: Caller,
    ) -> Result<Registered, RegistryError> {
        limits::check(&instance)?;
        let key = instance.key();
        let operation = Operation::Register { instance: instance.into(), caller };
        let Outcome { registration, change } = self.apply(operation).await?;
        self.inner.change(|mirror, out| mirror.touch(&key, false, Instant::now(), out));
        let created = change == Some(Change::Created);
        Ok(Registered { created, changed: change.is_some(), registration })
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

    pub(super) async fn drain(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<u64, RegistryError> {
        let (key, caller) = (key.clone(), caller.clone());
        let outcome = self.apply(Operation::Drain { key, generation, caller }).await?;
        Ok(outcome.registration.generation)
    }

    pub(super) async fn deregister(
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

    pub(super) fn give_up(&self, key: &InstanceKey, generation: u64) {
        let begun = self.inner.begun.load(Ordering::Relaxed);
        if begun && self.inner.is_connected() && !self.inner.closed.load(Ordering::Relaxed) {
            let why = Removal::GaveUp;
            let operation = Operation::Remove { key: key.clone(), generation, why };
            let inner = Arc::clone(&self.inner);
            // Another proxy may be first; and it is asked for again.
            tokio::spawn(async move { inner.apply(operation).await });
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
    async fn apply(&self, operation: Operation) -> Result<Outcome, RegistryError> {
        if self.inner.closed.load(Ordering::Relaxed) {
            return Err(RegistryError::Closed);
        }
        let inner = Arc::clone(&self.inner);
        let applied = tokio::spawn(async move { inner.apply(operation).await }).await;
        applied.map_err(|_| RegistryError::Closed)?
    }
}

#[cfg(test)]
mod tests;
