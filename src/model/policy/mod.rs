//! How a service is treated: balancing, timeouts, limits.
//!
//! [`ServiceSettings`] is what `[defaults]` and `[service.NAME]` say, with
//! gaps; [`ServicePolicy`] is the outcome, without.

mod breaker;
mod outlier;
mod proxy_protocol;
mod retry;

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{ByteSize, ClientTlsSettings, HealthSettings, HumanDuration, Origin};

pub use breaker::{BreakerPolicy, BreakerSettings, Trials};
pub use outlier::{OutlierPolicy, OutlierSettings};
pub use proxy_protocol::ProxyProtocol;
pub use retry::{RepeatedMethod, RetriedStatus, RetryPolicy, RetrySettings};

/// The policy that picks an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalancePolicy {
    /// Of two drawn at random, the one with fewer requests in flight for its
    /// weight.
    #[default]
    LeastRequest,
    /// In turn, by weight, evenly spread.
    RoundRobin,
    /// At random, by weight.
    Random,
}

impl BalancePolicy {
    /// The word used in the config and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeastRequest => "least_request",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
        }
    }
}

/// What instances speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 over TLS, agreed on in the handshake (ALPN), to instances whose
    /// address begins with `https://`.
    H2,
    /// HTTP/2 in the clear, with prior knowledge, as gRPC has it without TLS.
    H2c,
}

impl Protocol {
    /// Whether requests share connections.
    #[must_use]
    pub const fn is_http2(self) -> bool {
        matches!(self, Self::H2 | Self::H2c)
    }
}

/// Timeouts towards the instances of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutSettings {
    /// To open a connection. Default 1s; then 504 `connect_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<HumanDuration>,
    /// From the whole request sent to the response head. Default 30s; then
    /// 504 `response_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<HumanDuration>,
    /// Without a byte of a body from either side. Default 60s; then
    /// `response_idle_timeout`, or 408 `request_body_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<HumanDuration>,
    /// For the whole request, to the last byte of the response. "0s" means no
    /// bound. Default 0s; then 504 `request_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<HumanDuration>,
    /// Without a byte through an upgraded connection. Default 1h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_idle: Option<HumanDuration>,
    /// For what is in flight on an instance when it leaves, requests, streams
    /// and upgraded connections; then it is cut, `drain_timeout`. "0s" means
    /// no bound. Default 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<HumanDuration>,
    /// In the queue of a service at its limit of concurrent requests.
    /// Default 1s; then 503 `queue_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<HumanDuration>,
}

/// Limits of a service. Each is a total over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Requests in flight at once. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// Requests that wait when `concurrency` is reached; the next one gets 503
    /// `overload`. As many may wait for an instance, see `hold`. Default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Bytes of a request body; a longer one gets 413 `request_too_large`.
    /// Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<ByteSize>,
}

/// What `[defaults]` and `[service.NAME]` can say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSettings {
    /// Fixed endpoints. Instances that register come on top.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Origin>,
    /// What instances speak. Default `http1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// How an endpoint is picked. Default `least_request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<BalancePolicy>,
    /// Health probes.
    pub health: HealthSettings,
    /// Timeouts.
    pub timeouts: TimeoutSettings,
    /// Limits.
    pub limits: LimitSettings,
    /// When a request is sent once more.
    pub retry: RetrySettings,
    /// Send the client's `Host` to the instance; if false, its address. One of
    /// `endpoints` that is named by `https://` and a DNS name is sent that name
    /// if nothing is said here, since it serves the name that it has a
    /// certificate for. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preserve_host: Option<bool>,
    /// The PROXY protocol header that stands before the first byte of each
    /// connection to an instance, and says for which client it is made; probes
    /// say that they are made for nobody. Such a connection is used again for
    /// the same connection of a client only. Default `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// When more than half of at least three instances fail together, keep
    /// sending to those that were healthy before: the probe may be what is
    /// broken. Set false for services that must fail closed. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panic: Option<bool>,
    /// How long a request waits for an instance when none is healthy, as while
    /// the only one restarts; then 503 `no_healthy_instance`. Default 0s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HumanDuration>,
    /// How long the share of an instance that is new, or back, grows to its
    /// full one, from a tenth of it. Default 0s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<HumanDuration>,
    /// Instances that fail or are slow.
    pub outlier: OutlierSettings,
    /// The circuit breaker.
    pub breaker: BreakerSettings,
    /// TLS towards instances whose address begins with `https://`.
    pub tls: ClientTlsSettings,
}

/// Timeouts with every value in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection.
    pub connect: Duration,
    /// From the whole request sent to the response head.
    pub response: Duration,
    /// Without a byte of a body from either side.
    pub idle: Duration,
    /// For the whole request; none if absent.
    pub request: Option<Duration>,
    /// Without a byte through an upgraded connection.
    pub tunnel_idle: Duration,
    /// For what is in flight on an instance that leaves; none if absent.
    pub drain: Option<Duration>,
    /// In the queue of a service at its limit.
    pub queue: Duration,
}

/// How a service is treated, with every value in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePolicy {
    /// What instances speak.
    pub protocol: Protocol,
    /// How an endpoint is picked.
    pub balance: BalancePolicy,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Requests in flight at once over all workers; no limit if absent.
    pub concurrency: Option<NonZeroU32>,
    /// Requests that wait at that limit, over all workers.
    pub queue: u32,
    /// Bytes of a request body; no limit if absent.
    pub body: Option<NonZeroU64>,
    /// Whether to send the client's `Host`; absent if that depends on the
    /// instance.
    pub preserve_host: Option<bool>,
    /// The header before the first byte of each connection.
    pub proxy_protocol: ProxyProtocol,
    /// When a request is sent once more.
    pub retry: RetryPolicy,
    /// Whether the panic threshold applies.
    pub panic: bool,
    /// How long a request waits for an instance; not at all if zero.
    pub hold: Duration,
    /// How long the share of an instance grows; not at all if zero.
    pub slow_start: Duration,
    /// When an instance is ejected.
    pub outlier: OutlierPolicy,
    /// The circuit breaker, if there is one.
    pub breaker: Option<BreakerPolicy>,
    /// TLS towards instances that speak it.
    pub tls: ClientTlsSettings,
}

