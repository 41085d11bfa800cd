//! The handle on the control plane: what the admin API and the composition
//! root may ask of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    catalog::Catalog,
    error::ControlError,
    fellows,
    happening::{EventId, EventLog, HistoryGone, Replay},
    inheritance::Inheritance,
    predecessor::Predecessor,
    reconciler::{Command, Inputs, Reconciler},
    shared::{ConfigState, Shared},
    view::{InstanceView, ReloadView, UpgradeView},
};
use crate::{
    config::Loaded,
    health::{ProbeReport, Prober},
    model::{Instance, InstanceKey, SharedGuard},
    registry::{Caller, Opened, Registry},
    routing::{Publisher, Watcher},
    telemetry::{AccessLog, Metrics},
};

/// Calls with `wait` at once.
const MOST_WAITS: usize = 4096;

/// Endpoints that may ring at once. Who finds no room rings with the next
/// failure.
const MOST_ALARMS: usize = 1024;

/// The handle on the control plane.
#[derive(Clone, Debug)]
pub struct Control {
    pub(super) shared: Arc<Shared>,
    pub(super) registry: Registry,
    pub(super) watcher: Watcher,
    guard: SharedGuard,
    commands: mpsc::UnboundedSender<Command>,
    pub(super) reloads: mpsc::Sender<oneshot::Sender<ReloadView>>,
    pub(super) upgrades: mpsc::Sender<oneshot::Sender<UpgradeView>>,
}

/// What the control plane is made of.
#[derive(Debug)]
pub struct Parts {
    /// Data-plane threads.
    pub workers: usize,
    /// The registry, and what it has to tell.
    pub registry: Opened,
    /// The prober, and what it has to tell.
    pub prober: (Prober, mpsc::UnboundedReceiver<ProbeReport>),
    /// The writing half of the table.
    pub publisher: Publisher,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The access log.
    pub access_log: AccessLog,
    /// The address rules.
    pub guard: SharedGuard,
    /// What the process before this one knew.
    pub inheritance: Inheritance,
    /// The config file to begin with.
    pub loaded: Arc<Loaded>,
    /// Where reloads that are asked for are sent.
    pub reloads: mpsc::Sender<oneshot::Sender<ReloadView>>,
    /// Where upgrades that are asked for are sent.
    pub upgrades: mpsc::Sender<oneshot::Sender<UpgradeView>>,
    /// The addresses that clients connect to.
    pub listeners: Vec<SocketAddr>,
    /// The admin address.
    pub admin: SocketAddr,
}

/// What a reload came to.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// The addresses that clients connect to.
    pub listeners: Vec<SocketAddr>,
    /// Every address there ever was, by its number in the metrics.
    pub numbered: Vec<SocketAddr>,
    /// What the file says that only a restart brings about.
    pub needs_restart: Vec<String>,
}

/// A registration asked for.
#[derive(Clone, Debug)]
pub struct RegisterRequest {
    /// What to register.
    pub instance: Instance,
    /// Who asks.
    pub caller: Caller,
    /// How long to wait for it to be routable; not at all if absent.
    pub wait: Option<Duration>,
}

