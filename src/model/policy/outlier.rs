//! When an instance is taken out because of what requests saw of it.

use std::{num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{HumanDuration, Percent};

/// When an instance is taken out because of what requests saw of it, and for
/// how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutlierSettings {
    /// Take an instance out at the first connection that it refuses. One that
    /// is probed is probed at once and often, and back when a probe passes;
    /// any other is ejected. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_refused: Option<bool>,
    /// Eject after so many failures in a row: connections that fail, resets,
    /// timeouts, answers that are not HTTP or break off. 0 means never.
    /// Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<u32>,
    /// Eject after so many answers in a row with a status of 500 or more. 0
    /// means never. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_5xx: Option<u32>,
    /// Eject when the share of requests that succeed is so many percent points
    /// below the mean of the others; an answer of 500 or more is no success. 0
    /// means never. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_rate: Option<Percent>,
    /// Eject when the mean time to the first byte is more than so many times
    /// the median of the others, and 10ms above it. 0 means never. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<u32>,
    /// How far `success_rate` and `latency` look back. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<HumanDuration>,
    /// Requests that an instance must have had within the window to be
    /// compared; at least three instances must have had them. Default 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<NonZeroU32>,
    /// How long the first ejection takes; the second takes twice as long, and
    /// so on. An instance that has been well for as long as it was out is one
    /// ejection better. Default 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_ejection: Option<HumanDuration>,
    /// How long an ejection takes at most. Default 5m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ejection: Option<HumanDuration>,
    /// Percent of the healthy instances that may be ejected at once, rounded
    /// down; the last one never is. Default 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ejected: Option<Percent>,
}

/// The same with every value in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierPolicy {
    /// Whether the first refused connection takes an instance out.
    pub connect_refused: bool,
    /// Failures in a row; never if 0.
    pub consecutive_failures: u32,
    /// Answers of 500 and more in a row; never if 0.
    pub consecutive_5xx: u32,
    /// Percent points below the mean of the others; never if 0.
    pub success_rate: u8,
    /// Times the median of the others; never if 0.
    pub latency: u32,
    /// How far the two above look back.
    pub window: Duration,
    /// Requests within it that it takes to be compared.
    pub min_requests: u32,
    /// How long the first ejection takes.
    pub base_ejection: Duration,
    /// How long any takes at most.
    pub max_ejection: Duration,
    /// Percent of the healthy instances.
    pub max_ejected: u8,
}

impl OutlierPolicy {
    /// Whether instances are compared with each other.
    #[must_use]
    pub const fn compares(&self) -> bool {
        self.success_rate != 0 || self.latency != 0
    }
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        OutlierSettings::default().resolve(&OutlierSettings::default())
    }
}

impl OutlierSettings {
    /// These settings, gaps filled from `defaults`, then from the defaults of
    /// the docs.
    pub(super) fn resolve(&self, defaults: &Self) -> OutlierPolicy {
        let duration = |pick: fn(&Self) -> Option<HumanDuration>, default| {
            pick(self).or(pick(defaults)).map_or(default, Duration::from)
        };
        let percent = |pick: fn(&Self) -> Option<Percent>, default| {
            pick(self).or(pick(defaults)).map_or(default, Percent::value)
        };
        let count = |pick: fn(&Self) -> Option<u32>, default| {
            pick(self).or(pick(defaults)).unwrap_or(default)
        };
        OutlierPolicy {
            connect_refused: self.connect_refused.or(defaults.connect_refused).unwrap_or(true),
            consecutive_failures: count(|settings| settings.consecutive_failures, 5),
            consecutive_5xx: count(|settings| settings.consecutive_5xx, 0),
            success_rate: percent(|settings| settings.success_rate, 0),
            latency: count(|settings| settings.latency, 0),
            window: duration(|settings| settings.window, Duration::from_secs(10)),
            min_requests: count(|settings| settings.min_requests.map(NonZeroU32::get), 20),
            base_ejection: duration(|settings| settings.base_ejection, Duration::from_secs(10)),
            max_ejection: duration(|settings| settings.max_ejection, Duration::from_secs(300)),
            max_ejected: percent(|settings| settings.max_ejected, 50),
        }
    }
}
