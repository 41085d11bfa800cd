//! Probes and timeouts of services.

use crate::{
    config::tree::Place,
    model::{
        HealthCheck, HealthSettings, Probe, ProbeKind, Protocol, RetryPolicy, Scheme,
        ServiceSettings,
    },
};

use super::{Code, Config, Diagnostic, zero};

pub(super) fn check(config: &Config, top: Place<'_>, found: &mut Vec<Diagnostic>) {
    let defaults = &config.defaults;
    let place = top.key("defaults");
    service(defaults, place, &HealthCheck::resolve(&[&defaults.health]), found);
    if !defaults.endpoints.is_empty() {
        let endpoints = place.key("endpoints");
        found.push(
            Diagnostic::new(
                Code::NoEffect,
                endpoints.key_span(),
                "`endpoints` has no effect in [defaults]",
            )
            .label("no service takes its endpoints from here")
            .help("write them in the [service.NAME] that has them"),
        );
    }
    for (name, settings) in &config.service {
        let place = top.key("service").key(name.as_str());
        let policy = settings.retry.resolve(&defaults.retry);
        retry(&policy, place.key("retry"), found);
        misfits(settings, defaults, place, found);
        let health = HealthCheck::resolve(&[&settings.health, &defaults.health]);
        service(settings, place, &health, found);
    }
}

/// Endpoints that cannot speak what the service speaks.
fn misfits(
    settings: &ServiceSettings,
    defaults: &ServiceSettings,
    place: Place<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let (scheme, other) = match settings.protocol.or(defaults.protocol).unwrap_or_default() {
        Protocol::Http1 => return,
        Protocol::H2 => (Scheme::Https, "h2c"),
        Protocol::H2c => (Scheme::Http, "h2"),
    };
    for (index, endpoint) in settings.endpoints.iter().enumerate() {
        if endpoint.scheme != scheme {
            let at = place.key("endpoints").item(index);
            let message = "the protocol of the service does not fit the address";
            found.push(
                Diagnostic::new(Code::Misfit, at.span(), message)
                    .label("it would never be reached")
                    .help(format!("write protocol = \"{other}\", or another scheme")),
            );
        }
    }
}

/// `check` is how the service ends up being probed.
fn service(
    settings: &ServiceSettings,
    place: Place<'_>,
    check: &HealthCheck,
    found: &mut Vec<Diagnostic>,
) {
    let timeouts = &settings.timeouts;
    for (key, value) in [
        ("connect", timeouts.connect),
        ("response", timeouts.response),
        ("idle", timeouts.idle),
        ("tunnel_idle", timeouts.tunnel_idle),
    ] {
        if value.is_some_and(|value| value.0.is_zero()) {
            let place = place.key("timeouts").key(key);
            found.push(zero(place, &format!("a `timeouts.{key}`")));
        }
    }
    let (outlier, breaker) = (&settings.outlier, &settings.breaker);
    for (table, key, value) in [
        ("outlier", "window", outlier.window),
        ("outlier", "base_ejection", outlier.base_ejection),
        ("outlier", "max_ejection", outlier.max_ejection),
        ("breaker", "window", breaker.window),
        ("breaker", "open", breaker.open),
    ] {
        if value.is_some_and(|value| value.0.is_zero()) {
            found.push(zero(place.key(table).key(key), &format!("a `{table}.{key}`")));
        }
    }
    let health = &settings.health;
    let place = place.key("health");
    let mut any_zero = false;
    for (key, value) in [("interval", health.interval), ("timeout", health.timeout)] {
        if value.is_some_and(|value| value.0.is_zero()) {
            found.push(zero(place.key(key), &format!("a `health.{key}`")));
            any_zero = true;
        }
    }
    let (interval, timeout) = (place.key("interval"), place.key("timeout"));
    let probes = matches!(check.probe, Probe::Http { .. } | Probe::Tcp | Probe::Grpc { .. });
    let says = probes && (interval.is_there() || timeout.is_there());
    if says && !any_zero && !place.is_damaged() && check.timeout > check.interval {
        let (here, other) =
            if timeout.is_there() { (timeout, interval) } else { (interval, timeout) };
        let mut slow = Diagnostic::new(
            Code::SlowProbe,
            here.span(),
            "a probe may take longer than the time to the next one",
        )
        .label(if timeout.is_there() {
            "longer than the interval"
        } else {
            "shorter than the timeout"
        });
        if !other.is_there() {
            slow = slow.help("by default the interval is 5s and the timeout 2s");
        }
        if other.is_there() {
            slow = slow.related(other.span(), "the interval");
        }
        found.push(slow);
    }
    no_effect(health, place, found);
}

/// `policy` is how the requests of the service end up being retried.
fn retry(policy: &RetryPolicy, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    if place.is_damaged() {
        return;
    }
    let mut idle = |key: &str, why: &str, label: &str| {
        let key_place = place.key(key);
        if key_place.is_there() {
            let message = format!("`retry.{key}` has no effect {why}");
            let span = key_place.key_span();
            found.push(Diagnostic::new(Code::NoEffect, span, message).label(label));
        }
    };
    if policy.attempts == 0 {
        let others =
            ["methods", "on_timeout", "on_status", "budget_percent", "budget_floor", "buffer"];
        for key in others {
            idle(key, "with attempts = 0", "nothing is sent once more");
        }
    } else if policy.methods.is_empty() {
        idle("buffer", "without `retry.methods`", "only kept for these methods");
    }
}

fn no_effect(health: &HealthSettings, place: Place<'_>, found: &mut Vec<Diagnostic>) {
    let kind = match health.kind {
        Some(ProbeKind::Tcp) => "tcp",
        Some(ProbeKind::Grpc) => "grpc",
        Some(ProbeKind::Ttl) => "ttl",
        Some(ProbeKind::None) => "none",
        Some(ProbeKind::Http) | None => return,
    };
    for key in ["path", "host", "expect_status", "expect_body"] {
        let place_of_key = place.key(key);
        if place_of_key.is_there() {
            let message = format!("`health.{key}` has no effect with kind = \"{kind}\"");
            found.push(
                Diagnostic::new(Code::NoEffect, place_of_key.key_span(), message)
                    .label("only used by HTTP probes")
                    .related(place.key("kind").span(), "the kind"),
            );
        }
    }
}
