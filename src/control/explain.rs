//! Where a request would go, and why: the answer of the published table, found
//! by the same steps that a request takes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, Method};

use super::{
    Control,
    show::route_view,
    view::{ConsideredView, ExplanationView, RouteView},
};
use crate::{
    balance::Circuit,
    model::Reason,
    routing::{Action, Lookup, Route, RouteSettings, Router, host, path},
};

/// Routes that do not match are named up to this many.
const MOST_OTHERS: usize = 50;

/// A request to explain.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its host, with a port if it has one.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// Its fields.
    pub headers: HeaderMap,
}

impl Control {
    /// Where a request would go, and why.
    #[must_use]
    pub fn explain(&self, question: &Question) -> ExplanationView {
        let table = self.watcher.table();
        let (raw_path, query) = match question.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*question.target, None),
        };
        let mut view = ExplanationView {
            version: table.version,
            method: question.method.to_string(),
            host: question.host.clone(),
            path: raw_path.to_owned(),
            reason: String::new(),
            status: None,
            summary: String::new(),
            route: None,
            considered: Vec::new(),
            service: None,
            forwarded_path: None,
            location: None,
        };
        if matches!(question.method, Method::CONNECT | Method::TRACE) {
            return end(view, Reason::MethodRefused, "CONNECT and TRACE are refused".to_owned());
        }
        let Some(host) = host::of_authority(question.host.as_bytes()) else {
            let summary = format!("{:?} is not a host", question.host);
            return end(view, Reason::RequestInvalid, summary);
        };
        let path = match path::canonical(raw_path) {
            Ok(path) => path,
            Err(error) => return end(view, Reason::RequestInvalid, error.to_string()),
        };
        view.host = host.to_string();
        view.path = path.to_string();
        let lookup = Lookup {
            host: host.as_str(),
            path: &path,
            method: &question.method,
            headers: &question.headers,
        };
        let found = table.router.find(&lookup);
        let templates = self.templates();
        view.considered = considered(&table.router, &templates, &lookup, found);
        let Some(route) = found else {
            let summary = self.no_service(&templates, host.as_str(), &path);
            let summary = summary.unwrap_or_else(|| no_route(&table.router, host.as_str()));
            return end(view, Reason::NoRoute, summary);
        };
        view.route = Some(route.name.to_string());
        let (name, slot) = match &route.action {
            Action::Forward { service, slot } => (service, *slot),
            Action::Redirect { to, status } => {
                let location = Route::location(to, route.path(), &path, query);
                let summary = format!("redirect {status} to {location}");
                view.location = Some(location);
                view.status = Some(*status);
                return end(view, Reason::Redirect, summary);
            }
        };
        view.service = self.service(name);
        let forwarded = route.rewrite(&path).unwrap_or_else(|| path.to_string());
        let mark = if query.is_some() { "?" } else { "" };
        view.forwarded_path = Some(format!("{forwarded}{mark}{}", query.unwrap_or_default()));
        let service = table.services.get(slot);
        if let Some(service) = service.filter(|service| service.policy.breaker.is_some())
            && let Circuit::Open(left) = service.state.breaker.circuit(Instant::now())
        {
            let left = Duration::from_secs(left.as_millis().div_ceil(1000) as u64);
            let left = humantime::format_duration(left);
            let summary = format!("too many requests to {name} fail; it rests for another {left}");
            return end(view, Reason::CircuitOpen, summary);
        }
        let targets = service.map_or(0, |service| service.balancer.targets().len());
        let all = view.service.as_ref().map_or(0, |service| service.instances.len());
        if targets == 0 {
            let summary = match all {
                0 => format!("nothing has registered as {name}"),
                1 => format!("the only instance of {name} is not healthy"),
                _ => format!("none of the {all} instances of {name} is healthy"),
            };
            return end(view, Reason::NoHealthyInstance, summary);
        }
        let summary = format!("{name}, {targets} of {all} instances");
        end(view, Reason::Ok, summary)
    }

    /// Why no route was written out of a template that would match.
    fn no_service(&self, templates: &[Template], host: &str, path: &str) -> Option<String> {
        let (name, settings, view) = templates.iter().find_map(|(settings, view)| {
            Some((settings.asked(host, path)?, settings, &view.name))
        })?;
        let is_there = name.parse().is_ok_and(|name| self.service(&name).is_some());
        Some(match is_there {
            true if !settings.is_meant(name) => {
                format!("{name} is none of the `services` of the route {view}")
            }
            true => format!("the route {view} does not lead there with this method or header"),
            false => {
                let place = settings.place_of_service();
                format!(
                    "there is no service {name}, which the {place} asks for by the route {view}"
                )
            }
        })
    }
}

