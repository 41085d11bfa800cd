//! The registry in etcd, which several proxies share: each takes
//! registrations, heartbeats and farewells of any instance, each hears of all.
//!
//! `schema.rs` is what stands in etcd, `mirror.rs` what this proxy has heard
//! of it, `operations.rs` what is written; all three are pure. The tasks
//! `follow.rs` and `renewals.rs` carry between them and etcd.
//!
//! The promise is that of the embedded registry, with etcd in the place of the
//! disk: what was answered with `Ok` is in etcd, and an event is sent only for
//! what etcd has said. While etcd is away, what is known stays as it is:
//! heartbeats are taken and passed on later, nothing expires, and what would
//! have to be written is refused.

mod follow;
mod memory;
mod mirror;
mod operations;
mod renewals;
mod schema;

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
    time::{Instant, timeout, timeout_at},
};
use tonic::Code;

use super::{
    Caller, EtcdBackendSettings, InheritedLease, OpenError, Registered, RegistryError, RegistryEvent, RegistrySettings,
    Removal, Renewed, StoreFault, StoreState,
    ledger::{Change, Operation, Outcome},
    limits,
};
use crate::{
    etcd::{Client, ClientSettings, Error, Listing},
    model::{Instance, InstanceKey, ServiceName},
};

use mirror::{Entry, Mirror};
use operations::Write;
use schema::Keys;

/// How long it is tried to write something. An election takes less.
const PATIENCE: Duration = Duration::from_secs(5);

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
    events: UnboundedSender<RegistryEvent>,
}

#[derive(Clone, Debug)]
struct State {
    connected: bool,
    /// Whether anything was ever read.
    listed: bool,
    /// Since when it is away, and why.
    fault: Option<(StoreFault, Instant)>,
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

    fn accepts(&self, listing: &Listing) -> bool {
        self.announced().mirror.accepts(listing)
    }

    fn advance(&self, revision: i64) {
        // An etcd that was put back to an older state counts from there.
        self.heard.send_replace(revision);
    }

    fn is_connected(&self) -> bool {
        self.state.borrow().connected
    }

    /// Whether something may have been missed, and whether nothing was read
    /// yet.
    fn is_behind(&self) -> (bool, bool) {
        let state = self.state.borrow();
        (!state.connected, !state.listed)
    }

    /// etcd is followed.
    fn found(&self) {
        let before = self
            .state
            .send_replace(State { connected: true, listed: true, fault: None });
        if let Some((_, since)) = before.fault {
            tracing::info!(after = ?since.elapsed(), "the registry in etcd is back");
        }
    }

    fn lost(&self, fault: StoreFault) {
        self.state.send_modify(|state| {
            let since = match &state.fault {
                Some((_, since)) => *since,
                None => {
                    tracing::warn!(%fault, "the registry in etcd is out of reach");
                    Instant::now()
                }
            };
            state.connected = false;
            state.fault = Some((fault, since));
        });
    }

    fn entry(&self, key: &InstanceKey) -> Option<Entry> {
        self.announced().mirror.entry(key).cloned()
    }

    fn check_room(&self, service: &ServiceName) -> Result<(), RegistryError> {
        let (services, instances) = self.announced().mirror.count(service);
        let limit = self.max_instances;
        match instances {
            0 if services >= self.max_services as usize => {
                Err(RegistryError::TooManyServices { limit: self.max_services })
            }
            count if count >= limit => {
                Err(RegistryError::TooManyInstances { service: service.clone(), limit })
            }
            _ => Ok(()),
        }
    }

    /// Waits until etcd is followed.
    async fn connected(&self, deadline: Instant) -> Result<(), RegistryError> {
        let mut state = self.state.subscribe();
        loop {
            let now = state.borrow_and_update().clone();
            if now.connected {
                return Ok(());
            }
            let reason = match now.fault {
                // Those who ask are not kept waiting in vain.
                Some((reason, since)) if since.elapsed() > PATIENCE => return Err(reason.into()),
                Some((reason, _)) => reason,
                None => StoreFault::Away { text: "it was not read yet".to_owned() },
            };
            match timeout_at(deadline, state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(RegistryError::Closed),
                Err(_) => return Err(reason.into()),
            }
        }
    }

