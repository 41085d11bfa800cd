//! What `/metrics` shows, gathered from where it is counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Control,
    catalog::Catalog,
    entry::{Entry, ServiceEntry, Source},
    show::circuit,
};
use crate::{
    model::{EjectionCause, InstanceState, ServiceName},
    registry::StoreState,
    routing::{Action, Route},
    telemetry::metrics::{
        AccessLogScrape, BuildScrape, ConfigScrape, EndpointScrape, FleetScrape, InstancesScrape,
        ProbesScrape, RouteScrape, Scrape, ServiceScrape, SourceScrape, StoreScrape, TableScrape,
        render,
    },
};

/// Per-endpoint series are left out above this many endpoints.
const MOST_ENDPOINT_SERIES: usize = 1000;

impl Control {
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
        let route = |route: &Arc<Route>| RouteScrape {
            route: Arc::clone(&route.name),
            service: match &route.action {
                Action::Forward { service, .. } => Some(service.clone()),
                Action::Redirect { .. } => None,
            },
            metrics: Arc::clone(&route.metrics),
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
            routable: service.routable(),
            panic: service.panic,
            ejected: service.ejected(),
            ejections: EjectionCause::ALL
                .into_iter()
                .map(|cause| (cause.as_str(), service.ejections[cause as usize]))
                .filter(|(_, count)| *count > 0)
                .collect(),
            circuit: circuit(service).map(|circuit| (circuit.state != "closed", circuit.opened)),
            metrics: Arc::clone(&service.state.metrics),
        };
        let config = shared.config();
        let probes = shared.prober.counts();
        let store = self.registry.store_report();
        let published = shared.publish_nanos.load(Ordering::Relaxed);
        let certificates = shared.certificates();
        Scrape {
            certificates: certificates.scrape(),
            certificate_reloads: certificates.reloads(),
            certificate_orders: certificates.orders(),
            build: BuildScrape {
                version: env!("CARGO_PKG_VERSION").into(),
                revision: option_env!("PORTOLAN_REVISION").unwrap_or("unknown").into(),
            },
            listeners: config.numbered.iter().map(ToString::to_string).collect(),
            routes: table.router.routes().iter().map(route).collect(),
            services: catalog.services.iter().map(service).collect(),
            endpoints: if few { entries().map(endpoint).collect() } else { Vec::new() },
            sources: sources(&catalog, store.state == StoreState::Writable),
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
            store: StoreScrape {
                writable: store.state == StoreState::Writable,
                metrics: self.registry.metrics(),
                newest_snapshot: store.snapshots.newest.map(|(taken, _)| taken),
                snapshots_taken: store.snapshots.taken,
                snapshots_failed: store.snapshots.failed,
            },
            fleet: self.fleet().map(|fleet| {
                let missing = fleet.fellows.iter().filter(|it| it.missing_ms.is_some()).count();
                FleetScrape {
                    present: (fleet.fellows.len() - missing) as u64,
                    missing: missing as u64,
                    pending: fleet.pending as u64,
                    behind: Duration::from_millis(fleet.behind_ms.unwrap_or(0)),
                }
            }),
            access_log: AccessLogScrape {
                dropped: shared.access_log.dropped(),
                lost: shared.access_log.lost(),
            },
        }
    }

    pub(super) fn instances_by_state(&self) -> BTreeMap<(Source, InstanceState), usize> {
        let mut counts = BTreeMap::new();
        let catalog = self.shared.catalog();
        for entry in catalog.services.values().flat_map(|service| service.entries.values()) {
            *counts.entry((entry.source.clone(), entry.state)).or_default() += 1;
        }
        counts
    }
}

fn sources(catalog: &Catalog, is_writable: bool) -> Vec<SourceScrape> {
    let registry = SourceScrape {
        source: Source::Registry.as_str().to_owned(),
        up: is_writable,
        last_sync: Some(SystemTime::now()),
        failures: 0,
        rejections: 0,
        held: 0,
    };
    let now = Instant::now();
    let outside = catalog.sources.all.iter().map(|(name, state)| SourceScrape {
        source: name.to_string(),
        up: state.is_connected(),
        last_sync: state.age(now).and_then(|age| SystemTime::now().checked_sub(age)),
        failures: state.failures,
        rejections: state.rejections,
        held: state.held.as_ref().map_or(0, |held| held.missing.len()),
    });
    std::iter::once(registry).chain(outside).collect()
}