/// A route with `{service}`.
type Template = (RouteSettings, RouteView);

fn end(mut view: ExplanationView, reason: Reason, summary: String) -> ExplanationView {
    view.reason = reason.to_string();
    view.status = view.status.or(reason.status());
    view.summary = summary;
    view
}

/// The routes of matching host and path, in the order they are asked, then
/// those that are nearest to matching.
fn considered(
    router: &Router,
    templates: &[Template],
    lookup: &Lookup<'_>,
    found: Option<&Arc<Route>>,
) -> Vec<ConsideredView> {
    let is_found = |route: &Arc<Route>| found.is_some_and(|found| Arc::ptr_eq(found, route));
    let mut before = true;
    let mut asked: Vec<&Arc<Route>> = Vec::new();
    let mut views = Vec::new();
    for route in router.candidates(lookup.host, lookup.path) {
        if asked.iter().any(|other| Arc::ptr_eq(other, route)) {
            continue;
        }
        asked.push(route);
        let matched = is_found(route);
        let why = if matched {
            before = false;
            let taken = route.template.as_ref().map(|template| template.place_of_service());
            let taken = taken.map(|place| format!("; the service is taken from the {place}"));
            format!("the most specific that matches{}", taken.unwrap_or_default())
        } else if before {
            route.refusal(lookup.method, lookup.headers)
        } else {
            "less specific".to_owned()
        };
        views.push(ConsideredView { route: route_view(route), matched, why });
    }
    let is_asked = |route: &Arc<Route>| asked.iter().any(|other| Arc::ptr_eq(other, route));
    let others = router.routes().iter().filter(|route| route.template.is_none());
    let others =
        others.filter(|route| !is_asked(route)).map(|route| (&route.settings, route_view(route)));
    let standing = templates.iter().filter(|(_, view)| {
        let mut written_out = asked.iter().filter(|route| route.template.is_some());
        !written_out.any(|route| *route.name == *view.name)
    });
    let standing = standing.map(|(settings, view)| (settings, view.clone()));
    views.extend(others.chain(standing).take(MOST_OTHERS).map(|(settings, route)| {
        let why = match settings.asked(lookup.host, lookup.path) {
            Some(name) => format!("it leads to no service {name}"),
            None if serves(settings, lookup.host) => "path differs".to_owned(),
            None => "host differs".to_owned(),
        };
        ConsideredView { route, matched: false, why }
    }));
    views
}

fn serves(settings: &RouteSettings, host: &str) -> bool {
    settings.host.is_empty() || settings.host.0.iter().any(|pattern| pattern.matches(host))
}

fn no_route(router: &Router, host: &str) -> String {
    if router.routes().is_empty() {
        return "there are no routes".to_owned();
    }
    if router.routes().iter().any(|route| serves(&route.settings, host)) {
        return format!("{host} is served, but not with this path, method or header");
    }
    let hosts = router.routes().iter().flat_map(|route| route.hosts());
    let nearest =
        hosts.map(ToString::to_string).min_by_key(|known| strsim::levenshtein(known, host));
    match nearest {
        Some(nearest) => format!("host {host} is not served; nearest: {nearest}"),
        None => format!("host {host} is not served"),
    }
}
