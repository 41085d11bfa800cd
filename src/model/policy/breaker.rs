//! When a service as a whole is given a rest.

use std::{num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{HumanDuration, Percent};

/// When a service that fails is given a rest. While the circuit is open,
/// requests get 503 `circuit_open` at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// Percent of requests that have to fail for the circuit to open; an answer
    /// of 500 or more is a failure too. 0 means no circuit breaker. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<Percent>,
    /// Requests within the window before the share of failures means
    /// anything. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<NonZeroU32>,
    /// How far the share of failures looks back. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<HumanDuration>,
    /// How long the circuit stays open. Default 5s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<HumanDuration>,
    /// Requests that are let through after that, over all workers. If all of
    /// them succeed the circuit closes, if one fails it opens again. Default 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<Trials>,
}

/// How many requests try out a service, 1 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u16", into = "u16")]
#[schemars(extend("minimum" = 1, "maximum" = 1000))]
pub struct Trials(u16);

impl TryFrom<u16> for Trials {
    type Error = String;
    fn try_from(number: u16) -> Result<Self, Self::Error> {
        if (1..=1000).contains(&number) {
            Ok(Self(number))
        } else {
            Err(format!("{number} trials are not from 1 to 1000"))
        }
    }
}

impl From<Trials> for u16 {
    fn from(trials: Trials) -> Self {
        trials.0
    }
}

/// The same with every value in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Percent of requests that have to fail, 1 to 100.
    pub failure_rate: u8,
    /// Requests within the window that it takes.
    pub min_requests: u32,
    /// How far it looks back.
    pub window: Duration,
    /// How long it stays open.
    pub open: Duration,
    /// Requests that are let through then, 1 to 1000.
    pub trials: u16,
}

impl BreakerSettings {
    /// These settings, gaps filled from `defaults`, then from the defaults of
    /// the docs; none if there is to be no breaker.
    pub(super) fn resolve(&self, defaults: &Self) -> Option<BreakerPolicy> {
        let duration = |pick: fn(&Self) -> Option<HumanDuration>, default| {
            pick(self).or(pick(defaults)).map_or(default, Duration::from)
        };
        let rate = self.failure_rate.or(defaults.failure_rate).map_or(0, Percent::value);
        (rate > 0).then(|| BreakerPolicy {
            failure_rate: rate,
            min_requests: self.min_requests.or(defaults.min_requests).map_or(20, Into::into),
            window: duration(|settings| settings.window, Duration::from_secs(10)),
            open: duration(|settings| settings.open, Duration::from_secs(5)),
            trials: self.trials.or(defaults.trials).map_or(3, Into::into),
        })
    }
}
