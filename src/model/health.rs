//! Health: what is asked of an instance, what it answered, and the one pure
//! function that turns both and its lease into a state.

use std::{collections::BTreeMap, fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HumanDuration, ProxyProtocol, StatusSet};

/// How the health of an instance is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// `GET path` answers with an expected status.
    Http,
    /// A TCP connection can be opened.
    Tcp,
    /// The instance says by gRPC that it serves (`grpc.health.v1`).
    Grpc,
    /// The instance reports by heartbeats; it is healthy from the first one
    /// until its lease expires.
    Ttl,
    /// Nobody asks; it is healthy as long as it is registered.
    None,
}

/// Health settings as written in `[defaults]`, in `[service.NAME]` or in a
/// registration. What is absent comes from the next wider place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// How health is found out. Default: `http` if a path is set, else `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ProbeKind>,
    /// The path of an HTTP probe, with its query if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "probe-path"))]
    pub path: Option<String>,
    /// The `Host` of an HTTP probe. Default: the address of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "host"))]
    pub host: Option<String>,
    /// The service that a gRPC probe asks for. Default: the server as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_service: Option<String>,
    /// A port of its own for the probe. Default: the port of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<std::num::NonZeroU16>,
    /// Time from one probe to the next. Default 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<HumanDuration>,
    /// How long one probe may take. Default 2s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// Passes in a row that bring a failed instance back. Default 1; a new
    /// instance needs one pass in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_after: Option<std::num::NonZeroU32>,
    /// Failures in a row that take an instance out. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_after: Option<std::num::NonZeroU32>,
    /// Statuses that pass. Default 200-399; redirects are not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_status: Option<StatusSet>,
    /// Text that the first 64 KiB of the body must contain. Default: any body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_body: Option<String>,
}

/// What a probe by HTTP sends beside its path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ProbeRequest {
    /// Default: GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Fields by their names, with all values of each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Vec<String>>,
    /// What follows them. Default: nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// One of several probes that a client has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeclaredProbe {
    /// What is asked, and how long it may take.
    pub health: HealthSettings,
    /// What is sent.
    #[serde(default)]
    pub request: ProbeRequest,
}

/// What is sent to find out about an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `GET path` over HTTP/1.1, unless it says something else.
    Http {
        /// Origin-form, beginning with `/`.
        path: String,
        /// The `Host` header; the probed address if absent.
        host: Option<String>,
        /// Statuses that pass.
        expect_status: StatusSet,
        /// Text the body must contain.
        expect_body: Option<String>,
        /// What is sent, if not just a GET.
        request: Option<Box<ProbeRequest>>,
    },
    /// Open a TCP connection and close it.
    Tcp,
    /// `grpc.health.v1.Health/Check` over HTTP/2.
    Grpc {
        /// What is asked for; the server as a whole if empty.
        service: String,
    },
    /// Nothing: heartbeats are the answer.
    Ttl,
    /// Nothing: the answer is always yes.
    None,
}

/// Health settings with every value in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is sent.
    pub probe: Probe,
    /// The port probed, if not that of the instance.
    pub port: Option<u16>,
    /// From one probe to the next.
    pub interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Passes in a row that bring a failed instance back.
    pub healthy_after: u32,
    /// Failures in a row that take an instance out.
    pub unhealthy_after: u32,
    /// The header before the first byte of a probe, unless it goes to a port
    /// of its own.
    pub proxy_protocol: ProxyProtocol,
    /// Others that are made together with this one: it passes if all do. They
    /// have none beside them.
    pub beside: Vec<Self>,
}

impl HealthCheck {
    /// This one as a client has `declared` it, which may be several.
    #[must_use]
    pub fn declared(mut self, declared: &[DeclaredProbe]) -> Self {
        let Some((first, others)) = declared.split_first() else { return self };
        self = self.sending(&first.request);
        let other = |declared: &DeclaredProbe| {
            Self::resolve(&[&declared.health])
                .sending(&declared.request)
                .greeting(self.proxy_protocol)
        };
        let beside = others.iter().map(other).collect();
        Self { beside, ..self }
    }

    fn sending(mut self, sent: &ProbeRequest) -> Self {
        if let Probe::Http { request, .. } = &mut self.probe {
            *request = (*sent != ProbeRequest::default()).then(|| Box::new(sent.clone()));
        }
        self
    }

    /// This one, of a service with `proxy_protocol`.
    #[must_use]
    pub fn greeting(self, proxy_protocol: ProxyProtocol) -> Self {
        Self { proxy_protocol, ..self }
    }

