//! Which endpoint is probed when: a queue ordered by due time, and how long
//! to wait from one probe to the next.
//!
//! Pure: time and chance are arguments. An endpoint stands in the queue at
//! most once, and not at all while it is being probed, so that a probe that
//! outlasts its interval never overlaps itself. All operations are O(log n).

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use crate::model::EndpointId;

/// The first wait of an instance that has not passed yet; each further
/// failure doubles it, up to the interval.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Intervals spread by this share to either side, so that instances that
/// registered together do not stay in step.
const JITTER: f64 = 0.1;

/// Endpoints by due time.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    queue: BTreeSet<(Instant, EndpointId)>,
    due: HashMap<EndpointId, Instant>,
}

impl Schedule {
    /// Makes `endpoint` due at `at`, in place of any earlier word.
    pub(super) fn set(&mut self, endpoint: EndpointId, at: Instant) {
        if let Some(before) = self.due.insert(endpoint, at) {
            self.queue.remove(&(before, endpoint));
        }
        self.queue.insert((at, endpoint));
    }

    /// Takes `endpoint` out of the queue, if it is in it.
    pub(super) fn cancel(&mut self, endpoint: EndpointId) {
        if let Some(at) = self.due.remove(&endpoint) {
            self.queue.remove(&(at, endpoint));
        }
    }

    /// When the next endpoint is due.
    pub(super) fn first(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out the endpoint that has been due the longest.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<EndpointId> {
        let (_, endpoint) = self.queue.first().copied().filter(|(at, _)| *at <= now)?;
        self.queue.pop_first();
        self.due.remove(&endpoint);
        Some(endpoint)
    }
}

/// The wait from one probe to the next: the interval, longer by the factor
/// `stretch` and spread by `random` (0 to 1).
pub(super) fn regular_wait(interval: Duration, stretch: f64, random: f64) -> Duration {
    interval.mul_f64(stretch * (1.0 - JITTER + 2.0 * JITTER * random))
}

/// The wait after the `failures`th failure of an instance that has not passed
/// yet, so that one that takes 300 ms to start is found soon after.
pub(super) fn starting_wait(
    failures: u32,
    interval: Duration,
    stretch: f64,
    random: f64,
) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    regular_wait(interval.min(FIRST_RETRY * (1 << doublings)), stretch, random)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::health::prober::tests::new_id;

    proptest! {
        #[test]
        fn takes_what_a_scan_for_the_least_due_time_takes(
            operations in prop::collection::vec((0_u8..4, 0_usize..8, 0_u64..50), 0..80),
        ) {
            let start = Instant::now();
            let ids: Vec<EndpointId> = std::iter::repeat_with(new_id).take(8).collect();
            let mut schedule = Schedule::default();
            let mut model = BTreeMap::new();
            for (operation, which, millis) in operations {
                let at = start + Duration::from_millis(millis);
                match operation {
                    0 | 1 => {
                        schedule.set(ids[which], at);
                        model.insert(ids[which], at);
                    }
                    2 => {
                        schedule.cancel(ids[which]);
                        model.remove(&ids[which]);
                    }
                    _ => {
                        let least = model.iter().map(|(id, at)| (*at, *id)).min();
                        let expected = least.filter(|(due, _)| *due <= at).map(|(_, id)| id);
                        prop_assert_eq!(schedule.take_due(at), expected);
                        expected.and_then(|id| model.remove(&id));
                    }
                }
                prop_assert_eq!(schedule.first(), model.values().min().copied());
            }
        }
    }

    #[test]
    fn intervals_stretch_and_spread() {
        let second = Duration::from_secs(1);
        assert_eq!(regular_wait(second, 1.0, 0.5), second);
        assert_eq!(regular_wait(second, 3.0, 0.5), 3 * second);
        assert_eq!(regular_wait(second, 1.0, 0.0), Duration::from_millis(900));
        assert_eq!(regular_wait(second, 1.0, 1.0), Duration::from_millis(1100));
    }

    #[test]
    fn a_starting_instance_is_asked_at_doubling_waits_up_to_the_interval() {
        let wait = |failures| starting_wait(failures, Duration::from_secs(2), 1.0, 0.5);
        let waits = [1, 2, 3, 4, 5, 6, u32::MAX].map(|failures| wait(failures).as_millis());
        assert_eq!(waits, [100, 200, 400, 800, 1600, 2000, 2000]);
    }
}
