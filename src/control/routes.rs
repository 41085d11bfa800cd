//! From `[[route]]` to the router of a table.
//!
//! A route with `{service}` in its host or path stands for one route for each
//! service there is, and is written out as those: a request finds its route by
//! the same look-up, and a new service needs no edit of the file. What did not
//! change since the last router is shared with it.

use std::{collections::HashMap, sync::Arc};

use super::catalog::Catalog;
use crate::{
    config::{Loaded, route_names},
    model::ServiceName,
    routing::{Action, Route, RouteSettings, Router, Slot},
    telemetry::RouteMetrics,
};

type MetricsKey = (String, Option<ServiceName>);

/// A route of the file, and the service that it was written out for.
type RouteKey = (usize, Option<ServiceName>);

/// Builds routers, and keeps what routes count from one to the next.
#[derive(Debug)]
pub(super) struct Routes {
    workers: usize,
    metrics: HashMap<MetricsKey, Arc<RouteMetrics>>,
    /// The file that the last router was built from, and its routes.
    loaded: Option<Arc<Loaded>>,
    built: HashMap<RouteKey, Arc<Route>>,
}

impl Routes {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, metrics: HashMap::new(), loaded: None, built: HashMap::new() }
    }

    /// The router of `loaded`. Services that its routes lead to are made if
    /// they are not there.
    pub(super) fn build(&mut self, catalog: &mut Catalog, loaded: &Arc<Loaded>) -> Arc<Router> {
        self.built.clear();
        self.loaded = Some(Arc::clone(loaded));
        catalog.templated = loaded.config.route.iter().any(RouteSettings::is_template);
        self.write_out(catalog, loaded)
    }

    /// The router anew, now that there are other services; none if that
    /// changes nothing.
    pub(super) fn rebuild(&mut self, catalog: &mut Catalog) -> Option<Arc<Router>> {
        let loaded = self.loaded.clone().filter(|_| catalog.templated)?;
        Some(self.write_out(catalog, &loaded))
    }

    fn write_out(&mut self, catalog: &mut Catalog, loaded: &Loaded) -> Arc<Router> {
        let mut before = std::mem::take(&mut self.built);
        let mut metrics = HashMap::new();
        let names = route_names(&loaded.config.route);
        let lines = loaded.route_lines.iter().copied().map(Some).chain(std::iter::repeat(None));
        let mut routes = Vec::new();
        for (index, ((settings, name), line)) in
            loaded.config.route.iter().zip(names).zip(lines).enumerate()
        {
            let mut add = |service: Option<&ServiceName>, settings: &RouteSettings, action| {
                let key = (name.clone(), settings.service.clone());
                let counted = self.metrics.get(&key).cloned();
                let counted = counted.unwrap_or_else(|| RouteMetrics::new(self.workers));
                metrics.insert(key, Arc::clone(&counted));
                let place = (index, service.cloned());
                let same = before.remove(&place).filter(|route| route.action == action);
                let route = same.unwrap_or_else(|| {
                    let route = Route::new(settings.clone(), &name, line, action, counted);
                    Arc::new(if service.is_some() { route.written_out() } else { route })
                });
                self.built.insert(place, Arc::clone(&route));
                routes.push(route);
            };
            if !settings.is_template() {
                add(None, settings, action(settings, catalog));
                continue;
            }
            for (service, slot) in catalog.exposed() {
                let Some(settings) = settings.for_service(service) else { continue };
                let action = Action::Forward { service: service.clone(), slot };
                add(Some(service), &settings, action);
            }
        }
        self.metrics = metrics;
        Arc::new(Router::new(routes))
    }
}

impl Catalog {
    /// The services that routes with `{service}` may lead to.
    fn exposed(&self) -> impl Iterator<Item = (&ServiceName, Slot)> {
        let all = self.services.iter().filter(|(name, _)| name.of_source().is_none());
        all.map(|(name, service)| (name, service.slot))
    }
}

fn action(settings: &RouteSettings, catalog: &mut Catalog) -> Action {
    match (&settings.service, &settings.redirect) {
        (Some(service), _) => {
            Action::Forward { service: service.clone(), slot: catalog.slot(service) }
        }
        (None, redirect) => {
            let redirect = redirect.as_ref();
            let to = redirect.map(|redirect| redirect.to.clone()).unwrap_or_default();
            Action::Redirect {
                to,
                status: redirect.map_or(308, |redirect| redirect.status.value()),
            }
        }
    }
}
