//! Where routes lead, and whether they can be reached.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    config::{route_name::route_names, suggest, tree::Place},
    model::ServiceName,
    routing::{HostPattern, RouteSettings},
};

use super::{Code, Config, Diagnostic, bad_name};

pub(super) fn check(config: &Config, routes: Place<'_>, found: &mut Vec<Diagnostic>) {
    let names = route_names(&config.route);
    let mut named: HashMap<&str, usize> = HashMap::new();
    for (index, route) in config.route.iter().enumerate() {
        let place = routes.item(index);
        let title = title(&names, index, place);
        target(route, place, &title, found);
        if let Some(service) = &route.service {
            declared(config, service, place.key("service"), &title, found);
        }
        if let Some(name) = &route.name {
            found.extend(bad_name(place.key("name"), name));
        }
        if let Some(name) = &route.name
            && let Some(earlier) = named.insert(name, index)
        {
            let place = place.key("name");
            let message = format!("two routes are named {}", place.show(name));
            found.push(
                Diagnostic::new(Code::RouteName, place.span(), message)
                    .label("the second one")
                    .related(routes.item(earlier).key("name").span(), "the first one"),
            );
        }
    }
    unreachable(&config.route, routes, &names, found);
}

/// The name of a route in backquotes, safe to show: a default name is made of
/// values that may have come out of `${...}`.
fn title(names: &[String], index: usize, place: Place<'_>) -> String {
    let name = place.key("name");
    let secret = if name.is_there() {
        name.is_reference()
    } else {
        place.key("host").item(0).is_reference() || place.key("path").is_reference()
    };
    if secret { format!("{}", index + 1) } else { format!("`{}`", names[index]) }
}

fn target(route: &RouteSettings, place: Place<'_>, title: &str, found: &mut Vec<Diagnostic>) {
    match (&route.service, &route.redirect) {
        (None, None) if !place.is_damaged() && !route.is_template() => found.push(
            Diagnostic::new(
                Code::RouteToNowhere,
                place.span(),
                format!("route {title} leads nowhere"),
            )
            .label("needs `service` or `redirect`"),
        ),
        (Some(_), Some(_)) => found.push(
            Diagnostic::new(
                Code::RouteToTwo,
                place.key("redirect").key_span(),
                format!("route {title} leads to a service and to a redirect"),
            )
            .label("one of the two must go")
            .related(place.key("service").key_span(), "the service"),
        ),
        _ => {}
    }
    let both = if route.service.is_some() { "service" } else { "redirect" };
    if route.is_template() && (route.service.is_some() || route.redirect.is_some()) {
        let span = place.key(both).key_span();
        let message = format!("route {title} leads to {{service}} and to a `{both}`");
        found
            .push(Diagnostic::new(Code::RouteToTwo, span, message).label("one of the two must go"));
    }
    if !route.is_template() && !route.services.is_empty() {
        let span = place.key("services").key_span();
        let message = format!("`services` has no effect on the route {title}");
        found.push(
            Diagnostic::new(Code::NoEffect, span, message)
                .label("neither host nor path has {service} in it"),
        );
    }
    if route.redirect.is_some() && route.service.is_none() {
        for key in ["timeout", "request_headers"] {
            let key_place = place.key(key);
            if key_place.is_there() {
                let message = format!("`{key}` has no effect on the redirect {title}");
                found.push(
                    Diagnostic::new(Code::NoEffect, key_place.key_span(), message)
                        .label("no request is sent to a service"),
                );
            }
        }
        let rewrites =
            [("strip_prefix", route.strip_prefix), ("add_prefix", route.add_prefix.is_some())];
        for (key, _) in rewrites.into_iter().filter(|(_, set)| *set) {
            let message = format!("route {title} is a redirect, `{key}` cannot change its path");
            found.push(
                Diagnostic::new(Code::RedirectRewrites, place.key(key).key_span(), message)
                    .label("for routes to a service")
                    .related(place.key("redirect").key_span(), "the redirect")
                    .help("write the whole path into `redirect.to`"),
            );
        }
    }
}

fn declared(
    config: &Config,
    service: &ServiceName,
    place: Place<'_>,
    title: &str,
    found: &mut Vec<Diagnostic>,
) {
    if config.service.contains_key(service) || service.of_source().is_some() {
        return;
    }
    let shown = place.show(service);
    let similar = Some(service.as_str())
        .filter(|_| !place.is_reference())
        .and_then(|name| suggest::nearest(name, config.service.keys().map(ServiceName::as_str)));
    if similar.is_none() && !config.source.is_empty() {
        // A source may have it, and that shows only once it is asked.
        return;
    }
    let message =
        format!("route {title} leads to {shown}, and nothing is declared under this name");
    let warning = Diagnostic::new(Code::UndeclaredService, place.span(), message)
        .label("instances can still register under it");
    found.push(match similar {
        Some(name) => {
            let section = place.top().key("service").key(name);
            warning
                .related(section.key_span(), "a service with a similar name")
                .help(format!("did you mean {name:?}?"))
        }
        None if place.is_reference() => warning,
        None => warning.help(format!("if that is meant, add an empty [service.{service}]")),
    });
}

/// Host, path, methods, headers, and what `{service}` stands for. Of two
/// routes with the same, the first gets every request.
type Key<'r> =
    (Option<&'r HostPattern>, &'r str, BTreeSet<&'r str>, BTreeMap<String, &'r str>, &'r [String]);

fn keys(route: &RouteSettings) -> Vec<Key<'_>> {
    let methods: BTreeSet<_> = route.method.0.iter().map(|method| method.as_str()).collect();
    let headers: BTreeMap<_, _> = route
        .header
        .iter()
        .map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.as_str()))
        .collect();
    let hosts: Vec<_> = match &route.host.0[..] {
        [] => vec![None],
        hosts => hosts.iter().map(Some).collect(),
    };
    let path = route.path.as_str();
    let key = |host| (host, path, methods.clone(), headers.clone(), &route.services[..]);
    hosts.into_iter().map(key).collect()
}

fn unreachable(
    routes: &[RouteSettings],
    place: Place<'_>,
    names: &[String],
    found: &mut Vec<Diagnostic>,
) {
    let mut first: HashMap<Key<'_>, usize> = HashMap::new();
    for (index, route) in routes.iter().enumerate() {
        let here = place.item(index);
        // Without the host that was taken out, say, it would look like another.
        let leads_nowhere =
            route.service.is_none() && route.redirect.is_none() && !route.is_template();
        if here.is_damaged() || leads_nowhere {
            continue;
        }
        let keys = keys(route);
        let earlier: Vec<_> = keys.iter().filter_map(|key| first.get(key)).copied().collect();
        if let [one, ..] = earlier[..]
            && earlier.len() == keys.len()
        {
            let other = place.item(one);
            let (line, name) = (other.line(), title(names, one, other));
            let message = format!("route {} can never match", title(names, index, here));
            found.push(
                Diagnostic::new(Code::RouteNeverMatches, here.span(), message)
                    .label(format!("same host, path, methods and headers as {name} (line {line})"))
                    .related(other.span(), "the route declared first wins"),
            );
        }
        for key in keys {
            first.entry(key).or_insert(index);
        }
    }
}
