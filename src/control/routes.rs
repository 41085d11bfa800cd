//! From `[[route]]` to the router of a table.

use std::{collections::HashMap, sync::Arc};

use super::catalog::Catalog;
use crate::{
    config::{Loaded, route_names},
    model::ServiceName,
    routing::{Action, Route, RouteSettings, Router},
    telemetry::RouteMetrics,
};

type MetricsKey = (String, Option<ServiceName>);

/// Builds routers, and keeps what routes count from one to the next.
#[derive(Debug)]
pub(super) struct Routes {
    workers: usize,
    metrics: HashMap<MetricsKey, Arc<RouteMetrics>>,
}

impl Routes {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, metrics: HashMap::new() }
    }

    /// The router of `loaded`. Services that its routes lead to are made if
    /// they are not there.
    pub(super) fn build(&mut self, catalog: &mut Catalog, loaded: &Loaded) -> Arc<Router> {
        let names = route_names(&loaded.config.route);
        let lines = loaded.route_lines.iter().copied().map(Some).chain(std::iter::repeat(None));
        let mut kept = HashMap::new();
        let routes =
            loaded.config.route.iter().zip(names).zip(lines).map(|((settings, name), line)| {
                let key = (name, settings.service.clone());
                let metrics = self.metrics.get(&key).cloned();
                let metrics = metrics.unwrap_or_else(|| RouteMetrics::new(self.workers));
                let action = action(settings, catalog);
                let route =
                    Route::new(settings.clone(), &key.0, line, action, Arc::clone(&metrics));
                kept.insert(key, metrics);
                Arc::new(route)
            });
        let router = Router::new(routes.collect());
        self.metrics = kept;
        Arc::new(router)
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
