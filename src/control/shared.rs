//! What the reconciler and the handles on the control plane have in common.

use std::{
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Instant, SystemTime},
};

use tokio::sync::{Semaphore, watch};

use super::{
    catalog::Catalog, certificates::Certificates, happening::EventLog, predecessor::Predecessor,
    view::FrontView,
};
use crate::{
    config::Loaded,
    health::Prober,
    telemetry::{AccessLog, Metrics},
};

/// What the reconciler and the handles have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) workers: usize,
    pub(super) started: Instant,
    /// Written by the reconciler alone.
    pub(super) catalog: RwLock<Catalog>,
    pub(super) events: EventLog,
    pub(super) prober: Prober,
    pub(super) metrics: Arc<Metrics>,
    pub(super) access_log: AccessLog,
    /// The version of the last table, and when it was published.
    pub(super) published: watch::Sender<(u64, Instant)>,
    pub(super) publishes: AtomicU64,
    pub(super) publish_nanos: AtomicU64,
    pub(super) config: RwLock<ConfigState>,
    /// Calls that may wait at once.
    pub(super) waits: Semaphore,
    pub(super) draining: AtomicBool,
    /// The process before this one.
    pub(super) predecessor: Predecessor,
    /// Whether calls that wait are answered at once.
    pub(super) hurry: watch::Sender<bool>,
    /// Certificates in use, and what was wrong with those that should be.
    pub(super) certificates: RwLock<Certificates>,
    /// Fronts that are open.
    pub(super) fronts: RwLock<Vec<FrontView>>,
    /// Whether every instance known at the start has been probed, or enough
    /// time has passed.
    pub(super) warm: AtomicBool,
}

/// The running config file, and how the last reload went.
#[derive(Debug)]
pub(super) struct ConfigState {
    pub(super) path: String,
    pub(super) loaded: Arc<Loaded>,
    pub(super) loaded_at: Instant,
    pub(super) loaded_time: SystemTime,
    pub(super) problems: Option<String>,
    pub(super) reloads_ok: u64,
    pub(super) reloads_failed: u64,
    /// The addresses that clients connect to.
    pub(super) listeners: Vec<SocketAddr>,
    /// Every address there ever was, by its number in the metrics.
    pub(super) numbered: Vec<SocketAddr>,
    /// What the running file says that only a restart brings about.
    pub(super) needs_restart: Vec<String>,
    pub(super) admin: SocketAddr,
}

impl Shared {
    pub(super) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn config(&self) -> RwLockReadGuard<'_, ConfigState> {
        self.config.read().unwrap_or_else(PoisonError::into_inner)
    }
}
