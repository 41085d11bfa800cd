//! The start, in the order that an upgrade needs: what can fail without the
//! store, then the store and a table, and only then the first connection.

use std::{
    io::IsTerminal,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    thread::available_parallelism,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Error, Origin, Running, acme, allow_loopback,
    certificates::CertificateWatch,
    descriptors,
    fronts::{BoundFronts, Fronts, Premises, load_tls},
    greeting,
    handover::{self, Arrival},
    inherited::{InheritedSockets, admin_socket},
    listeners::{Bound, Listeners},
    reload::{Reloader, Requests},
    signals,
};
use crate::{
    admin::{self, AdminState, AuditLog},
    config::{self, Config, Loaded},
    control::{Control, Inheritance, Parts},
    deadline::Ticker,
    health::Prober,
    model::{AddressGuard, SharedGuard},
    proxy::Proxy,
    registry::Registry,
    routing::{self, Publisher},
    telemetry::{AccessLog, Metrics, logging},
    tls::{Automatic, Proofs, SharedServerTls},
    worker::Worker,
};

/// Calls of the process before that may wait to be served.
const RELAYED: usize = 64;

/// Starts the proxy on `runtime`, on its own or in the place of another.
pub(super) fn start(path: &Path, runtime: Runtime, origin: Origin) -> Result<Running, Error> {
    let Origin { program, mut sockets, predecessor, notifier } = origin;
    let context = runtime.enter();
    let mut arrival = None;
    if let Some(socket) = predecessor {
        let begun = runtime.block_on(Arrival::begin(socket)).map_err(Error::Handover)?;
        sockets = InheritedSockets::sent(begun.1);
        arrival = Some(begun.0);
    }
    let refuse = |arrival: Option<Arrival>, error| {
        if let Some(arrival) = arrival {
            runtime.block_on(arrival.refuse(&error));
        }
        Err(error)
    };
    let prepared = match Prepared::new(path, &mut sockets, arrival.is_some()) {
        Ok(prepared) => prepared,
        Err(error) => return refuse(arrival, error),
    };
    let inheritance = match &arrival {
        Some(arrival) => {
            let heard = runtime.block_on(arrival.ready(sockets.addresses()));
            heard.map_err(Error::Handover)?
        }
        None => Inheritance::default(),
    };
    let Prepared { loaded, workers, publisher, metrics, access_log, audit, .. } = prepared;
    let Prepared { mut listeners, bound, admin, admin_socket, guard, ticker, .. } = prepared;
    let Prepared { admin_tls, certificates, proofs, mut fronts, bound_fronts, .. } = prepared;
    let config = &loaded.config;
    signals::survive_file_size_limit();
    let opened = runtime.block_on(Registry::take_over(&config.registry, &inheritance.leases));
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return refuse(arrival, Error::Registry(error)),
    };
    let registry = opened.registry.clone();
    let (reports, probes) = mpsc::unbounded_channel();
    let prober = Prober::start(&config.health, AddressGuard::clone(&guard.load()), reports);
    let (reloads, reload_requests) = mpsc::channel(8);
    let (upgrades, upgrade_requests) = mpsc::channel(8);
    let parts = Parts {
        workers: workers.len(),
        registry: opened,
        prober: (prober.clone(), probes),
        publisher,
        metrics,
        access_log: access_log.clone(),
        guard: Arc::clone(&guard),
        inheritance,
        loaded: Arc::clone(&loaded),
        reloads,
        upgrades,
        listeners: listeners.numbered().to_vec(),
        admin,
    };
    let control = runtime.block_on(Control::start(parts));

    let kept = admin_socket.try_clone().map_err(Error::Runtime)?;
    let admin_socket = tokio::net::TcpListener::from_std(admin_socket).map_err(Error::Runtime)?;

    // The point of no return: what comes now is ours, and cannot fail.
    let wire = match arrival {
        Some(arrival) => runtime.block_on(arrival.prepared()).map_err(Error::Handover)?,
        None => None,
    };
    // Nobody is drained from here on before the process before was heard.
    let succession = wire.map(|wire| (wire, control.succeed()));
    registry.begin();
    listeners.open(bound, &workers);
    let (calls, passed_on) = mpsc::channel(RELAYED);
    // Only now: it passes on clients of the listeners.
    let predecessor = succession.map(|(wire, feed)| {
        control.took_over();
        let (directory, workers) = (listeners.directory(), Arc::clone(&workers));
        runtime.spawn(handover::follow(wire, feed, directory, workers, calls))
    });
    let (settings, admin_settings) = watch::channel(Arc::new(config.admin.clone()));
    let admin_state = AdminState::new(control.clone(), admin_settings, admin, audit.clone());
    let admin_stop = CancellationToken::new();
    let premises = Premises {
        control: control.clone(),
        audit,
        succession: admin_state.succession().clone(),
        runtime: runtime.handle().clone(),
        stop: admin_stop.clone(),
        tasks: TaskTracker::new(),
    };
    fronts.open(bound_fronts, &premises);
    control.has_fronts(fronts.views());
    let (to_admin, relayed) = mpsc::channel(RELAYED);
    fronts.relay(runtime.handle(), passed_on, to_admin);
    let front_tasks = premises.tasks.clone();
    let stopped = admin_stop.clone().cancelled_owned();
    let served =
        admin::serve(admin_socket, Arc::clone(&admin_tls), admin_state.clone(), relayed, stopped);
    let admin_task = runtime.spawn(served);

    greeting::print(&loaded, listeners.spoken(), admin, &fronts.views());
    let addresses = listeners.addresses().collect();
    let front_addresses = fronts.addresses().collect();
    let (acme, keeping) = acme::start(&runtime, config, proofs, &control, &registry);
    let reloader = Reloader {
        control: control.clone(),
        listeners,
        workers: Arc::clone(&workers),
        admin,
        settings,
        access_log: access_log.clone(),
        prober,
        guard,
        registry: registry.clone(),
        admin_state,
        admin_socket: (config.admin.address.0, kept),
        admin_tls,
        fronts,
        premises,
        certificates,
        acme,
        program,
        notifier,
        first: loaded,
    };
    reloader.tell_certificates();
    let requests = Requests { reloads: reload_requests, upgrades: upgrade_requests };
    let changes = runtime.spawn(reloader.run(requests));
    let notifications = runtime.spawn(notifier.keep(control.clone(), Arc::clone(&workers)));
    drop(context);
    Ok(Running {
        listeners: addresses,
        admin,
        fronts: front_addresses,
        control,
        access_log,
        registry,
        runtime,
        workers,
        front_tasks,
        admin_stop,
        admin_task,
        changes,
        predecessor,
        notifier,
        notifications,
        keeping,
        _ticker: ticker,
    })
}

