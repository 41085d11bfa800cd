//! The handle on the control plane: what the admin API and the composition
//! root may ask of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};

use super::{
    catalog::Catalog,
    diagnosis::{failed, good, refused},
    error::ControlError,
    happening::{EventId, EventLog, HistoryGone, Replay},
    reconciler::{Command, Inputs, Reconciler, tell},
    shared::{ConfigState, Shared},
    view::{InstanceView, ReloadView},
};
use crate::{
    config::{self, Loaded},
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
    reloads: mpsc::Sender<oneshot::Sender<ReloadView>>,
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
    /// The config file to begin with.
    pub loaded: Arc<Loaded>,
    /// Where reloads that are asked for are sent.
    pub reloads: mpsc::Sender<oneshot::Sender<ReloadView>>,
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
            warm: AtomicBool::new(registry.restored == 0),
        });
        let watcher = publisher.watcher();
        let (events, probes) = (registry.events, prober.1);
        let inputs = Inputs { commands: receiver, registry: events, probes, alarms };
        let handle = registry.registry.clone();
        let reconciler = Reconciler::new(Arc::clone(&shared), handle, publisher, &parts.loaded);
        tokio::spawn(reconciler.run(inputs));
        let control = Self {
            shared,
            registry: registry.registry,
            watcher,
            guard: parts.guard,
            commands,
            reloads: parts.reloads,
        };
        let version = control.settle().await;
        control.watcher.wait_for(version).await;
        control
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<u64>) -> Command) -> u64 {
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

    /// Takes over a config file, and waits until every worker routes by it.
    pub async fn configure(&self, loaded: Arc<Loaded>) {
        let version = self.ask(|answer| Command::Configure(loaded, answer)).await;
        self.watcher.wait_for(version).await;
    }

    /// Notes that a config file has taken effect.
    pub fn reload_succeeded(&self, loaded: Arc<Loaded>, reloaded: Reloaded) {
        let mut config = self.shared.config.write().unwrap_or_else(PoisonError::into_inner);
        config.loaded = loaded;
        config.loaded_at = Instant::now();
        config.loaded_time = SystemTime::now();
        config.listeners = reloaded.listeners;
        config.numbered = reloaded.numbered;
        config.needs_restart = reloaded.needs_restart;
        config.problems = None;
        config.reloads_ok += 1;
        tell(&self.shared, "config_reloaded", config.path.clone());
    }

    /// Notes that a config file was refused.
    pub fn reload_failed(&self, summary: String, problems: String) {
        let mut config = self.shared.config.write().unwrap_or_else(PoisonError::into_inner);
        config.problems = Some(problems);
        config.reloads_failed += 1;
        let detail = format!("{}: {summary}", config.path);
        tell(&self.shared, "config_refused", detail);
    }

    /// The running config file.
    #[must_use]
    pub fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.shared.config().loaded)
    }

    /// From here on `/readyz` says no.
    pub fn begin_shutdown(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
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

    /// Renews the lease of an instance.
    ///
    /// # Errors
    ///
    /// Tells the registrant to register again, or that it is somebody else's.
    pub fn heartbeat(
        &self,
        key: &InstanceKey,
        caller: &Caller,
    ) -> Result<InstanceView, ControlError> {
        self.registry.heartbeat(key, caller)?;
        self.instance(key).ok_or_else(|| ControlError::NotFound(key.clone()))
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

    /// Checks `text`, or the file on disk.
    pub async fn check_config(&self, text: Option<String>) -> ReloadView {
        let path = self.shared.config().path.clone();
        let checked = tokio::task::spawn_blocking(move || match text {
            Some(text) => config::parse(&text, &path, &|name| std::env::var(name).ok()),
            None => config::load(path.as_ref()),
        });
        match checked.await {
            Ok(Ok(loaded)) => good(&loaded),
            Ok(Err(report)) => refused(&report),
            Err(error) => failed(&self.shared.config().path, error.to_string()),
        }
    }

    /// Reads the file on disk anew, and takes it over if it is good.
    pub async fn reload(&self) -> ReloadView {
        let (answer, answered) = oneshot::channel();
        let sent = self.reloads.send(answer).await.is_ok();
        match answered.await {
            Ok(view) if sent => view,
            _ => failed(&self.shared.config().path, "the proxy is shutting down".to_owned()),
        }
    }
}
