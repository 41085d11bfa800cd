//! Passive health: which instances are ejected because of what requests saw of
//! them, and for how long.
//!
//! Pure: counts and time are arguments, and who is ejected is said and not
//! done. An ejection is no state of an instance: it is an attribute beside it,
//! and ends by itself.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::model::{EjectionCause, HumanDuration, OutlierPolicy, Tally};

/// With fewer than this, "the others" mean nothing.
const FEWEST: usize = 3;

/// An instance that is slower than the others by less is not slow.
const SLOWER_BY: Duration = Duration::from_millis(10);

/// Why and until when an instance is ejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// When it ends.
    pub until: Instant,
    /// Why.
    pub cause: EjectionCause,
    /// Why, for a person: `5 failures in a row`.
    pub detail: String,
}

/// Where an instance stands with us.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    ejection: Option<Ejection>,
    /// Ejections so far, less those that are made up for.
    times: u32,
    /// Since when it has been well, if it ever was not.
    well_since: Option<Instant>,
}

impl Standing {
    /// The ejection, if it is ejected.
    #[must_use]
    pub const fn ejection(&self) -> Option<&Ejection> {
        self.ejection.as_ref()
    }

    /// One that goes on where another process left it: ejected for `left`, if
    /// it was.
    #[must_use]
    pub fn resume(
        times: u32,
        ejection: Option<(EjectionCause, String, Duration)>,
        now: Instant,
    ) -> Self {
        let ejection =
            ejection.map(|(cause, detail, left)| Ejection { until: now + left, cause, detail });
        let well_since = (times > 0 && ejection.is_none()).then_some(now);
        Self { ejection, times, well_since }
    }

    /// How often it was ejected, less what it has made up for.
    #[must_use]
    pub const fn times(&self) -> u32 {
        self.times
    }

    /// Ejects it, and says for how long: `base_ejection` times how often it was
    /// ejected before and now, at most `max_ejection`.
    pub fn eject(
        &mut self,
        cause: EjectionCause,
        detail: String,
        policy: &OutlierPolicy,
        now: Instant,
    ) -> Duration {
        self.make_up(policy, now);
        self.times = self.times.saturating_add(1);
        let length = length(self.times, policy);
        self.ejection = Some(Ejection { until: now + length, cause, detail });
        length
    }

    /// Forgets all that was held against it; an ejection is over `now`.
    pub fn pardon(&mut self, now: Instant) {
        self.times = 0;
        if let Some(ejection) = &mut self.ejection {
            ejection.until = now;
        }
    }

    /// Ends an ejection whose time is over, and says whether there was one.
    pub fn end(&mut self, now: Instant) -> bool {
        let ended = self.ejection.take_if(|ejection| ejection.until <= now).is_some();
        if ended {
            self.well_since = Some(now);
        }
        ended
    }

    /// Takes back one ejection for each time that it was well for as long as
    /// that ejection took.
    fn make_up(&mut self, policy: &OutlierPolicy, now: Instant) {
        let Some(mut since) = self.well_since.take() else { return };
        while self.times > 0 && now.saturating_duration_since(since) >= length(self.times, policy) {
            since += length(self.times, policy);
            self.times -= 1;
        }
    }
}

fn length(times: u32, policy: &OutlierPolicy) -> Duration {
    // Never nothing, or it would be made up for in no time.
    let base = policy.base_ejection.max(Duration::from_millis(1));
    base.saturating_mul(times).min(policy.max_ejection.max(base))
}

/// Whether one more of `healthy` instances may be ejected when `ejected` of
/// them are: within the share that may be, and never the last one.
#[must_use]
pub const fn may_eject(healthy: usize, ejected: usize, policy: &OutlierPolicy) -> bool {
    healthy > ejected + 1 && (ejected + 1) * 100 <= healthy * policy.max_ejected as usize
}

/// What happened lately to one instance: a look at its sums each second, as far
/// back as it matters.
#[derive(Clone, Debug, Default)]
pub struct Window(VecDeque<(Instant, Tally)>);

impl Window {
    /// Takes a look, and answers with what happened within `reach`.
    pub fn look(&mut self, tally: Tally, reach: Duration, now: Instant) -> Tally {
        self.0.push_back((now, tally));
        // The oldest one kept is the youngest that is not within reach.
        while self.0.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= reach) {
            self.0.pop_front();
        }
        self.0.front().map_or_else(Tally::default, |(_, before)| tally.since(*before))
    }

    /// Forgets what happened.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

/// Compares instances by what happened to them within the window, and says
/// which of them stands out, and by what: the worst one of each kind, since the
/// others look different without it.
#[must_use]
pub fn outliers(policy: &OutlierPolicy, recent: &[Tally]) -> Vec<(usize, EjectionCause, String)> {
    let mut found = Vec::new();
    if policy.success_rate > 0 {
        found.extend(least_successful(policy, recent));
    }
    if policy.latency > 0 {
        found.extend(
            slowest(policy, recent)
                .filter(|(index, ..)| found.iter().all(|(other, ..)| other != index)),
        );
    }
    found
}

fn least_successful(
    policy: &OutlierPolicy,
    recent: &[Tally],
) -> Option<(usize, EjectionCause, String)> {
    let enough = |tally: &Tally| tally.ended >= u64::from(policy.min_requests.max(1));
    let rate = |tally: &Tally| (tally.ended - tally.failed) as f64 * 100.0 / tally.ended as f64;
    let rates: Vec<(usize, f64)> = recent
        .iter()
        .enumerate()
        .filter(|(_, tally)| enough(tally))
        .map(|(index, tally)| (index, rate(tally)))
        .collect();
    if rates.len() < FEWEST {
        return None;
    }
    let (index, worst) = rates.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let sum: f64 = rates.iter().map(|(_, rate)| rate).sum();
    let others = (sum - worst) / (rates.len() - 1) as f64;
    (worst < others - f64::from(policy.success_rate)).then(|| {
        let detail = format!("{worst:.0} % of its requests succeed, {others:.0} % with the others");
        (index, EjectionCause::SuccessRate, detail)
    })
}

fn slowest(policy: &OutlierPolicy, recent: &[Tally]) -> Option<(usize, EjectionCause, String)> {
    let enough = |tally: &Tally| tally.timed >= u64::from(policy.min_requests.max(1));
    let mean = |tally: &Tally| tally.first_byte.div_f64(tally.timed as f64);
    let mut means: Vec<(Duration, usize)> = recent
        .iter()
        .enumerate()
        .filter(|(_, tally)| enough(tally))
        .map(|(index, tally)| (mean(tally), index))
        .collect();
    if means.len() < FEWEST {
        return None;
    }
    means.sort_unstable();
    let (worst, index) = means.pop()?;
    let median = means[means.len() / 2].0;
    (worst > median.saturating_mul(policy.latency) && worst > median + SLOWER_BY).then(|| {
        let shown = |time: Duration| HumanDuration(Duration::from_millis(millis(time)));
        let detail = format!("{} to the first byte, the others {}", shown(worst), shown(median));
        (index, EjectionCause::Latency, detail)
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
