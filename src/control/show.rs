//! What there is, as the admin API shows it.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Control,
    catalog::{Entry, Lease, ServiceEntry, Source},
    view::{
        ConfigView, DiagnosticView, InstanceView, ReloadView, RouteView, RoutesView, ServiceView,
        ServicesView, StatusView,
    },
};
use crate::{
    config::{Diagnostic, Loaded, Report, Severity},
    model::{InstanceKey, InstanceState, Probe, ServiceName},
    registry::StoreState,
    routing::{Action, Route, Router},
    telemetry::metrics::{
        AccessLogScrape, BuildScrape, ConfigScrape, EndpointScrape, InstancesScrape, ProbesScrape,
        RouteScrape, Scrape, ServiceScrape, SourceScrape, TableScrape, render,
    },
};

/// Which services to list.
#[derive(Clone, Debug, Default)]
pub struct ServiceFilter {
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// How many at most.
    pub limit: usize,
    /// Only services with an instance in this state.
    pub state: Option<InstanceState>,
    /// Only services with an instance with this tag.
    pub tag: Option<String>,
}

/// Per-endpoint series are left out above this many endpoints.
const MOST_ENDPOINT_SERIES: usize = 1000;

/// How long readiness waits for the probes of restored instances.
const WARM_UP: Duration = Duration::from_secs(10);

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Control {
    fn instance_view(&self, entry: &Entry) -> InstanceView {
        let key = entry.instance.key();
        let lease = self.registry.lease_left(&key).flatten();
        let lease = lease.filter(|_| entry.source == Source::Registry);
        InstanceView {
            instance: entry.instance.clone(),
            source: entry.source.as_str().to_owned(),
            state: entry.state,
            since_ms: millis(entry.since.elapsed()),
            why: self.why(entry),
            routable: entry.routable,
            generation: entry.generation,
            lease_left_ms: lease.map(millis),
            owner: entry.owner.clone(),
            in_flight: entry.endpoint.in_flight(),
            requests: entry.endpoint.requests(),
            failures: entry.endpoint.failures(),
        }
    }

    /// Why an instance is in its state, in words.
    fn why(&self, entry: &Entry) -> String {
        let last = self.shared.prober.last(entry.endpoint.id);
        let probe = last.map(|last| {
            let times = if last.in_a_row > 1 {
                format!(", {} in a row", last.in_a_row)
            } else {
                String::new()
            };
            format!("{}{times}", last.outcome.detail)
        });
        let expired = match entry.lease {
            Lease::Expired { at } => {
                let seconds = Duration::from_secs(at.elapsed().as_secs());
                Some(format!("lease expired {} ago", humantime::format_duration(seconds)))
            }
            _ => None,
        };
        match (entry.state, &entry.check.probe) {
            (InstanceState::Draining, _) => {
                format!("leaving, {} in flight", entry.endpoint.in_flight())
            }
            (InstanceState::Suspect, _) => {
                let expired = expired.unwrap_or_default();
                format!("{expired}, but {}", probe.unwrap_or_default())
            }
            (InstanceState::Unhealthy, _) if expired.is_some() => expired.unwrap_or_default(),
            (InstanceState::Starting, Probe::Ttl) => "waiting for the first heartbeat".to_owned(),
            (InstanceState::Starting, _) if probe.is_none() => {
                "waiting for the first probe".to_owned()
            }
            (_, Probe::Ttl) => "heartbeats come".to_owned(),
            (_, Probe::None) => "not probed".to_owned(),
            _ => probe.unwrap_or_default(),
        }
    }

    fn service_view(
        &self,
        name: &ServiceName,
        service: &ServiceEntry,
        router: &Router,
    ) -> ServiceView {
        let leads_here = |route: &&std::sync::Arc<Route>| matches!(&route.action, Action::Forward { service, .. } if service == name);
        ServiceView {
            service: name.to_string(),
            balance: service.policy.balance.as_str().to_owned(),
            routable: service.entries.values().filter(|entry| entry.routable).count(),
            panic: service.panic,
            routes: router.routes().iter().filter(leads_here).map(|r| r.name.to_string()).collect(),
            instances: service.entries.values().map(|entry| self.instance_view(entry)).collect(),
        }
    }

    /// A page of services.
    #[must_use]
    pub fn services(&self, filter: &ServiceFilter) -> ServicesView {
        use std::ops::Bound;
        let table = self.watcher.table();
        let catalog = self.shared.catalog();
        let after =
            filter.cursor.as_ref().map_or(Bound::Unbounded, |name| Bound::Excluded(name.as_str()));
        let wanted = |service: &ServiceEntry| {
            let state = |entry: &Entry| filter.state.is_none_or(|state| entry.state == state);
            let tag = |entry: &Entry| {
                filter.tag.as_ref().is_none_or(|tag| entry.instance.tags.contains(tag))
            };
            (filter.state.is_none() && filter.tag.is_none())
                || service.entries.values().any(|entry| state(entry) && tag(entry))
        };
        let mut matching = catalog
            .services
            .range::<str, _>((after, Bound::Unbounded))
            .filter(|(_, service)| wanted(service));
        let page: Vec<_> = matching.by_ref().take(filter.limit).collect();
        let next = match (page.last(), matching.next()) {
            (Some((name, _)), Some(_)) => Some(name.to_string()),
            _ => None,
        };
        let view = |(name, service): (&ServiceName, &ServiceEntry)| {
            self.service_view(name, service, &table.router)
        };
        ServicesView {
            version: table.version,
            services: page.into_iter().map(view).collect(),
            next,
        }
    }

    /// One service.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<ServiceView> {
        let table = self.watcher.table();
        let catalog = self.shared.catalog();
        let service = catalog.services.get(name)?;
        Some(self.service_view(name, service, &table.router))
    }

    /// One instance.
    #[must_use]
    pub fn instance(&self, key: &InstanceKey) -> Option<InstanceView> {
        self.shared.catalog().entry(key).map(|entry| self.instance_view(entry))
    }

    /// All routes.
    #[must_use]
    pub fn routes(&self) -> RoutesView {
        let table = self.watcher.table();
        let routes = table.router.routes().iter().map(|route| route_view(route)).collect();
        RoutesView { version: table.version, routes }
    }

    /// What readiness waits for; nothing once ready.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<String> {
        let shared = &self.shared;
        if shared.draining.load(Ordering::Relaxed) {
            return vec!["the proxy is shutting down".to_owned()];
        }
        if shared.warm.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let unprobed = shared
            .catalog()
            .services
            .values()
            .flat_map(|service| service.entries.values())
            .filter(|entry| {
                matches!(entry.check.probe, Probe::Http { .. } | Probe::Tcp)
                    && shared.prober.last(entry.endpoint.id).is_none()
            })
            .count();
        if unprobed == 0 || shared.started.elapsed() > WARM_UP {
            shared.warm.store(true, Ordering::Relaxed);
            return Vec::new();
        }
        vec![format!("the first probes of {unprobed} instances")]
    }

    fn instances_by_state(&self) -> BTreeMap<(Source, InstanceState), usize> {
        let mut counts = BTreeMap::new();
        let catalog = self.shared.catalog();
        for entry in catalog.services.values().flat_map(|service| service.entries.values()) {
            *counts.entry((entry.source, entry.state)).or_default() += 1;
        }
        counts
    }

    /// The proxy at a glance.
    #[must_use]
    pub fn status(&self) -> StatusView {
        let shared = &self.shared;
        let table = self.watcher.table();
        let waiting_for = self.waiting_for();
        let mut instances = BTreeMap::new();
        for ((_, state), count) in self.instances_by_state() {
            *instances.entry(state.as_str().to_owned()).or_default() += count;
        }
        let requests = shared.metrics.requests_by_reason().into_iter();
        let requests = requests.filter(|(_, count)| *count > 0);
        let store = self.registry.store_state();
        let attention = self.attention(&store);
        let config = shared.config();
        StatusView {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: millis(shared.started.elapsed()),
            version: self.watcher.acknowledged(),
            published_ms: millis(shared.published.borrow().1.elapsed()),
            workers: shared.workers,
            listeners: config.listeners.iter().map(ToString::to_string).collect(),
            admin: config.admin.to_string(),
            ready: waiting_for.is_empty(),
            waiting_for,
            config: ConfigView {
                path: config.path.clone(),
                loaded_ms: millis(config.loaded_at.elapsed()),
                last_reload_ok: config.problems.is_none(),
                problems: config.problems.clone().unwrap_or_default(),
            },
            services: shared.catalog().services.len(),
            routes: table.router.routes().len(),
            instances,
            probe_stretch: shared.prober.stretch(),
            requests: requests.map(|(reason, count)| (reason.to_string(), count)).collect(),
            in_flight: shared.metrics.in_flight(),
            connections: shared.metrics.connections(),
            store: store.to_string(),
            attention,
        }
    }

    /// What needs a person.
    fn attention(&self, store: &StoreState) -> Vec<String> {
        let mut sentences = Vec::new();
        if *store != StoreState::Writable {
            sentences.push(format!("the registry takes no writes: {store}"));
        }
        if self.shared.config().problems.is_some() {
            sentences.push("the config file on disk has problems and is not running".to_owned());
        }
        let stretch = self.shared.prober.stretch();
        if stretch > 1.05 {
            sentences.push(format!(
                "probe intervals are {stretch:.1} times as long as configured, see [health]"
            ));
        }
        let catalog = self.shared.catalog();
        for (name, service) in &catalog.services {
            let routable = service.entries.values().filter(|entry| entry.routable).count();
            if service.panic {
                sentences.push(format!("{name}: most instances fail together (panic)"));
            } else if routable == 0 && !service.entries.is_empty() {
                sentences.push(format!("{name}: no instance is healthy"));
            } else {
                let down = |entry: &&Entry| entry.state == InstanceState::Unhealthy;
                let down = service.entries.values().filter(down).count();
                if down > 0 {
                    let all = service.entries.len();
                    sentences.push(format!("{name}: {down} of {all} instances are unhealthy"));
                }
            }
            if sentences.len() > 20 {
                sentences.push("and more".to_owned());
                break;
            }
        }
        sentences
    }

    /// Metrics in the Prometheus text format, rendered on a thread of its own.
    pub async fn metrics(&self) -> String {
        let control = self.clone();
        let rendered =
            tokio::task::spawn_blocking(move || render(&control.shared.metrics, control.scrape()));
        rendered.await.unwrap_or_default()
    }

    fn scrape(&self) -> Scrape {
        let shared = &self.shared;
        let table = self.watcher.table();
        let route = |route: &std::sync::Arc<Route>| RouteScrape {
            route: std::sync::Arc::clone(&route.name),
            service: match &route.action {
                Action::Forward { service, .. } => Some(service.clone()),
                Action::Redirect { .. } => None,
            },
            metrics: std::sync::Arc::clone(&route.metrics),
        };
        let by_state = self.instances_by_state();
        let catalog = shared.catalog();
        let endpoint = |entry: &Entry| EndpointScrape {
            service: entry.instance.service.clone(),
            id: entry.instance.id.clone(),
            address: entry.endpoint.address.clone(),
            state: entry.state,
            routable: entry.routable,
            in_flight: entry.endpoint.in_flight().into(),
            requests: entry.endpoint.requests(),
            failures: entry.endpoint.failures(),
        };
        let entries = || catalog.services.values().flat_map(|service| service.entries.values());
        let few = entries().count() <= MOST_ENDPOINT_SERIES;
        let service = |(name, service): (&ServiceName, &ServiceEntry)| ServiceScrape {
            service: name.clone(),
            routable: service.entries.values().filter(|entry| entry.routable).count(),
            panic: service.panic,
            metrics: std::sync::Arc::clone(&service.state.metrics),
        };
        let config = shared.config();
        let probes = shared.prober.counts();
        let published = shared.publish_nanos.load(Ordering::Relaxed);
        Scrape {
            build: BuildScrape {
                version: env!("CARGO_PKG_VERSION").into(),
                revision: option_env!("PORTOLAN_REVISION").unwrap_or("unknown").into(),
            },
            listeners: config.listeners.iter().map(ToString::to_string).collect(),
            routes: table.router.routes().iter().map(route).collect(),
            services: catalog.services.iter().map(service).collect(),
            endpoints: if few { entries().map(endpoint).collect() } else { Vec::new() },
            sources: vec![SourceScrape {
                source: Source::Registry.as_str().to_owned(),
                up: self.registry.store_state() == StoreState::Writable,
                last_sync: Some(SystemTime::now()),
            }],
            instances: by_state
                .into_iter()
                .map(|((source, state), count)| InstancesScrape {
                    source: source.as_str().to_owned(),
                    state,
                    count: count as u64,
                })
                .collect(),
            table: TableScrape {
                version: table.version,
                publishes: shared.publishes.load(Ordering::Relaxed),
                publish_time: Duration::from_nanos(published),
            },
            config: ConfigScrape {
                reloads_ok: config.reloads_ok,
                reloads_failed: config.reloads_failed,
                last_reload_ok: config.problems.is_none(),
                last_success: Some(config.loaded_time),
            },
            probes: ProbesScrape {
                passed: probes.passed,
                failed: probes.failed,
                stretch: shared.prober.stretch(),
            },
            store_writable: self.registry.store_state() == StoreState::Writable,
            access_log: AccessLogScrape {
                dropped: shared.access_log.dropped(),
                lost: shared.access_log.lost(),
            },
        }
    }

    /// When the process started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.shared.started
    }
}

