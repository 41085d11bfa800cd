//! What a scrape shows beside the counts of the data plane: plain data that
//! the control plane fills in.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{RouteMetrics, ServiceMetrics, StoreMetrics};
use crate::model::{Address, InstanceId, InstanceState, ServiceName};

/// The state of the process at one moment, as far as metrics show it.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// What is running.
    pub build: BuildScrape,
    /// The listeners in the order of their numbers on the data plane, each
    /// with the address it listens on.
    pub listeners: Vec<String>,
    /// Every route. Name and service together occur once.
    pub routes: Vec<RouteScrape>,
    /// Every service, each once.
    pub services: Vec<ServiceScrape>,
    /// Every endpoint, draining ones included. May be left empty when there
    /// are more than [`super::ENDPOINT_SERIES_MAX`], since they are not shown
    /// then.
    pub endpoints: Vec<EndpointScrape>,
    /// Where instances come from, each once.
    pub sources: Vec<SourceScrape>,
    /// How many instances there are, by source and state; each pair once.
    pub instances: Vec<InstancesScrape>,
    /// The routing table.
    pub table: TableScrape,
    /// The config file.
    pub config: ConfigScrape,
    /// The probes.
    pub probes: ProbesScrape,
    /// The registry's store.
    pub store: StoreScrape,
    /// The proxies that share the registry; none if it is this one's alone.
    pub fleet: Option<FleetScrape>,
    /// The access log.
    pub access_log: AccessLogScrape,
    /// Certificates in use.
    pub certificates: Vec<CertificateScrape>,
    /// How often changed certificates were taken over, and how often they were
    /// refused.
    pub certificate_reloads: (u64, u64),
    /// Orders by ACME that came to a certificate, those that failed, and names
    /// whose last one failed.
    pub certificate_orders: (u64, u64, u64),
}

/// A certificate in use.
#[derive(Clone, Debug)]
pub struct CertificateScrape {
    /// Where: the address of a listener, or `admin`.
    pub listener: String,
    /// Its file.
    pub file: String,
    /// Until when it holds.
    pub not_after: SystemTime,
}

/// What is running.
#[derive(Clone, Debug, Default)]
pub struct BuildScrape {
    /// Version of the program.
    pub version: Cow<'static, str>,
    /// The commit it was built from; empty if unknown.
    pub revision: Cow<'static, str>,
}

/// One route.
#[derive(Clone, Debug)]
pub struct RouteScrape {
    /// Its name.
    pub route: Arc<str>,
    /// The service it leads to; none for a redirect.
    pub service: Option<ServiceName>,
    /// Its counts.
    pub metrics: Arc<RouteMetrics>,
}

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceScrape {
    /// Its name.
    pub service: ServiceName,
    /// Instances that requests are sent to.
    pub routable: usize,
    /// Whether the panic threshold keeps failing instances in use.
    pub panic: bool,
    /// Healthy instances that are ejected.
    pub ejected: usize,
    /// Ejections so far by the word of their cause; those that never happened
    /// left out.
    pub ejections: Vec<(&'static str, u64)>,
    /// If it has a circuit breaker: whether the circuit is not closed, and how
    /// often it has opened.
    pub circuit: Option<(bool, u64)>,
    /// Its counts.
    pub metrics: Arc<ServiceMetrics>,
}

/// One endpoint. While an instance drains and its successor is registered
/// under the same id, there are two of one name; they are shown as one.
#[derive(Clone, Debug)]
pub struct EndpointScrape {
    /// The service.
    pub service: ServiceName,
    /// The instance's id.
    pub id: InstanceId,
    /// Where it listens.
    pub address: Address,
    /// Its state.
    pub state: InstanceState,
    /// Whether requests are sent to it.
    pub routable: bool,
    /// Requests, streams and tunnels on it.
    pub in_flight: u64,
    /// Requests begun on it.
    pub requests: u64,
    /// Those among them that it failed.
    pub failures: u64,
}

/// One source of instances.
#[derive(Clone, Debug)]
pub struct SourceScrape {
    /// Its name: `registry`, `proxy.toml` or what the config calls it.
    pub source: String,
    /// Whether it answers.
    pub up: bool,
    /// When it was last known to be in step.
    pub last_sync: Option<SystemTime>,
    /// Attempts to reach it that failed.
    pub failures: u64,
    /// Times that an entry of it was left out.
    pub rejections: u64,
    /// Instances that its last list lacked and that stay all the same.
    pub held: usize,
}

/// How many instances of one source are in one state.
#[derive(Clone, Debug)]
pub struct InstancesScrape {
    /// The source.
    pub source: String,
    /// The state.
    pub state: InstanceState,
    /// How many.
    pub count: u64,
}

/// The routing table.
#[derive(Clone, Debug, Default)]
pub struct TableScrape {
    /// The version that every worker routes by.
    pub version: u64,
    /// Tables published so far.
    pub publishes: u64,
    /// Time spent on compiling and publishing them.
    pub publish_time: Duration,
}

/// The config file.
#[derive(Clone, Debug, Default)]
pub struct ConfigScrape {
    /// Reloads that took effect.
    pub reloads_ok: u64,
    /// Reloads that were refused.
    pub reloads_failed: u64,
    /// Whether the last one took effect; true before the first.
    pub last_reload_ok: bool,
    /// When the running config was loaded.
    pub last_success: Option<SystemTime>,
}

/// The probes.
#[derive(Clone, Debug, Default)]
pub struct ProbesScrape {
    /// Probes that passed.
    pub passed: u64,
    /// Probes that failed.
    pub failed: u64,
    /// How much longer intervals are than configured: 1.0 is as configured.
    pub stretch: f64,
}

/// The other proxies that share the registry.
#[derive(Clone, Copy, Debug, Default)]
pub struct FleetScrape {
    /// Those that are there.
    pub present: u64,
    /// Those that have vanished without leaving.
    pub missing: u64,
    /// Registrations that are known here and that etcd has lost.
    pub pending: u64,
    /// How long etcd has been further than what was heard of it.
    pub behind: Duration,
}

/// The registry's store.
#[derive(Clone, Debug, Default)]
pub struct StoreScrape {
    /// Whether it takes writes.
    pub writable: bool,
    /// Its counts.
    pub metrics: Arc<StoreMetrics>,
    /// When its newest snapshot was taken.
    pub newest_snapshot: Option<SystemTime>,
    /// Snapshots taken.
    pub snapshots_taken: u64,
    /// Snapshots that could not be taken.
    pub snapshots_failed: u64,
}

/// The access log.
#[derive(Clone, Debug, Default)]
pub struct AccessLogScrape {
    /// Lines dropped because the queue was full.
    pub dropped: u64,
    /// Lines that could not be written.
    pub lost: u64,
}
