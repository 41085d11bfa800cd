//! The proxy at a glance: whether it is ready, how it is doing, and what needs
//! a person.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Control,
    entry::ServiceEntry,
    show::{circuit, departure_view, millis},
    sources::{complaints, unheard},
    view::{ConfigView, LedgerView, StatusView, StoreView},
};
use crate::{
    model::{Ending, InstanceState, Verdict},
    registry::{StoreReport, StoreState},
    telemetry::metrics::Ledger,
};

/// How long readiness waits for the probes of restored instances.
const WARM_UP: Duration = Duration::from_secs(10);

/// Sentences in the list of what needs a person.
const MOST_SENTENCES: usize = 20;

impl Control {
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
        if shared.started.elapsed() <= WARM_UP {
            let unheard = unheard(&shared.catalog());
            if !unheard.is_empty() {
                return unheard;
            }
        }
        let unprobed = shared
            .catalog()
            .services
            .values()
            .flat_map(|service| service.entries.values())
            .filter(|entry| entry.is_probed() && entry.findings.verdict == Verdict::Unknown)
            .filter(|entry| shared.prober.last(entry.endpoint.id).is_none())
            .count();
        if unprobed == 0 || shared.started.elapsed() > WARM_UP {
            shared.warm.store(true, Ordering::Relaxed);
            return Vec::new();
        }
        vec![match unprobed {
            1 => "the first probe of 1 instance".to_owned(),
            _ => format!("the first probes of {unprobed} instances"),
        }]
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
        let ledger = shared.metrics.ledger();
        let requests = ledger.ended.iter().filter(|(_, count)| *count > 0);
        let store = self.registry.store_report();
        let attention = self.attention(&store);
        let config = shared.config();
        StatusView {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: millis(shared.started.elapsed()),
            version: self.watcher.acknowledged().min(table.version),
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
            routes: self.routes().routes.len(),
            instances,
            probe_stretch: shared.prober.stretch(),
            requests: requests.map(|(reason, count)| (reason.to_string(), *count)).collect(),
            ledger: ledger_view(&ledger),
            departures: shared.catalog().departures.shown().map(departure_view).collect(),
            connections: shared.metrics.connections(),
            store: store_view(&store),
            fleet: self.fleet(),
            sources: self.sources().sources,
            fronts: self.fronts(),
            certificates: shared.certificates().views(SystemTime::now()),
            acme: shared.certificates().automatic(),
            attention,
        }
    }

    /// The proxy in one line: `3 services, 7/8 healthy`.
    #[must_use]
    pub fn summary(&self) -> String {
        let services = self.shared.catalog().services.len();
        let s = if services == 1 { "" } else { "s" };
        let instances = self.instances_by_state();
        let total: usize = instances.values().sum();
        let healthy = instances.iter().filter(|((_, state), _)| *state == InstanceState::Healthy);
        let healthy: usize = healthy.map(|(_, count)| count).sum();
        format!("{services} service{s}, {healthy}/{total} healthy")
    }

    /// What needs a person.
    fn attention(&self, store: &StoreReport) -> Vec<String> {
        let mut sentences = Vec::new();
        if store.state != StoreState::Writable {
            sentences.push(format!("the registry takes no writes: {}", store.state));
        }
        for fellow in self.registry.fellows().iter().flat_map(|it| it.report().fellows) {
            if let Some(missing) = fellow.missing {
                let missing = humantime::format_duration(Duration::from_secs(missing.as_secs()));
                let id = fellow.id;
                sentences.push(format!(
                    "proxy {id} has been missing for {missing} and may still be routing"
                ));
            }
        }
        if let Some(failure) = &store.snapshots.failure {
            sentences.push(format!("the last snapshot of the registry failed: {failure}"));
        }
        if self.shared.config().problems.is_some() {
            sentences.push("the config file on disk has problems and is not running".to_owned());
        }
        let needs_restart = &self.shared.config().needs_restart;
        if !needs_restart.is_empty() {
            sentences.push(format!("only a restart brings about {}", needs_restart.join(", ")));
        }
        sentences.extend(self.shared.certificates().complaints(SystemTime::now()));
        let stretch = self.shared.prober.stretch();
        if stretch > 1.05 {
            sentences.push(format!(
                "probe intervals are {stretch:.1} times as long as configured, see [health]"
            ));
        }
        let catalog = self.shared.catalog();
        sentences.extend(complaints(&catalog));
        let services = catalog.services.iter();
        let mut about_services = services.filter_map(|(name, service)| {
            complaint(service).map(|complaint| format!("{name}: {complaint}"))
        });
        let room = MOST_SENTENCES.saturating_sub(sentences.len());
        sentences.extend(about_services.by_ref().take(room));
        let left_out = about_services.count();
        if left_out > 0 {
            sentences.push(format!("and {left_out} more services"));
        }
        sentences
    }

    /// When the process started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.shared.started
    }
}

fn store_view(store: &StoreReport) -> StoreView {
    let micros = |took: Duration| u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let newest = store.snapshots.newest;
    StoreView {
        state: store.state.to_string(),
        instances: store.instances,
        commit_p50_us: store.commits.map(|times| micros(times.median)),
        commit_p99_us: store.commits.map(|times| micros(times.p99)),
        // A clock that was moved back makes it one that was taken just now.
        snapshot_ms: newest
            .map(|(taken, _)| millis(SystemTime::now().duration_since(taken).unwrap_or_default())),
        snapshot_instances: newest.map(|(_, instances)| instances),
    }
}

fn ledger_view(ledger: &Ledger) -> LedgerView {
    LedgerView {
        accepted: ledger.accepted,
        completed: ledger.of(Ending::Completed),
        client_gone: ledger.of(Ending::ClientGone),
        refused: ledger.of(Ending::Refused),
        failed: ledger.of(Ending::Failed),
        in_flight: ledger.in_flight(),
    }
}

/// What is wrong with a service, if anything is.
fn complaint(service: &ServiceEntry) -> Option<String> {
    let count = |state| service.entries.values().filter(|entry| entry.state == state).count();
    let (all, down) = (service.entries.len(), count(InstanceState::Unhealthy));
    let leaving = count(InstanceState::Draining);
    let circuit = circuit(service).filter(|circuit| circuit.state != "closed");
    if let Some(circuit) = circuit {
        Some(match circuit.left_ms {
            Some(left) => {
                let left = Duration::from_secs(left.div_ceil(1000));
                let left = humantime::format_duration(left);
                format!("the circuit is open for another {left}: too many requests fail")
            }
            None => "the circuit is half open: a few requests try the service out".to_owned(),
        })
    } else if service.panic {
        Some("most instances fail together (panic)".to_owned())
    } else if all == leaving {
        // Nobody misses what no route leads to.
        service.kept.then(|| match all {
            0 => "nothing has registered".to_owned(),
            _ => "all instances are leaving".to_owned(),
        })
    } else if service.routable() == 0 {
        Some("no instance is healthy".to_owned())
    } else if down > 0 {
        Some(format!("{down} of {all} instances are unhealthy"))
    } else if service.ejected() > 0 {
        Some(format!("{} of {all} instances are ejected", service.ejected()))
    } else {
        None
    }
}