pub(super) fn route_view(route: &Route) -> RouteView {
    let settings = &route.settings;
    let header = settings.header.iter();
    let (service, redirect) = match &route.action {
        Action::Forward { service, .. } => (Some(service.to_string()), None),
        Action::Redirect { to, .. } => (None, Some(to.clone())),
    };
    RouteView {
        name: route.name.to_string(),
        hosts: route.hosts().iter().map(ToString::to_string).collect(),
        path: route.path().to_string(),
        methods: settings.method.0.iter().map(|method| method.as_str().to_owned()).collect(),
        headers: header
            .map(|(name, value)| format!("{}: {}", name.as_str(), value.as_str()))
            .collect(),
        service,
        redirect,
        line: route.line,
    }
}

/// A config file that can take effect.
#[must_use]
pub fn good(loaded: &Loaded) -> ReloadView {
    ReloadView {
        ok: true,
        changes: Vec::new(),
        needs_restart: Vec::new(),
        diagnostics: loaded.warnings.iter().map(diagnostic).collect(),
    }
}

/// A config file that cannot.
#[must_use]
pub fn refused(report: &Report) -> ReloadView {
    ReloadView {
        ok: false,
        changes: Vec::new(),
        needs_restart: Vec::new(),
        diagnostics: report.diagnostics.iter().map(diagnostic).collect(),
    }
}

/// A config file that cannot, for a reason that has no place in it.
#[must_use]
pub fn failed(file: &str, message: String) -> ReloadView {
    let diagnostic = DiagnosticView {
        severity: "error".to_owned(),
        code: String::new(),
        message,
        file: file.to_owned(),
        line: 1,
        column: 1,
        help: None,
    };
    ReloadView {
        ok: false,
        changes: Vec::new(),
        needs_restart: Vec::new(),
        diagnostics: vec![diagnostic],
    }
}

fn diagnostic(diagnostic: &Diagnostic) -> DiagnosticView {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    DiagnosticView {
        severity: severity.to_owned(),
        code: diagnostic.code.to_string(),
        message: diagnostic.message.clone(),
        file: diagnostic.file.clone(),
        line: diagnostic.line,
        column: diagnostic.column,
        help: diagnostic.help.clone(),
    }
}
