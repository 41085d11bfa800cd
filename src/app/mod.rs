//! The composition root: the one place that knows both planes.
//!
//! [`start`] reads the config file, binds, opens the store, starts workers and
//! control plane, in that order, and answers with the addresses it got;
//! [`Running::stop`] takes it all down again. [`run`] is both with signals in
//! between, and with `handover` at either end when one process takes over from
//! another.

mod acme;
mod certificates;
mod descriptors;
mod error;
mod fronts;
mod greeting;
mod handover;
mod inherited;
mod listeners;
mod notify;
mod program;
mod reload;
mod signals;
mod start;
mod stop;
mod upgrade;

use std::{
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Loaded, control::Control, deadline::Ticker, registry::Registry, telemetry::AccessLog,
    worker::Worker,
};

pub use error::Error;
use handover::{Arrival, Heir};
use inherited::InheritedSockets;
use notify::Notifier;
use program::Program;
use signals::Signals;
pub use signals::StopSignal;

/// How the process is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The config file.
    pub config_path: PathBuf,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was in flight has finished, or its time was over.
    Drained,
    /// A second signal cut it short.
    Cut(StopSignal),
}

/// Runs the proxy until it is told to stop by a signal or another process has
/// taken over, and returns when it has drained. Blocks. To be called while the
/// process has no other threads.
///
/// # Errors
///
/// Says what kept it from starting.
pub fn run(options: Options) -> Result<Ended, Error> {
    let origin = Origin::of_this_process()?;
    let runtime = runtime()?;
    // Before anybody can know of this process.
    let mut signals = {
        let _context = runtime.enter();
        Signals::taken()
    };
    let mut running = start::start(&options.config_path, runtime, origin)?;
    let Running { runtime, control, access_log, changes, .. } = &mut running;
    let heir = runtime.block_on(async {
        let mut told = std::pin::pin!(signals.serve(control, access_log));
        tokio::select! {
            signal = &mut told => {
                tracing::info!(?signal, "stopping: requests in flight may finish");
                // An upgrade under way is broken off, unless it is past that.
                changes.abort();
                let heir = (&mut *changes).await.ok().flatten();
                return heir.inspect(Heir::stop);
            }
            heir = &mut *changes => if let Some(heir) = heir.ok().flatten() {
                return Some(heir);
            }
        }
        // Nothing changes any more, but a signal still comes.
        told.await;
        None
    });
    Ok(match heir {
        Some(heir) => running.leave_to(heir, signals),
        None => running.drain(signals),
    })
}

fn runtime() -> Result<Runtime, Error> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(Error::Runtime)
}

/// What the process was given by whoever started it.
#[derive(Debug)]
struct Origin {
    /// How to start it again.
    program: Option<Program>,
    /// Sockets from the service manager.
    sockets: InheritedSockets,
    /// The process to take over from.
    predecessor: Option<UnixStream>,
    notifier: Notifier,
}

impl Origin {
    fn of_this_process() -> Result<Self, Error> {
        Ok(Self {
            program: Some(Program::current().map_err(Error::Runtime)?),
            sockets: InheritedSockets::from_service_manager()?,
            predecessor: Arrival::socket().map_err(Error::Handover)?,
            notifier: Notifier::from_environment(),
        })
    }

    /// Nothing: it is part of another program.
    fn none() -> Self {
        let (program, sockets) = (None, InheritedSockets::default());
        Self { program, sockets, predecessor: None, notifier: Notifier::none() }
    }
}

/// A proxy that runs in the background.
#[derive(Debug)]
pub struct Running {
    /// The addresses that clients connect to.
    pub listeners: Vec<SocketAddr>,
    /// The admin address.
    pub admin: SocketAddr,
    /// The addresses of fronts, as they were at the start.
    pub fronts: Vec<SocketAddr>,
    /// The handle on the control plane.
    pub control: Control,
    access_log: AccessLog,
    registry: Registry,
    runtime: Runtime,
    workers: Arc<[Worker]>,
    /// Those that serve fronts.
    front_tasks: TaskTracker,
    admin_stop: CancellationToken,
    admin_task: JoinHandle<()>,
    /// Carries out reloads and upgrades; ends with an heir.
    changes: JoinHandle<Option<Heir>>,
    /// Ends when the process before has.
    predecessor: Option<JoinHandle<()>>,
    notifier: Notifier,
    notifications: JoinHandle<()>,
    /// Keeps certificates.
    keeping: JoinHandle<()>,
    _ticker: Ticker,
}

/// Starts the proxy with the config file at `path`. Not to be called on a
/// runtime; this makes its own.
///
/// # Errors
///
/// Says what kept it from starting. Nothing is left running then.
pub fn start(path: &Path) -> Result<Running, Error> {
    start::start(path, runtime()?, Origin::none())
}

/// Loopback instances are everyday life on one machine and an attack on a
/// network.
fn allow_loopback(loaded: &Loaded, admin: SocketAddr) -> bool {
    loaded.config.registry.allow_loopback.unwrap_or_else(|| admin.ip().is_loopback())
}