    /// Waits until the mirror says what `wanted` wants to hear.
    async fn until(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&Self, i64) -> bool,
    ) -> Result<(), RegistryError> {
        let mut heard = self.heard.subscribe();
        loop {
            let revision = *heard.borrow_and_update();
            if wanted(self, revision) {
                return Ok(());
            }
            match timeout_at(deadline, heard.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(RegistryError::Closed),
                Err(_) => {
                    let text = "what was written is not heard back".to_owned();
                    return Err(StoreFault::Away { text }.into());
                }
            }
        }
    }

    /// The lease of farewells: several have one.
    async fn farewell_lease(&self) -> Result<i64, Error> {
        let mut farewell = self.farewell.lock().await;
        match *farewell {
            Some((lease, since)) if since.elapsed() < FAREWELL / 2 => Ok(lease),
            _ => {
                let granted = self.client.grant(seconds(self.farewell_ttl)).await?;
                *farewell = Some((granted.id, Instant::now()));
                Ok(granted.id)
            }
        }
    }

    async fn apply(&self, operation: Operation) -> Result<Outcome, RegistryError> {
        let deadline = Instant::now() + PATIENCE;
        let (key, ttl) = match &operation {
            Operation::Register { instance, .. } => {
                (instance.key(), instance.ttl.map(Duration::from))
            }
            Operation::Drain { key, .. }
            | Operation::Deregister { key, .. }
            | Operation::Remove { key, .. } => {
                let instance = self.entry(key).map(|entry| entry.registration.instance);
                (key.clone(), instance.and_then(|instance| instance.ttl).map(Duration::from))
            }
        };
        // What may have been done by an attempt of which nothing was heard.
        let mut perhaps: Option<Outcome> = None;
        let mut fresh: Option<i64> = None;
        loop {
            let there = self.entry(&key);
            let known = there.as_ref().is_some_and(|entry| entry.seen != 0);
            let plan = match operations::plan(there.as_ref(), &operation) {
                Ok(plan) => plan,
                Err(RegistryError::NotFound { .. } | RegistryError::Replaced { .. })
                    if perhaps.as_ref().is_some_and(|it| {
                        matches!(it.change, Some(Change::Removed(_)))
                    }) =>
                {
                    return perhaps.ok_or(RegistryError::Closed);
                }
                Err(error) => return Err(error),
            };
            if plan.outcome.change == Some(Change::Created) {
                self.check_room(&key.service)?;
            }
            let unchanged = matches!(plan.write, Write::Nothing);
            match self.connected(deadline).await {
                Ok(()) => {}
                // It is as a heartbeat: nothing would have to be written.
                Err(RegistryError::StoreFailed { .. }) if unchanged && known => {
                    return Ok(plan.outcome);
                }
                Err(error) => return Err(error),
            }
            let seen = there.as_ref().map_or(0, |entry| entry.seen);
            let held = there.as_ref().map_or(0, |entry| entry.lease);
            let attempt = async {
                let lease = match (&plan.write, ttl) {
                    (Write::Farewell(_), _) => self.farewell_lease().await?,
                    (Write::Nothing, _) | (Write::Put(_), None) => 0,
                    // An edit, or that it leaves, does not prolong it.
                    (Write::Put(record), Some(_)) if held != 0 && record.draining => held,
                    (Write::Put(_), Some(ttl)) => match fresh {
                        Some(lease) => lease,
                        None => {
                            let lease = self.client.grant(lease_seconds(ttl)).await?.id;
                            *fresh.insert(lease)
                        }
                    },
                };
                let request =
                    operations::transaction(&self.keys, &key, seen, &plan.write, lease);
                let request = request.map_err(|_| Error::NoEndpoint)?;
                self.client.txn(request).await
            };
            match timeout_at(deadline, attempt).await {
                Ok(Ok(answer)) if answer.succeeded => {
                    let revision = answer.header.map_or(0, |header| header.revision);
                    if unchanged {
                        return Ok(plan.outcome);
                    }
                    // The old lease has no key any more.
                    if held != 0 && fresh.is_some() {
                        let client = self.client.clone();
                        tokio::spawn(async move { client.revoke(held).await });
                    }
                    self.until(deadline, |_, heard| heard >= revision).await?;
                    let mut outcome = plan.outcome;
                    if outcome.registration.generation == 0 {
                        outcome.registration.generation = schema::revision(revision);
                    }
                    return Ok(outcome);
                }
                // It is not as it was judged: as soon as it is known what it
                // is, it is judged anew.
                Ok(Ok(_)) => {
                    self.until(deadline, |inner, _| {
                        inner.entry(&key).map_or(0, |entry| entry.seen) != seen
                    })
                    .await?;
                }
                Ok(Err(error)) if is_passing(&error) && Instant::now() < deadline => {
                    fresh = fresh.filter(|_| !is_lease_gone(&error));
                    if !error.is_without_effect() {
                        perhaps = Some(plan.outcome);
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(Err(error)) => return Err(away(&error).into()),
                Err(_) => {
                    let text = format!("it has not answered within {PATIENCE:?}");
                    return Err(StoreFault::Away { text }.into());
                }
            }
        }
    }
}

/// A lease of etcd ends no earlier than the TTL of the instance, also if a
/// heartbeat was passed on late.
fn lease_seconds(ttl: Duration) -> i64 {
    seconds(ttl).max(5) + 2
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

fn is_lease_gone(error: &Error) -> bool {
    matches!(error, Error::Answered { code: Code::NotFound, .. })
}

/// Whether another attempt may do better.
fn is_passing(error: &Error) -> bool {
    error.is_of_member() || is_lease_gone(error)
}

fn away(error: &Error) -> StoreFault {
    StoreFault::Away { text: error.to_string() }
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
        let state = State { connected: false, listed: false, fault: None };
        let inner = Arc::new(Inner {
            client: Client::new(client(etcd)),
            keys,
            mirror: Mutex::new(Announced { mirror, events: announce }),
            heard: watch::Sender::new(0),
            state: watch::Sender::new(state),
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
        let listed = timeout(FIRST_LIST, follow::list(&inner)).await;
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
            tokio::spawn(memory::run(Arc::clone(&inner))).abort_handle(),
        ];
        let tasks = Arc::new(Tasks(tasks.into()));
        Ok((Self { inner, tasks }, events, restored))
    }

    pub(super) fn begin(&self) {
        self.inner.begun.store(true, Ordering::Relaxed);
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

    pub(super) fn standings(&self) -> Vec<InheritedLease> {
        self.inner.announced().mirror.standings()
    }

    /// Ends following; what is known is on disk then. Registrations stay:
    /// their leases are etcd's.
    pub(super) async fn close(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        self.tasks.end();
        memory::write(&self.inner).await;
    }

    /// Leaves following to the process that has taken over.
    pub(super) fn leave(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        self.tasks.end();
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