impl Control {
    /// Starts the control plane on the current runtime. Answers when the first
    /// table is published.
    pub async fn start(parts: Parts) -> Self {
        let Parts { workers, registry, prober, publisher, metrics, access_log, .. } = parts;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (bell, alarms) = mpsc::channel(MOST_ALARMS);
        let config = ConfigState {
            path: parts.loaded.file.clone(),
            loaded: Arc::clone(&parts.loaded),
            loaded_at: Instant::now(),
            loaded_time: SystemTime::now(),
            problems: None,
            reloads_ok: 0,
            reloads_failed: 0,
            numbered: parts.listeners.clone(),
            listeners: parts.listeners,
            needs_restart: Vec::new(),
            admin: parts.admin,
        };
        let shared = Arc::new(Shared {
            workers,
            started: Instant::now(),
            catalog: RwLock::new(Catalog::new(workers, bell)),
            events: EventLog::new(),
            prober: prober.0,
            metrics,
            access_log,
            published: watch::Sender::new((0, Instant::now())),
            publishes: AtomicU64::new(0),
            publish_nanos: AtomicU64::new(0),
            config: RwLock::new(config),
            waits: Semaphore::new(MOST_WAITS),
            draining: AtomicBool::new(false),
            predecessor: Predecessor::default(),
            hurry: watch::Sender::new(false),
            certificates: RwLock::default(),
            fronts: RwLock::default(),
            warm: AtomicBool::new(registry.restored == 0 && parts.loaded.config.source.is_empty()),
        });
        let watcher = publisher.watcher();
        let (events, probes) = (registry.events, prober.1);
        let (news, sources) = mpsc::unbounded_channel();
        let inputs = Inputs { commands: receiver, registry: events, sources, probes, alarms };
        let handle = registry.registry.clone();
        let (loaded, inheritance) = (parts.loaded, parts.inheritance);
        let reconciler =
            Reconciler::new(Arc::clone(&shared), handle, publisher, &loaded, inheritance, news);
        tokio::spawn(reconciler.run(inputs));
        let fellows = registry.registry.fellows();
        let control = Self {
            shared,
            registry: registry.registry,
            watcher,
            guard: parts.guard,
            commands,
            reloads: parts.reloads,
            upgrades: parts.upgrades,
        };
        let version = control.settle().await;
        control.watcher.wait_for(version).await;
        if let Some(fellows) = fellows {
            tokio::spawn(fellows::run(control.clone(), fellows));
        }
        control
    }

    pub(super) async fn ask(&self, command: impl FnOnce(oneshot::Sender<u64>) -> Command) -> u64 {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(command(answer));
        // No answer means that the process is on its way out.
        answered.await.unwrap_or(u64::MAX)
    }

    /// Waits until everything known by now is in the published table, and
    /// answers with its version.
    pub(super) async fn settle(&self) -> u64 {
        self.ask(Command::Settle).await
    }

    /// Whoever waits, waits on after the caller has hung up, so that what was
    /// begun is ended; hence a bound.
    pub(super) fn place_to_wait(
        &self,
        wait: Option<Duration>,
    ) -> Result<Option<SemaphorePermit<'_>>, ControlError> {
        let place = wait.map(|_| self.shared.waits.try_acquire()).transpose();
        place.map_err(|_| {
            let detail = format!("{MOST_WAITS} calls are waiting already; ask without wait");
            ControlError::LimitReached(detail)
        })
    }

    /// Holds `address` against the address rules.
    pub(super) fn check_address(&self, address: SocketAddr) -> Result<(), ControlError> {
        Ok(self.guard.load().check(address)?)
    }

    /// Renews the lease of an instance, of `generation` or of whichever there
    /// is.
    ///
    /// # Errors
    ///
    /// Tells the registrant to register again, or that it is somebody else's.
    pub fn heartbeat(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<InstanceView, ControlError> {
        self.registry.heartbeat(key, generation, caller)?;
        self.instance(key).ok_or_else(|| ControlError::NotFound(key.clone()))
    }

    /// What comes of `wait` within `patience`, or before whoever waits is told
    /// to hurry.
    pub(super) async fn patiently<T>(
        &self,
        patience: Duration,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        let mut hurry = self.shared.hurry.subscribe();
        tokio::select! {
            biased;
            done = timeout(patience, wait) => done.ok(),
            _ = hurry.wait_for(|hurry| *hurry) => None,
        }
    }

    /// Events after `after`, or from now on.
    ///
    /// # Errors
    ///
    /// When what was missed is not kept any more.
    pub fn events_after(&self, after: Option<EventId>) -> Result<Replay, HistoryGone> {
        self.shared.events.after(after)
    }

    /// The version of the published table.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.published.borrow().0
    }
}
