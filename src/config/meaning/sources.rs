//! What sources are called, and whether their settings make sense.

use std::collections::HashMap;

use crate::{
    config::{suggest, tree::Place},
    model::ServiceName,
    sources::SourceKind,
};

use super::{Code, Config, Diagnostic, zero};

pub(super) fn check(config: &Config, top: Place<'_>, found: &mut Vec<Diagnostic>) {
    let sources = top.key("source");
    let mut named = HashMap::new();
    for (index, source) in config.source.iter().enumerate() {
        let place = sources.item(index);
        let name = source.name();
        if let Some(earlier) = named.insert(name.clone(), index) {
            // Where the name was taken out, this may not be what it is called.
            let at = if place.key("name").is_there() { "name" } else { "kind" };
            if !place.is_damaged() {
                let message = format!("two sources are called \"{name}\"");
                found.push(
                    Diagnostic::new(Code::SameSource, place.key(at).span(), message)
                        .label("the second one")
                        .related(sources.item(earlier).span(), "the first one")
                        .help("give it a `name` of its own"),
                );
            }
        }
        let times = match &source.kind {
            SourceKind::Consul(_) | SourceKind::Etcd(_) => vec![],
            SourceKind::Eureka(settings) => vec![("interval", settings.interval)],
            SourceKind::File(settings) => vec![("interval", settings.interval)],
            SourceKind::Http(settings) => {
                vec![("interval", settings.interval), ("timeout", settings.timeout)]
            }
            SourceKind::Dns(settings) => {
                vec![("interval", settings.interval), ("timeout", settings.timeout)]
            }
            SourceKind::Docker(settings) => vec![("interval", settings.interval)],
            SourceKind::Zookeeper(settings) => {
                vec![("session_timeout", settings.session_timeout)]
            }
        };
        for (key, time) in times {
            if time.0.is_zero() {
                found.push(zero(place.key(key), &format!("`{key}`")));
            }
        }
    }
    if top.is_damaged() || sources.is_damaged() {
        return;
    }
    for name in config.service.keys() {
        known(config, name, top.key("service").key(name.as_str()).key_span(), found);
    }
    for (index, route) in config.route.iter().enumerate() {
        if let Some(service) = &route.service {
            known(config, service, top.key("route").item(index).key("service").span(), found);
        }
    }
}

/// An error if `service` means the instances of a source that is not there.
fn known(
    config: &Config,
    service: &ServiceName,
    span: std::ops::Range<usize>,
    found: &mut Vec<Diagnostic>,
) {
    let Some((_, wanted)) = service.of_source() else { return };
    let names: Vec<_> = config.source.iter().map(|source| source.name().to_string()).collect();
    if !names.iter().any(|name| name == wanted) {
        let nearest = suggest::nearest(wanted, names.iter().map(String::as_str));
        found.push(
            Diagnostic::new(Code::UnknownSource, span, format!("there is no source \"{wanted}\""))
                .label("no [[source]] is called this")
                .help_if(nearest.map(|name| format!("did you mean \"{name}\"?"))),
        );
    }
}