impl ServiceSettings {
    /// These settings, gaps filled from `defaults`, then from the defaults of
    /// the docs.
    #[must_use]
    pub fn resolve(&self, defaults: &Self) -> ServicePolicy {
        let duration = |pick: fn(&TimeoutSettings) -> Option<HumanDuration>, default| {
            pick(&self.timeouts).or(pick(&defaults.timeouts)).map_or(default, Duration::from)
        };
        let request = duration(|timeouts| timeouts.request, Duration::ZERO);
        let drain = duration(|timeouts| timeouts.drain, Duration::from_secs(300));
        let body = self.limits.body.or(defaults.limits.body);
        ServicePolicy {
            protocol: self.protocol.or(defaults.protocol).unwrap_or_default(),
            balance: self.balance.or(defaults.balance).unwrap_or_default(),
            timeouts: Timeouts {
                connect: duration(|timeouts| timeouts.connect, Duration::from_secs(1)),
                response: duration(|timeouts| timeouts.response, Duration::from_secs(30)),
                idle: duration(|timeouts| timeouts.idle, Duration::from_secs(60)),
                request: (!request.is_zero()).then_some(request),
                tunnel_idle: duration(|timeouts| timeouts.tunnel_idle, Duration::from_secs(3600)),
                drain: (!drain.is_zero()).then_some(drain),
                queue: duration(|timeouts| timeouts.queue, Duration::from_secs(1)),
            },
            concurrency: self.limits.concurrency.or(defaults.limits.concurrency),
            queue: self.limits.queue.or(defaults.limits.queue).unwrap_or(100),
            body: body.and_then(|size| NonZeroU64::new(size.0)),
            preserve_host: self.preserve_host.or(defaults.preserve_host),
            proxy_protocol: self.proxy_protocol.or(defaults.proxy_protocol).unwrap_or_default(),
            retry: self.retry.resolve(&defaults.retry),
            panic: self.panic.or(defaults.panic).unwrap_or(true),
            hold: self.hold.or(defaults.hold).map_or(Duration::ZERO, Duration::from),
            slow_start: self.slow_start.or(defaults.slow_start).map_or(Duration::ZERO, Into::into),
            outlier: self.outlier.resolve(&defaults.outlier),
            breaker: self.breaker.resolve(&defaults.breaker),
            tls: self.tls.resolve(&defaults.tls),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Percent;

    #[test]
    fn defaults_are_those_of_the_docs() {
        let policy = ServiceSettings::default().resolve(&ServiceSettings::default());
        assert_eq!(policy.balance, BalancePolicy::LeastRequest);
        assert_eq!(policy.timeouts.connect, Duration::from_secs(1));
        assert_eq!(policy.timeouts.response, Duration::from_secs(30));
        assert_eq!(policy.timeouts.idle, Duration::from_secs(60));
        assert_eq!(policy.timeouts.request, None);
        assert_eq!(policy.timeouts.tunnel_idle, Duration::from_secs(3600));
        assert_eq!(policy.timeouts.drain, Some(Duration::from_secs(300)));
        assert_eq!(policy.timeouts.queue, Duration::from_secs(1));
        assert_eq!((policy.concurrency, policy.queue, policy.body), (None, 100, None));
        assert!(policy.preserve_host.is_none() && policy.panic);
        assert_eq!(policy.proxy_protocol, ProxyProtocol::Off);
        assert_eq!(policy.retry.attempts, 1);
        assert_eq!((policy.hold, policy.slow_start), (Duration::ZERO, Duration::ZERO));
        let outlier = &policy.outlier;
        assert!(outlier.connect_refused && !outlier.compares());
        assert_eq!((outlier.consecutive_failures, outlier.consecutive_5xx), (5, 0));
        assert_eq!((outlier.min_requests, outlier.max_ejected), (20, 50));
        assert_eq!(outlier.window, Duration::from_secs(10));
        assert_eq!(outlier.base_ejection, Duration::from_secs(10));
        assert_eq!(outlier.max_ejection, Duration::from_secs(300));
        assert_eq!(policy.breaker, None);
        let settings = BreakerSettings {
            failure_rate: Some(Percent::try_from(50).expect("a percentage")),
            ..BreakerSettings::default()
        };
        let breaker = settings.resolve(&BreakerSettings::default()).expect("a breaker");
        assert_eq!((breaker.min_requests, breaker.trials), (20, 3));
        assert_eq!(breaker.window, Duration::from_secs(10));
        assert_eq!(breaker.open, Duration::from_secs(5));
    }

    #[test]
    fn a_service_overrides_the_defaults_value_by_value() {
        let defaults = ServiceSettings {
            retry: RetrySettings { attempts: Some(0), ..Default::default() },
            timeouts: TimeoutSettings {
                connect: Some(HumanDuration::from_millis(100)),
                ..Default::default()
            },
            ..Default::default()
        };
        let retry = RetrySettings { attempts: Some(2), ..Default::default() };
        let service = ServiceSettings { retry, ..Default::default() };
        let policy = service.resolve(&defaults);
        assert_eq!(policy.retry.attempts, 2);
        assert_eq!(policy.timeouts.connect, Duration::from_millis(100));
    }
}