    /// What stands before the first byte of a probe.
    #[must_use]
    pub const fn header(&self) -> &'static [u8] {
        match self.port {
            // Who listens there may be anybody.
            Some(_) => b"",
            None => self.proxy_protocol.own_header(),
        }
    }

    /// Takes each value from the first of `layers` (narrowest first) that has
    /// it, else its default. A `path` decides the kind only against layers as
    /// wide as its own: an instance that says `kind = "tcp"` is not probed by
    /// HTTP because the service has a path.
    #[must_use]
    pub fn resolve(layers: &[&HealthSettings]) -> Self {
        fn first<T>(
            layers: &[&HealthSettings],
            pick: impl Fn(&HealthSettings) -> Option<T>,
        ) -> Option<T> {
            layers.iter().find_map(|layer| pick(layer))
        }
        let kind =
            first(layers, |layer| layer.kind.or(layer.path.as_ref().map(|_| ProbeKind::Http)));
        let probe = match kind.unwrap_or(ProbeKind::Tcp) {
            ProbeKind::Http => Probe::Http {
                path: first(layers, |layer| layer.path.clone()).unwrap_or_else(|| "/".to_owned()),
                host: first(layers, |layer| layer.host.clone()),
                expect_status: first(layers, |layer| layer.expect_status.clone())
                    .unwrap_or_else(|| StatusSet::range(200, 399)),
                expect_body: first(layers, |layer| layer.expect_body.clone()),
                request: None,
            },
            ProbeKind::Tcp => Probe::Tcp,
            ProbeKind::Grpc => Probe::Grpc {
                service: first(layers, |layer| layer.grpc_service.clone()).unwrap_or_default(),
            },
            ProbeKind::Ttl => Probe::Ttl,
            ProbeKind::None => Probe::None,
        };
        let duration = |pick: fn(&HealthSettings) -> Option<HumanDuration>, default| {
            first(layers, pick).map_or(default, Duration::from)
        };
        Self {
            probe,
            port: first(layers, |layer| layer.port.map(Into::into)),
            interval: duration(|layer| layer.interval, Duration::from_secs(5)),
            timeout: duration(|layer| layer.timeout, Duration::from_secs(2)),
            healthy_after: first(layers, |layer| layer.healthy_after).map_or(1, Into::into),
            unhealthy_after: first(layers, |layer| layer.unhealthy_after).map_or(3, Into::into),
            proxy_protocol: ProxyProtocol::Off,
            beside: Vec::new(),
        }
    }
}

/// What probes have said so far, threshold applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No probe has passed yet.
    #[default]
    Unknown,
    /// The last verdict was a pass.
    Passing,
    /// The last verdict was a failure.
    Failing,
}

/// Where the lease of an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStatus {
    /// Registered without a TTL, or not by a registrant at all.
    Unleased,
    /// Within its TTL. `renewed` is false until the first heartbeat.
    Live {
        /// Whether a heartbeat has come since the registration or restart.
        renewed: bool,
    },
    /// Past its TTL, for this long.
    Expired(Duration),
}

/// The state of an instance, as shown everywhere.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// Registered, no probe passed yet; not routable.
    Starting,
    /// Routable.
    Healthy,
    /// Its lease expired but its probes pass; routable for a bounded time.
    Suspect,
    /// Probes fail or the lease expired; not routable.
    Unhealthy,
    /// Leaving: finishes what it has and gets nothing new.
    Draining,
}

impl InstanceState {
    /// Every state, in order of life.
    pub const ALL: [Self; 5] =
        [Self::Starting, Self::Healthy, Self::Suspect, Self::Unhealthy, Self::Draining];

    /// The word used in the API, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }

    /// Whether requests may be sent to an instance in this state.
    #[must_use]
    pub const fn is_routable(self) -> bool {
        matches!(self, Self::Healthy | Self::Suspect)
    }

    /// The state that follows from what is known. `suspect_for` bounds how
    /// long passing HTTP and gRPC probes outweigh an expired lease; that a TCP port is
    /// open earns nothing, since it may be anybody's by now.
    #[must_use]
    pub fn of(
        probe: &Probe,
        verdict: Verdict,
        lease: LeaseStatus,
        draining: bool,
        suspect_for: Duration,
    ) -> Self {
        if draining {
            return Self::Draining;
        }
        match (probe, verdict, lease) {
            (
                Probe::Http { .. } | Probe::Grpc { .. },
                Verdict::Passing,
                LeaseStatus::Expired(since),
            ) => {
                if since < suspect_for {
                    Self::Suspect
                } else {
                    Self::Unhealthy
                }
            }
            (_, _, LeaseStatus::Expired(_)) => Self::Unhealthy,
            (Probe::None, _, _) => Self::Healthy,
            (Probe::Ttl, _, LeaseStatus::Live { renewed: true }) => Self::Healthy,
            (Probe::Ttl, _, _) => Self::Starting,
            (_, Verdict::Unknown, _) => Self::Starting,
            (_, Verdict::Passing, _) => Self::Healthy,
            (_, Verdict::Failing, _) => Self::Unhealthy,
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests;
