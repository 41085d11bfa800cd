//! What the admin API shows: the JSON of every reading call, and of the
//! answers to the writing ones.
//!
//! The admin API serialises these and the command line reads them back, so the
//! two cannot drift apart. Times are milliseconds; instants are given as the
//! age they had when the answer was made, so that no clocks are compared.

mod certificate;
mod departure;
mod fleet;
mod front;
mod source;
mod store;

mod changes;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    source::{HeldView, RejectedView, SourceDetailView, SourceView, SourcesView},
    store::StoreView,
};
use crate::model::{Instance, InstanceState, Reported};
pub use certificate::{AcmeView, CertificateView};

pub use changes::{DiagnosticView, ReloadView, UpgradeView};
pub use departure::{DepartureView, LeavingView};
pub use fleet::{FellowView, FleetView};
pub use front::FrontView;

/// One instance as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceView {
    /// As registered.
    #[serde(flatten)]
    pub instance: Instance,
    /// Where it came from: `registry`, `proxy.toml` or the name of a source.
    pub source: String,
    /// What its source says of it.
    #[serde(default)]
    pub reported: Reported,
    /// The source that counts before its own and has the same address, so that
    /// it gets no requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadowed_by: Option<String>,
    /// Its state.
    pub state: InstanceState,
    /// How long it has been in that state.
    pub since_ms: u64,
    /// Why it is in that state, in words for a person: `GET /healthz -> 503,
    /// 37 in a row`.
    pub why: String,
    /// Whether requests are sent to it. Differs from what the state says only
    /// in panic, while it is ejected, and where another source has it.
    pub routable: bool,
    /// Present while it is ejected because of what requests saw of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected: Option<EjectedView>,
    /// Which registration under this id, counted by the registry.
    pub generation: u64,
    /// Time left of its lease; absent without a TTL, 0 once expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_left_ms: Option<u64>,
    /// The token that registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Requests, streams and tunnels on it now.
    pub in_flight: u32,
    /// Requests sent to it by this process.
    pub requests: u64,
    /// Requests that it failed.
    pub failures: u64,
}

/// That an instance gets no requests for a time, whatever its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EjectedView {
    /// Until it is given another chance.
    pub left_ms: u64,
    /// Which rule of `outlier`: `connect_refused`, `consecutive_failures`,
    /// `consecutive_5xx`, `success_rate` or `latency`.
    pub cause: String,
    /// What was seen, in words for a person.
    pub detail: String,
    /// How often it was ejected, less what it has made up for.
    pub times: u32,
}

/// Where the circuit breaker of a service stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CircuitView {
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// While it is open: until requests try the service out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// How often it has opened.
    pub opened: u64,
}

/// One service as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    /// Its name.
    pub service: String,
    /// How an endpoint is picked.
    pub balance: String,
    /// Instances that requests are sent to.
    pub routable: usize,
    /// Whether the panic threshold keeps failing instances in use.
    pub panic: bool,
    /// Its circuit breaker, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<CircuitView>,
    /// Requests sent once more.
    #[serde(default)]
    pub retries: u64,
    /// Requests that the retry budget did not let be sent once more.
    #[serde(default)]
    pub retries_refused: u64,
    /// Routes that lead to it, by name.
    pub routes: Vec<String>,
    /// Its instances, ordered by id.
    pub instances: Vec<InstanceView>,
    /// Instances that left lately, the last one first; not in a list of
    /// services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub departures: Vec<DepartureView>,
}

/// A page of services, ordered by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServicesView {
    /// The table version that the answer was made at.
    pub version: u64,
    /// The services.
    pub services: Vec<ServiceView>,
    /// Pass as `cursor` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One route as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RouteView {
    /// Its name.
    pub name: String,
    /// Host patterns; empty for any host.
    pub hosts: Vec<String>,
    /// Path prefix.
    pub path: String,
    /// Methods; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Required headers as `name: value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// The service it leads to; absent for a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Where it redirects to; absent for a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// Its line in `proxy.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// All routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoutesView {
    /// The table version that the answer was made at.
    pub version: u64,
    /// The routes in the order of the file.
    pub routes: Vec<RouteView>,
}