/// All that a start needs but the store. Another process may have that still.
struct Prepared {
    loaded: Arc<Loaded>,
    listeners: Listeners,
    bound: Bound,
    admin: SocketAddr,
    admin_socket: TcpListener,
    admin_tls: SharedServerTls,
    fronts: Fronts,
    bound_fronts: BoundFronts,
    certificates: CertificateWatch,
    proofs: Proofs,
    guard: SharedGuard,
    access_log: AccessLog,
    audit: AuditLog,
    metrics: Arc<Metrics>,
    publisher: Publisher,
    workers: Arc<[Worker]>,
    ticker: Ticker,
}

impl Prepared {
    /// Reads the file at `path`, and takes those of `sockets` that it names.
    /// All of them have to be named, unless a process before this one may have
    /// had more.
    fn new(path: &Path, sockets: &mut InheritedSockets, takes_over: bool) -> Result<Self, Error> {
        let loaded = Arc::new(config::load(path).map_err(Error::Config)?);
        let config = &loaded.config;
        logging::init(config.telemetry.log, std::io::stderr().is_terminal());
        if !loaded.warnings.is_empty() {
            tracing::warn!("\n{}", loaded.report().render(false));
        }
        descriptors::raise_limit();
        let count = worker_count(config);
        let metrics = Metrics::new(count);
        let access_log =
            AccessLog::start(&config.telemetry.access_log).map_err(Error::AccessLog)?;
        let audit = AuditLog::open(config.admin.audit_log.as_deref()).map_err(Error::AuditLog)?;
        let certificates = CertificateWatch::new(config);
        let admin_tls = load_tls(config.admin.address.0, config.admin.tls.as_ref(), None)?;
        let admin_tls = Arc::new(ArcSwapOption::new(admin_tls));
        let proofs = Proofs::default();
        let automatic = Automatic { folder: acme::folder(config), proofs: proofs.clone() };
        let mut listeners = Listeners::new(count, automatic);
        let bound = listeners.bind(&config.listener, sockets)?;
        let admin_socket = admin_socket(config.admin.address.0, sockets)?;
        let fronts = Fronts::default();
        let bound_fronts = fronts.bind(&config.front, sockets)?;
        if !takes_over && !sockets.is_empty() {
            return Err(Error::NotNamed(sockets.addresses()));
        }
        let admin = admin_socket.local_addr().map_err(Error::Runtime)?;
        let own = listeners.addresses().chain([admin]).chain(bound_fronts.addresses()).collect();
        let guard = AddressGuard::new(allow_loopback(&loaded, admin), own);
        let guard = Arc::new(ArcSwap::from_pointee(guard));
        let ticker = Ticker::start().map_err(Error::Runtime)?;
        let (publisher, readers) = routing::channel(count);
        let start_worker = |(number, reader)| {
            let (metrics, log, guard) =
                (Arc::clone(&metrics), access_log.clone(), Arc::clone(&guard));
            let proofs = proofs.clone();
            let proxy = move || Proxy::new(number, reader, metrics, log, guard, proofs);
            Worker::start(number, ticker.handle(), proxy)
        };
        let started: Result<Arc<[Worker]>, _> =
            readers.into_iter().enumerate().map(start_worker).collect();
        let workers = started.map_err(Error::Runtime)?;
        Ok(Self {
            loaded,
            listeners,
            bound,
            admin,
            admin_socket,
            admin_tls,
            fronts,
            bound_fronts,
            certificates,
            proofs,
            guard,
            access_log,
            audit,
            metrics,
            publisher,
            workers,
            ticker,
        })
    }
}

fn worker_count(config: &Config) -> usize {
    let cores = || available_parallelism().map_or(1, Into::into);
    config.workers.map_or_else(cores, NonZeroUsize::get)
}
