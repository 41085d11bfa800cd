//! How an instance is probed whose client declares checks: by the probes there
//! are, at the address of the instance, all of them together. Pure.
//!
//! The host in a check is never connected to: an agent would ask it from its
//! own machine, and here it could be anything that Portolan can reach.

use std::time::Duration;

use http::Uri;

use super::{
    check::{Check, Means},
    record::Record,
};
use crate::{
    front::refusal::Refusal,
    model::{
        Address, DeclaredProbe, HealthSettings, Host, HumanDuration, ProbeKind, ProbeRequest,
        Scheme,
    },
};

const LEAST_INTERVAL: Duration = Duration::from_millis(100);
const MOST_INTERVAL: Duration = Duration::from_secs(3600);

const LEAST_TIMEOUT: Duration = Duration::from_millis(10);
const MOST_TIMEOUT: Duration = Duration::from_secs(10);

impl Record {
    /// How it is probed: of several checks as the first, as often as the one
    /// that is made most often.
    pub(super) fn health(&self) -> Result<HealthSettings, Refusal> {
        let probed = self.probed();
        let Some((first, others)) = probed.split_first() else {
            let kind = self.ttl().map(|_| ProbeKind::Ttl);
            return Ok(HealthSettings { kind, ..HealthSettings::default() });
        };
        let mut health = self.asked(first)?;
        for other in others {
            let other = self.asked(other)?;
            health.interval = health.interval.min(other.interval);
            health.healthy_after = health.healthy_after.max(other.healthy_after);
            let both = health.unhealthy_after.zip(other.unhealthy_after);
            health.unhealthy_after = both
                .map(|(one, other)| one.min(other))
                .or(health.unhealthy_after)
                .or(other.unhealthy_after);
        }
        Ok(health)
    }

    /// All that it is probed by, where one [`Record::health`] does not say it.
    pub(super) fn probes(&self) -> Result<Vec<DeclaredProbe>, Refusal> {
        let all = self.probed().into_iter().map(|check| {
            let health = self.asked(check)?;
            let mut request = check.request.clone();
            // Probes of another kind send nothing.
            if health.kind != Some(ProbeKind::Http) {
                request = ProbeRequest::default();
            }
            request.headers.retain(|name, _| !name.eq_ignore_ascii_case("host"));
            Ok(DeclaredProbe { health, request })
        });
        let all = all.collect::<Result<Vec<_>, Refusal>>()?;
        let says_more = |probe: &DeclaredProbe| probe.request != ProbeRequest::default();
        Ok(if all.len() > 1 || all.iter().any(says_more) { all } else { Vec::new() })
    }

    /// How `check` is made.
    fn asked(&self, check: &Check) -> Result<HealthSettings, Refusal> {
        let within = |given: HumanDuration, least: Duration, most: Duration| {
            HumanDuration(Duration::from(given).clamp(least, most))
        };
        let timeout = check.timeout.unwrap_or(HumanDuration(MOST_TIMEOUT));
        let common = HealthSettings {
            interval: check.interval.map(|given| within(given, LEAST_INTERVAL, MOST_INTERVAL)),
            timeout: Some(within(timeout, LEAST_TIMEOUT, MOST_TIMEOUT)),
            healthy_after: check.healthy_after,
            unhealthy_after: check.unhealthy_after,
            ..HealthSettings::default()
        };
        let bad = |what: &str| Refusal::bad(format!("Invalid check: {what:?} is not an address"));
        let port =
            |port: u16| std::num::NonZeroU16::new(port).filter(|port| port.get() != self.port);
        Ok(match &check.means {
            Means::Http { url } => {
                let uri: Uri = url.parse().map_err(|_| bad(url))?;
                let is_secure = match uri.scheme_str() {
                    Some("http") => false,
                    Some("https") => true,
                    _ => return Err(bad(url)),
                };
                let given = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                if uri.host().is_none() || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(bad(url));
                }
                if is_secure != (self.scheme() == Scheme::Https) {
                    // Spoken at the port, but not by probes of this instance.
                    let kind = Some(ProbeKind::Tcp);
                    return Ok(HealthSettings { kind, port: port(given), ..common });
                }
                let name = format!("{}:{given}", uri.host().unwrap_or_default());
                let name = name.parse::<Address>().ok().map(|address| address.host);
                let name = name.filter(|host| matches!(host, Host::Name(_)));
                let said = check.request.headers.iter();
                let mut said = said.filter(|(name, _)| name.eq_ignore_ascii_case("host"));
                let said = said.find_map(|(_, values)| values.first());
                HealthSettings {
                    kind: Some(ProbeKind::Http),
                    path: Some(path.to_owned()),
                    host: said.cloned().or(name.map(|host| host.to_string())),
                    port: port(given),
                    // What an agent takes for passing and for a warning.
                    expect_status: "200-299, 429".parse().ok(),
                    ..common
                }
            }
            Means::Tcp { address } => {
                let given: Address = address.parse().map_err(|_| bad(address))?;
                HealthSettings { kind: Some(ProbeKind::Tcp), port: port(given.port), ..common }
            }
            Means::Grpc { target, tls } => {
                let (address, service) = target.split_once('/').unwrap_or((target, ""));
                let given: Address = address.parse().map_err(|_| bad(target))?;
                if *tls != (self.scheme() == Scheme::Https) {
                    let kind = Some(ProbeKind::Tcp);
                    return Ok(HealthSettings { kind, port: port(given.port), ..common });
                }
                let service = Some(service.to_owned()).filter(|service| !service.is_empty());
                HealthSettings {
                    kind: Some(ProbeKind::Grpc),
                    grpc_service: service,
                    port: port(given.port),
                    ..common
                }
            }
            Means::Ttl { .. } => HealthSettings::default(),
        })
    }

    /// What it speaks: as it says, else as its check at the same port does.
    pub(super) fn scheme(&self) -> Scheme {
        if let Some(scheme) = self.said("scheme") {
            return if scheme.eq_ignore_ascii_case("https") { Scheme::Https } else { Scheme::Http };
        }
        let says = self.said("secure").is_some_and(|word| word.eq_ignore_ascii_case("true"));
        let is_checked = |check: &Check| match &check.means {
            Means::Http { url } => url.parse::<Uri>().is_ok_and(|uri| {
                uri.scheme_str() == Some("https") && uri.port_u16() == Some(self.port)
            }),
            Means::Grpc { target, tls: true } => {
                let address = target.split('/').next().unwrap_or_default();
                address.parse::<Address>().is_ok_and(|address| address.port == self.port)
            }
            _ => false,
        };
        if says || self.checks.iter().any(is_checked) { Scheme::Https } else { Scheme::Http }
    }
}