/// The proxy at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusView {
    /// Version of the program.
    pub program: String,
    /// The id of the process; another one after an upgrade.
    pub pid: u32,
    /// Time since it started.
    pub uptime_ms: u64,
    /// The table version that every worker routes by.
    pub version: u64,
    /// Time since that table was published.
    pub published_ms: u64,
    /// Data-plane threads.
    pub workers: usize,
    /// Addresses that clients connect to.
    pub listeners: Vec<String>,
    /// The admin address.
    pub admin: String,
    /// Whether `/readyz` says ready, and if not, why.
    pub ready: bool,
    /// What readiness waits for; empty when ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<String>,
    /// The config file.
    pub config: ConfigView,
    /// How many services there are.
    pub services: usize,
    /// How many routes there are.
    pub routes: usize,
    /// Instances by state.
    pub instances: std::collections::BTreeMap<String, usize>,
    /// How much longer probe intervals are than configured, because of the
    /// bounds in `[health]`: 1.0 is as configured.
    pub probe_stretch: f64,
    /// Requests by reason since the start; those that never happened left out.
    pub requests: std::collections::BTreeMap<String, u64>,
    /// What became of every request since the start.
    pub ledger: LedgerView,
    /// Instances that left lately, the last one first.
    pub departures: Vec<DepartureView>,
    /// Client connections open now.
    pub connections: u64,
    /// The store of the registry.
    pub store: StoreView,
    /// The proxies that share the registry; absent if it is this one's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetView>,
    /// Sources of the config file, in the order in which they count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceView>,
    /// Addresses where services register that speak to a registry of another
    /// make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fronts: Vec<FrontView>,
    /// Certificates that clients are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateView>,
    /// Names for which certificates are obtained by ACME.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acme: Vec<AcmeView>,
    /// What needs a person, in sentences; empty when nothing does.
    pub attention: Vec<String>,
}

/// What became of every request that was accepted: the other numbers add up to
/// the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerView {
    /// Requests of which the head was read, or refused.
    pub accepted: u64,
    /// Served to their end, or answered by a redirect.
    pub completed: u64,
    /// Left by their client.
    pub client_gone: u64,
    /// Not to be served: against a rule or a limit, or without a route.
    pub refused: u64,
    /// Not served, or not to their end.
    pub failed: u64,
    /// Not over yet.
    pub in_flight: u64,
}

/// The config file and how its last reload went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigView {
    /// Its path.
    pub path: String,
    /// Time since the running one was read.
    pub loaded_ms: u64,
    /// Whether the last reload took effect.
    pub last_reload_ok: bool,
    /// The diagnostics of the last reload if it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problems: String,
}

/// What happened to a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegisteredView {
    /// True if it was not there before.
    pub created: bool,
    /// Whether `wait=routable` was asked for and came true: every worker
    /// routes by a table that holds the instance.
    pub routed: bool,
    /// What is still waited for, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Other proxies that share the registry and have not confirmed that they
    /// route to it, if that was waited for; `routed` is false then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<String>,
    /// The table version that the answer was made at.
    pub version: u64,
    /// The instance as it stands.
    pub instance: InstanceView,
}

/// Where a request would go, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplanationView {
    /// The table version that answered.
    pub version: u64,
    /// The method asked about.
    pub method: String,
    /// The host as it is matched.
    pub host: String,
    /// The path as it is matched.
    pub path: String,
    /// The reason word that a request would end with if it were answered by
    /// the proxy; `ok` if it would be forwarded.
    pub reason: String,
    /// The status that goes with the reason; absent for `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// One sentence for a person.
    pub summary: String,
    /// The route that matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Every route considered, in the order they were.
    pub considered: Vec<ConsideredView>,
    /// The service of the route with all of its instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceView>,
    /// The path and query that the instance would get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_path: Option<String>,
    /// The redirect that would be answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// One route that was considered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConsideredView {
    /// The route.
    #[serde(flatten)]
    pub route: RouteView,
    /// Whether it is the one.
    pub matched: bool,
    /// Why, or why not: `longest prefix`, `method differs`.
    pub why: String,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Counts up from 1 within one run of the process; the SSE `id` is
    /// `RUN-NUMBER`.
    pub number: u64,
    /// When, as RFC 3339 in UTC.
    pub time: String,
    /// What: `registered`, `restored`, `updated`, `deregistered`, `draining`, `drain_timeout`,
    /// `drained`, `left`, `state`, `lease_expired`, `lease_renewed`, `config_reloaded`,
    /// `config_refused`, `panic`, `panic_over`, `refused`, `ejected`,
    /// `returned`, `circuit_open`, `circuit_closed`, `upgraded`,
    /// `upgrade_refused`, `certificates_reloaded`, `certificates_refused`,
    /// `certificate_obtained`, `certificate_taken_over`, `certificate_failed`,
    /// `reported`, `shadowed`,
    /// `unshadowed`, `source_lost`, `source_back`, `source_held`,
    /// `source_accepted`, `registry_lost`, `registry_back`, `proxy_joined`,
    /// `proxy_left`, `proxy_missing`.
    pub kind: String,
    /// The service it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The instance it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// One sentence for a person.
    pub detail: String,
}
