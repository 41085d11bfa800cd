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
        let mut writing = Writing {
            workers: self.workers,
            metrics_before: std::mem::take(&mut self.metrics),
            before: std::mem::take(&mut self.built),
            into: self,
            routes: Vec::new(),
        };
        let names = route_names(&loaded.config.route);
        let lines = loaded.route_lines.iter().copied().map(Some).chain(std::iter::repeat(None));
        for (index, ((settings, name), line)) in
            loaded.config.route.iter().zip(names).zip(lines).enumerate()
        {
            if !settings.is_template() {
                let place = (index, None);
                // Services of the file keep their slots from one table to the next.
                if !writing.keep(&place, &name, |_| true) {
                    let action = action(settings, catalog);
                    writing.add(place, settings.clone(), &name, line, action, None);
                }
                continue;
            }
            let template = Arc::new(settings.clone());
            for (service, slot) in catalog.exposed() {
                let place = (index, Some(service.clone()));
                let action = Action::Forward { service: service.clone(), slot };
                if writing.keep(&place, &name, |route| route.action == action) {
                    continue;
                }
                let Some(settings) = settings.for_service(service) else { continue };
                writing.add(place, settings, &name, line, action, Some(&template));
            }
        }
        let routes = writing.routes;
        Arc::new(Router::new(routes))
    }
}

/// A router that is being written out.
#[derive(Debug)]
struct Writing<'w> {
    workers: usize,
    before: HashMap<RouteKey, Arc<Route>>,
    metrics_before: HashMap<MetricsKey, Arc<RouteMetrics>>,
    into: &'w mut Routes,
    routes: Vec<Arc<Route>>,
}

impl Writing<'_> {
    /// Takes over the route in `place` if there was one that `is_same`.
    fn keep(&mut self, place: &RouteKey, name: &str, is_same: impl FnOnce(&Route) -> bool) -> bool {
        let Some(route) = self.before.remove(place).filter(|route| is_same(route)) else {
            return false;
        };
        let key = (name.to_owned(), route.settings.service.clone());
        self.into.metrics.insert(key, Arc::clone(&route.metrics));
        self.put(place.clone(), route);
        true
    }

    fn add(
        &mut self,
        place: RouteKey,
        settings: RouteSettings,
        name: &str,
        line: Option<u32>,
        action: Action,
        template: Option<&Arc<RouteSettings>>,
    ) {
        let key = (name.to_owned(), settings.service.clone());
        let counted = self.metrics_before.get(&key).cloned();
        let counted = counted.unwrap_or_else(|| RouteMetrics::new(self.workers));
        self.into.metrics.insert(key, Arc::clone(&counted));
        let route = Route::new(settings, name, line, action, counted);
        let route = match template {
            Some(template) => route.written_out_of(Arc::clone(template)),
            None => route,
        };
        self.put(place, Arc::new(route));
    }

    fn put(&mut self, place: RouteKey, route: Arc<Route>) {
        self.into.built.insert(place, Arc::clone(&route));
        self.routes.push(route);
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
