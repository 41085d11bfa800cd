//! What there is, as the admin API shows it: services, instances and routes.

use std::{ops::Bound, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Control,
    catalog::{Departure, word},
    entry::{Entry, Lease, ServiceEntry, Source},
    view::{
        CircuitView, DepartureView, EjectedView, InstanceView, RouteView, RoutesView, ServiceView,
        ServicesView,
    },
};
use crate::{
    balance::Circuit,
    config::route_names,
    model::{Ended, InstanceKey, InstanceState, Probe, Reported, ServiceName},
    routing::{Action, Route, RouteSettings, Router},
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

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Control {
    pub(super) fn instance_view(&self, entry: &Entry) -> InstanceView {
        let key = entry.instance.key();
        let lease = self.registry.lease_left(&key).flatten();
        let lease = lease.filter(|_| entry.source == Source::Registry);
        InstanceView {
            instance: entry.instance.clone(),
            source: entry.source.as_str().to_owned(),
            reported: entry.reported,
            shadowed_by: entry.shadowed_by.as_ref().map(|by| by.as_str().to_owned()),
            state: entry.state,
            since_ms: millis(entry.since.elapsed()),
            why: self.why(entry),
            routable: entry.routable,
            ejected: ejected(entry),
            generation: entry.generation,
            lease_left_ms: lease.map(millis),
            owner: entry.owner.clone(),
            in_flight: entry.endpoint.in_flight(),
            requests: entry.endpoint.requests(),
            failures: entry.endpoint.failures(),
        }
    }

    /// Why an instance is in its state, in words.
    pub(super) fn why(&self, entry: &Entry) -> String {
        if entry.reported != Reported::Up {
            let left = match entry.endpoint.in_flight() {
                0 => String::new(),
                count => format!(", {count} in flight"),
            };
            return format!("{} says {}{left}", entry.source.as_str(), word(entry.reported));
        }
        if let Some(by) = &entry.shadowed_by {
            return format!("{} has the same address, and counts first", by.as_str());
        }
        if entry.state.is_routable()
            && let Some(ejected) = ejected(entry)
        {
            let left = Duration::from_secs(ejected.left_ms.div_ceil(1000));
            let left = humantime::format_duration(left);
            return format!("ejected for another {left}: {}", ejected.detail);
        }
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
            (_, Probe::Ttl) => match &entry.source {
                Source::Outside(source) => format!("{source} says UP"),
                Source::File | Source::Registry => "heartbeats come".to_owned(),
            },
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
        let leads_here = |route: &&Arc<Route>| matches!(&route.action, Action::Forward { service, .. } if service == name);
        let (retries, retries_refused) = service.state.metrics.retries();
        ServiceView {
            service: name.to_string(),
            balance: service.policy.balance.as_str().to_owned(),
            routable: service.routable(),
            panic: service.panic,
            circuit: circuit(service),
            retries,
            retries_refused,
            routes: router.routes().iter().filter(leads_here).map(|r| r.name.to_string()).collect(),
            instances: service.entries.values().map(|entry| self.instance_view(entry)).collect(),
            departures: Vec::new(),
        }
    }

    /// A page of services.
    #[must_use]
    pub fn services(&self, filter: &ServiceFilter) -> ServicesView {
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
        let departures = catalog.departures.of(name).map(departure_view).collect();
        Some(ServiceView { departures, ..self.service_view(name, service, &table.router) })
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
        let all = table.router.routes().iter().filter(|route| route.template.is_none());
        let mut routes: Vec<_> = all.map(|route| route_view(route)).collect();
        routes.extend(self.templates().into_iter().map(|(_, view)| view));
        routes.sort_by_key(|route| route.line);
        RoutesView { version: table.version, routes }
    }
}

impl Control {
    /// The routes that stand for one for each service.
    pub(super) fn templates(&self) -> Vec<(RouteSettings, RouteView)> {
        let loaded = self.loaded();
        let names = route_names(&loaded.config.route);
        let lines = loaded.route_lines.iter().copied().map(Some).chain(std::iter::repeat(None));
        let all = loaded.config.route.iter().zip(names).zip(lines);
        all.filter(|((settings, _), _)| settings.is_template())
            .map(|((settings, name), line)| {
                let service = Some("{service}".to_owned());
                let view = RouteView { service, ..settings_view(settings, &name, line) };
                (settings.clone(), view)
            })
            .collect()
    }
}

fn ejected(entry: &Entry) -> Option<EjectedView> {
    let ejection = entry.standing.ejection()?;
    Some(EjectedView {
        left_ms: millis(ejection.until.saturating_duration_since(Instant::now())),
        cause: ejection.cause.as_str().to_owned(),
        detail: ejection.detail.clone(),
        times: entry.standing.times(),
    })
}

pub(super) fn circuit(service: &ServiceEntry) -> Option<CircuitView> {
    service.policy.breaker?;
    let breaker = &service.state.breaker;
    let circuit = breaker.circuit(std::time::Instant::now());
    let left_ms = match circuit {
        Circuit::Open(left) => Some(millis(left)),
        Circuit::Closed | Circuit::HalfOpen => None,
    };
    Some(CircuitView { state: circuit.as_str().to_owned(), left_ms, opened: breaker.opened() })
}

pub(super) fn departure_view(departure: &Departure) -> DepartureView {
    let endpoint = &departure.endpoint;
    let Ended { completed, client_gone, moved, lost } = departure.ended();
    DepartureView {
        service: endpoint.instance.service.to_string(),
        instance: endpoint.instance.id.to_string(),
        generation: endpoint.generation,
        why: departure.why.to_owned(),
        successor: departure.successor.as_ref().map(|(id, _)| id.to_string()),
        requests: endpoint.requests(),
        completed,
        client_gone,
        retried: moved,
        lost,
        summary: departure.summary(),
        ago_ms: millis(departure.at.elapsed()),
    }
}

pub(super) fn route_view(route: &Route) -> RouteView {
    let (service, redirect) = match &route.action {
        Action::Forward { service, .. } => (Some(service.to_string()), None),
        Action::Redirect { to, .. } => (None, Some(to.clone())),
    };
    RouteView { service, redirect, ..settings_view(&route.settings, &route.name, route.line) }
}

fn settings_view(settings: &RouteSettings, name: &str, line: Option<u32>) -> RouteView {
    let header = settings.header.iter();
    RouteView {
        name: name.to_owned(),
        hosts: settings.host.0.iter().map(ToString::to_string).collect(),
        path: settings.path.to_string(),
        methods: settings.method.0.iter().map(|method| method.as_str().to_owned()).collect(),
        headers: header
            .map(|(name, value)| format!("{}: {}", name.as_str(), value.as_str()))
            .collect(),
        service: None,
        redirect: None,
        line,
    }
}
