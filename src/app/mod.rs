//! The composition root: the one place that knows both planes.
//!
//! [`start`] reads the config file, binds, opens the store, starts workers and
//! control plane, in that order, and answers with the addresses it got;
//! [`Running::stop`] takes it all down again. [`run`] is both with signals in
//! between.

mod config_watch;
mod descriptors;
mod error;
mod greeting;
mod listeners;
mod reload;
mod signals;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, AdminState, AuditLog},
    config::{self, Loaded},
    control::{Control, Parts},
    deadline::Ticker,
    health::Prober,
    model::AddressGuard,
    proxy::Proxy,
    registry::Registry,
    routing,
    telemetry::{AccessLog, Metrics, logging},
    worker::{Command, Worker},
};

pub use error::Error;
use listeners::Listeners;
use reload::Reloader;

/// How often a stop looks whether the workers have ended.
const STOP_POLL: Duration = Duration::from_millis(20);

/// How the process is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The config file.
    pub config_path: PathBuf,
}

/// Runs the proxy until it is told to stop by a signal, and returns when it
/// has drained. Blocks.
///
/// # Errors
///
/// Says what kept it from starting.
pub fn run(options: Options) -> Result<(), Error> {
    let running = start(&options.config_path)?;
    let told = running.runtime.block_on(signals::until_told(&running.control, &running.access_log));
    tracing::info!(signal = told.name(), "stopping: requests in flight may finish");
    let impatient = running.runtime.spawn(told.again());
    running.stop_unless(|| impatient.is_finished());
    Ok(())
}

/// A proxy that runs in the background.
#[derive(Debug)]
pub struct Running {
    /// The addresses that clients connect to.
    pub listeners: Vec<SocketAddr>,
    /// The admin address.
    pub admin: SocketAddr,
    /// The handle on the control plane.
    pub control: Control,
    access_log: AccessLog,
    registry: Registry,
    runtime: Runtime,
    workers: Arc<[Worker]>,
    admin_stop: CancellationToken,
    _ticker: Ticker,
}

/// Starts the proxy with the config file at `path`. Not to be called on a
/// runtime; this makes its own.
///
/// # Errors
///
/// Says what kept it from starting. Nothing is left running then.
pub fn start(path: &Path) -> Result<Running, Error> {
    let loaded = Arc::new(config::load(path).map_err(Error::Config)?);
    let config = &loaded.config;
    logging::init(config.telemetry.log, std::io::IsTerminal::is_terminal(&std::io::stderr()));
    if !loaded.warnings.is_empty() {
        tracing::warn!("\n{}", loaded.report().render(false));
    }
    descriptors::raise_limit();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let workers = config
        .workers
        .map_or_else(|| available_parallelism().map_or(1, Into::into), std::num::NonZeroUsize::get);
    let metrics = Metrics::new(workers);
    let access_log = AccessLog::start(&config.telemetry.access_log).map_err(Error::AccessLog)?;
    let mut listeners = Listeners::new(workers);
    let bound = listeners.bind(&config.listener)?;
    let admin_socket = runtime
        .block_on(TcpListener::bind(config.admin.address.0))
        .map_err(|error| Error::Bind { address: config.admin.address.0, error })?;
    let admin = admin_socket.local_addr().map_err(Error::Runtime)?;
    let own = listeners.addresses().chain([admin]).collect();
    let guard = AddressGuard::new(allow_loopback(&loaded, admin), own);

    runtime.block_on(signals::survive_file_size_limit());
    let opened = runtime.block_on(Registry::open(&config.registry)).map_err(Error::Registry)?;
    let registry = opened.registry.clone();
    let (reports, probes) = mpsc::unbounded_channel();
    let _context = runtime.enter();
    let prober = Prober::start(&config.health, guard.clone(), reports);
    let guard = Arc::new(ArcSwap::from_pointee(guard));

    let ticker = Ticker::start().map_err(Error::Runtime)?;
    let (publisher, readers) = routing::channel(workers);
    let start_worker = |(number, reader)| {
        let (metrics, log, guard) = (Arc::clone(&metrics), access_log.clone(), Arc::clone(&guard));
        let proxy = move || Proxy::new(number, reader, metrics, log, guard);
        Worker::start(number, ticker.handle(), proxy)
    };
    let started: Result<Arc<[Worker]>, _> =
        readers.into_iter().enumerate().map(start_worker).collect();
    let workers = started.map_err(Error::Runtime)?;

    let (reloads, reload_requests) = mpsc::channel(8);
    let parts = Parts {
        workers: workers.len(),
        registry: opened,
        prober: (prober.clone(), probes),
        publisher,
        metrics: Arc::clone(&metrics),
        access_log: access_log.clone(),
        guard: Arc::clone(&guard),
        loaded: Arc::clone(&loaded),
        reloads,
        listeners: listeners.numbered().to_vec(),
        admin,
    };
    let control = runtime.block_on(Control::start(parts));
    listeners.open(bound, &workers);

    let (settings, admin_settings) = watch::channel(Arc::new(config.admin.clone()));
    let audit = AuditLog::open(config.admin.audit_log.as_deref()).map_err(Error::AuditLog)?;
    let state = AdminState::new(control.clone(), admin_settings, admin, audit);
    let admin_stop = CancellationToken::new();
    let stopped = admin_stop.clone().cancelled_owned();
    runtime.spawn(admin::serve(admin_socket, state, stopped));

    greeting::print(&loaded, listeners.addresses(), admin);
    let addresses = listeners.addresses().collect();
    let reloader = Reloader {
        control: control.clone(),
        listeners,
        workers: Arc::clone(&workers),
        admin,
        settings,
        access_log: access_log.clone(),
        prober,
        guard,
        first: loaded,
    };
    runtime.spawn(reloader.run(reload_requests));
    Ok(Running {
        listeners: addresses,
        admin,
        control,
        access_log,
        registry,
        runtime,
        workers,
        admin_stop,
        _ticker: ticker,
    })
}

/// Loopback instances are everyday life on one machine and an attack on a
/// network.
fn allow_loopback(loaded: &Loaded, admin: SocketAddr) -> bool {
    loaded.config.registry.allow_loopback.unwrap_or_else(|| admin.ip().is_loopback())
}

impl Running {
    /// Lets requests in flight finish, for as long as the config allows, then
    /// ends. Blocks.
    pub fn stop(self) {
        self.stop_unless(|| false);
    }

    fn stop_unless(self, impatient: impl Fn() -> bool) {
        self.control.begin_shutdown();
        let patience: Duration = self.control.loaded().config.shutdown_timeout.into();
        let deadline = Instant::now() + patience;
        self.tell_all(|| Command::Stop);
        let ended = || self.workers.iter().all(Worker::is_finished);
        while !ended() {
            if Instant::now() >= deadline || impatient() {
                let in_flight = self.control.status().ledger.in_flight;
                tracing::warn!(in_flight, "cutting what is still in flight");
                self.tell_all(|| Command::Abort);
                break;
            }
            std::thread::sleep(STOP_POLL);
        }
        while !ended() {
            std::thread::sleep(STOP_POLL);
        }
        self.admin_stop.cancel();
        self.runtime.block_on(self.registry.close());
        self.access_log.flush(Duration::from_secs(2));
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        tracing::info!("stopped");
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for worker in &*self.workers {
            worker.tell(command());
        }
    }
}
