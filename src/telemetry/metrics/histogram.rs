//! Histograms of durations with fixed buckets.
//!
//! Placement compares whole nanoseconds and is identical to a linear search
//! for the first bound that is not below the value (`le` includes its bound).

use std::time::Duration;

use super::counter::Counter;

/// Upper bounds for durations of requests, in nanoseconds: those that
/// OpenTelemetry advises, and three finer ones for a proxy.
pub(super) const REQUEST_BOUNDS: [u64; 17] = micros([
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
]);

/// Upper bounds for time spent in the proxy itself, in nanoseconds.
pub(super) const OVERHEAD_BOUNDS: [u64; 12] =
    micros([10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000]);

/// Upper bounds for commits of the registry's store, in nanoseconds.
pub(super) const COMMIT_BOUNDS: [u64; 13] = micros([
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
]);

const fn micros<const N: usize>(mut bounds: [u64; N]) -> [u64; N] {
    let mut index = 0;
    while index < N {
        bounds[index] *= 1_000;
        index += 1;
    }
    bounds
}

/// A histogram over `N` bounds, with one writer.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    counts: [Counter; N],
    /// Values above the last bound.
    above: Counter,
    /// In nanoseconds; wraps after 584 years of waiting.
    sum: Counter,
}

impl<const N: usize> Histogram<N> {
    pub(super) fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            counts: std::array::from_fn(|_| Counter::default()),
            above: Counter::default(),
            sum: Counter::default(),
        }
    }

    pub(super) fn record(&self, took: Duration) {
        // Not `as_nanos`: that is 128 bits wide.
        let nanos =
            took.as_secs().saturating_mul(1_000_000_000).saturating_add(took.subsec_nanos().into());
        let place = self.bounds.partition_point(|bound| *bound < nanos);
        self.counts.get(place).unwrap_or(&self.above).increment();
        self.sum.add(nanos);
    }
}

/// Histograms of several shards added up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Distribution {
    /// Upper bound in seconds, and the count of this bucket alone.
    pub(super) buckets: Vec<(f64, u64)>,
    /// Of all values, in seconds.
    pub(super) sum: f64,
}

impl Distribution {
    /// The sum of the shards; none if there are none.
    pub(super) fn of<'a, const N: usize>(
        shards: impl Iterator<Item = &'a Histogram<N>>,
    ) -> Option<Self> {
        let mut bounds = None;
        let mut counts = [0; N];
        let (mut above, mut sum) = (0, 0);
        for shard in shards {
            bounds = Some(shard.bounds);
            for (total, count) in counts.iter_mut().zip(&shard.counts) {
                *total += count.value();
            }
            above += shard.above.value();
            sum += shard.sum.value();
        }
        let seconds = bounds?.iter().map(|nanos| *nanos as f64 / 1e9);
        let buckets = seconds.zip(counts).chain([(f64::INFINITY, above)]).collect();
        Some(Self { buckets, sum: sum as f64 / 1e9 })
    }

    /// How many values there are.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place_of(took: Duration) -> usize {
        let histogram = Histogram::new(&REQUEST_BOUNDS);
        histogram.record(took);
        let distribution = Distribution::of([&histogram].into_iter()).expect("one shard");
        assert_eq!(distribution.count(), 1);
        distribution.buckets.iter().position(|(_, count)| *count == 1).expect("one value")
    }

    fn naive_place_of(took: Duration) -> usize {
        let bounds = [
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5,
            5.0, 7.5, 10.0,
        ];
        bounds
            .iter()
            .position(|bound| took <= Duration::from_secs_f64(*bound))
            .unwrap_or(bounds.len())
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        for bound in REQUEST_BOUNDS {
            for nanos in [bound - 1, bound, bound + 1] {
                let took = Duration::from_nanos(nanos);
                assert_eq!(place_of(took), naive_place_of(took), "{took:?}");
            }
        }
        assert_eq!(place_of(Duration::ZERO), 0);
        assert_eq!(place_of(Duration::MAX), REQUEST_BOUNDS.len());
    }

    proptest! {
        #[test]
        fn placement_is_that_of_a_linear_search(nanos in 0_u64..20_000_000_000) {
            let took = Duration::from_nanos(nanos);
            prop_assert_eq!(place_of(took), naive_place_of(took));
        }
    }

    #[test]
    fn shards_add_up() {
        let shards = [Histogram::new(&REQUEST_BOUNDS), Histogram::new(&REQUEST_BOUNDS)];
        shards[0].record(Duration::from_millis(1));
        shards[1].record(Duration::from_millis(1));
        shards[1].record(Duration::from_secs(60));
        let sum = Distribution::of(shards.iter()).expect("two shards");
        assert_eq!((sum.count(), sum.buckets[1], sum.sum), (3, (0.001, 2), 60.002));
        assert_eq!(sum.buckets.last(), Some(&(f64::INFINITY, 1)));
    }
}
