//! What all probes together may cost: so many begun a second, so many at once.
//!
//! Pure. [`Pace`] spaces out the starts, [`Load`] knows by how much intervals
//! must grow for the demand to fit, so that the queue does not fall behind
//! without bound and `status` can say what is going on.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

use super::ProberSettings;

/// Probes that may begin back to back after a pause. A handful of
/// registrations is probed at once; a restart with thousands is spread out.
const BURST: u32 = 64;

/// Spaces out starts (the generic cell rate algorithm: one instant is all the
/// state there is).
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    spacing: Duration,
    tolerance: Duration,
    /// When the bucket would be full again.
    full_at: Instant,
}

impl Pace {
    /// At most `per_second` starts a second after a first burst.
    pub(super) fn new(per_second: NonZeroU32, now: Instant) -> Self {
        let spacing = Duration::from_secs(1) / per_second.get();
        let burst = BURST.min(per_second.get());
        Self { spacing, tolerance: spacing * (burst - 1), full_at: now }
    }

    /// The same history at another rate.
    pub(super) fn at_rate(self, per_second: NonZeroU32, now: Instant) -> Self {
        Self { full_at: self.full_at, ..Self::new(per_second, now) }
    }

    /// When the next start is allowed; in the past if it is now.
    pub(super) fn ready_at(&self) -> Instant {
        self.full_at.checked_sub(self.tolerance).unwrap_or(self.full_at)
    }

    /// Takes one start, if it is allowed at `now`.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        if self.ready_at() > now {
            return false;
        }
        self.full_at = self.full_at.max(now) + self.spacing;
        true
    }
}

/// How many probes a second the configured intervals ask for, and how long
/// one takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// In probes per 10^18 seconds: whole numbers add and subtract exactly.
    demand: u128,
    mean_took: f64,
}

impl Load {
    const SCALE: u128 = 1_000_000_000_000_000_000;
    const NANOS: u128 = 1_000_000_000;
    /// The weight of one probe in the mean.
    const WEIGHT: f64 = 0.02;

    /// Counts in an endpoint probed at `interval`.
    pub(super) fn add(&mut self, interval: Duration) {
        self.demand += Self::share(interval);
    }

    /// Counts out an endpoint that was counted in with the same interval.
    pub(super) fn remove(&mut self, interval: Duration) {
        self.demand = self.demand.saturating_sub(Self::share(interval));
    }

    /// Learns how long a probe took.
    pub(super) fn learn(&mut self, took: Duration) {
        self.mean_took += Self::WEIGHT * (took.as_secs_f64() - self.mean_took);
    }

    /// How much longer than configured intervals must be for the demand to
    /// fit the bounds: 1.0 if it fits as it is.
    pub(super) fn stretch(&self, settings: &ProberSettings) -> f64 {
        let per_second = self.demand as f64 / Self::SCALE as f64;
        let by_rate = per_second / f64::from(settings.max_per_second.get());
        // Little's law: starts a second times seconds each is how many are in
        // flight.
        let by_count = per_second * self.mean_took / f64::from(settings.max_concurrent.get());
        by_rate.max(by_count).max(1.0)
    }

    fn share(interval: Duration) -> u128 {
        Self::SCALE * Self::NANOS / interval.as_nanos().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(max_per_second: u32, max_concurrent: u32) -> ProberSettings {
        let number = |value| NonZeroU32::new(value).expect("not zero");
        ProberSettings {
            max_per_second: number(max_per_second),
            max_concurrent: number(max_concurrent),
        }
    }

    fn taken(pace: &mut Pace, now: Instant) -> usize {
        std::iter::repeat_with(|| pace.take(now)).take_while(|taken| *taken).count()
    }

    #[test]
    fn a_burst_is_followed_by_the_configured_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(settings(1000, 1).max_per_second, start);
        assert_eq!(taken(&mut pace, start), 64);
        assert_eq!(taken(&mut pace, start + Duration::from_millis(10)), 10);
        assert_eq!(taken(&mut pace, start + Duration::from_millis(20)), 10);
        assert_eq!(taken(&mut pace, start + Duration::from_secs(60)), 64);
    }

    #[test]
    fn one_a_second_is_one_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(settings(1, 1).max_per_second, start);
        assert_eq!(taken(&mut pace, start), 1);
        assert_eq!(taken(&mut pace, start + Duration::from_millis(999)), 0);
        assert_eq!(pace.ready_at(), start + Duration::from_secs(1));
        assert_eq!(taken(&mut pace, start + Duration::from_secs(1)), 1);
    }

    #[test]
    fn a_new_rate_does_not_give_a_second_burst() {
        let start = Instant::now();
        let rate = settings(1000, 1).max_per_second;
        let mut pace = Pace::new(rate, start);
        assert_eq!(taken(&mut pace, start), 64);
        assert_eq!(taken(&mut pace.at_rate(rate, start), start), 0);
    }

    #[test]
    fn intervals_stretch_only_when_the_demand_does_not_fit() {
        let mut load = Load::default();
        let second = Duration::from_secs(1);
        (0..100).for_each(|_| load.add(5 * second));
        assert_eq!(load.stretch(&settings(20, 10)), 1.0);
        assert_eq!(load.stretch(&settings(10, 10)), 2.0);
        (0..1000).for_each(|_| load.learn(2 * second));
        let stretch = load.stretch(&settings(20, 10));
        assert!((stretch - 4.0).abs() < 0.01, "20 a second of 2 s each need 40 at once: {stretch}");
        (0..100).for_each(|_| load.remove(5 * second));
        assert_eq!(load.stretch(&settings(1, 1)), 1.0);
    }
}
