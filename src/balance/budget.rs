//! How many requests of a service may be sent once more, over all workers.
//!
//! Without a bound, instances that fail because there is too much to do get
//! twice as much to do. Each worker counts the requests of a second in memory
//! of its own, with a load and a store; only who asks for a retry adds them
//! up, and only such write to what is shared. Nothing here locks.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// The seconds that are looked back on, the current one included.
const WINDOW: u32 = 10;

/// More than [`WINDOW`], so that a second is not overwritten while it counts.
const SLOTS: u32 = 16;

/// How many requests of a service may be sent once more, over all workers.
#[derive(Debug)]
pub struct RetryBudget {
    begun: Instant,
    /// Of each worker, made when it first counts.
    requests: Box<[OnceLock<Box<Seconds>>]>,
    retries: Seconds,
}

/// Counts of the last seconds. A slot holds the second in its upper half and
/// the count in its lower, so that the two never disagree.
#[derive(Debug, Default)]
#[repr(align(64))] // those of two workers never share a cache line
struct Seconds([AtomicU64; SLOTS as usize]);

impl RetryBudget {
    /// Nothing counted yet, to be counted by `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            begun: Instant::now(),
            requests: (0..workers).map(|_| OnceLock::new()).collect(),
            retries: Seconds::default(),
        }
    }

    /// Counts a request that is sent for the first time, `at` about now. Only
    /// the worker of that number may call this.
    ///
    /// # Panics
    ///
    /// If there is no worker of that number.
    pub fn count(&self, worker: usize, at: Instant) {
        self.requests[worker].get_or_init(Box::default).count(self.second(at));
    }

    /// Whether a request may be sent once more, `now`; counts it if so. At
    /// most `floor` may each second, or `percent` of the requests of the last
    /// ten seconds, whichever is more.
    #[must_use]
    pub fn take(&self, percent: u8, floor: u32, now: Instant) -> bool {
        let second = self.second(now);
        // Counted first, then judged: two at once may both be refused, but
        // never both be let through where there was room for one.
        if self.retries.add(second) <= floor {
            return true;
        }
        let requests = self.requests.iter().filter_map(OnceLock::get);
        let requests: u64 = requests.map(|seconds| seconds.sum(second)).sum();
        if self.retries.sum(second) * 100 <= requests * u64::from(percent) {
            return true;
        }
        self.retries.remove(second);
        false
    }

    fn second(&self, at: Instant) -> u32 {
        // From 1, since an empty slot says 0. In 136 years retries get cheap.
        let seconds = at.saturating_duration_since(self.begun).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX - WINDOW).saturating_add(1)
    }
}

const fn split(slot: u64) -> (u32, u32) {
    ((slot >> 32) as u32, slot as u32)
}

const fn join(second: u32, count: u32) -> u64 {
    (second as u64) << 32 | count as u64
}

/// The slot with one more in `second`. Who is late, its second overwritten,
/// counts in the one that is there.
const fn more(slot: u64, second: u32) -> u64 {
    match split(slot) {
        (stamp, count) if stamp >= second => join(stamp, count.saturating_add(1)),
        _ => join(second, 1),
    }
}

impl Seconds {
    fn slot(&self, second: u32) -> &AtomicU64 {
        &self.0[(second % SLOTS) as usize]
    }

    /// Counts one in `second`. For a single writer.
    fn count(&self, second: u32) {
        let slot = self.slot(second);
        slot.store(more(slot.load(Ordering::Relaxed), second), Ordering::Relaxed);
    }

    /// Counts one in `second`, whoever else does. Answers with the count.
    fn add(&self, second: u32) -> u32 {
        let slot = self.slot(second);
        let mut old = slot.load(Ordering::Relaxed);
        loop {
            let new = more(old, second);
            match slot.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return split(new).1,
                Err(current) => old = current,
            }
        }
    }

    /// Takes back what [`Self::add`] counted.
    fn remove(&self, second: u32) {
        let _ = self.slot(second).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slot| {
            let (stamp, count) = split(slot);
            (stamp == second).then(|| join(stamp, count.saturating_sub(1)))
        });
    }

    /// What was counted in the seconds up to `now`.
    fn sum(&self, now: u32) -> u64 {
        let slots = self.0.iter().map(|slot| split(slot.load(Ordering::Relaxed)));
        let recent = slots.filter(|(stamp, _)| stamp.saturating_add(WINDOW) > now);
        recent.map(|(_, count)| u64::from(count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

    fn after(budget: &RetryBudget, seconds: u64) -> Instant {
        budget.begun + Duration::from_secs(seconds)
    }

    /// How many of `asked` retries are let through at `now`.
    fn taken(budget: &RetryBudget, percent: u8, floor: u32, asked: u32, now: Instant) -> u32 {
        (0..asked).map(|_| u32::from(budget.take(percent, floor, now))).sum()
    }

    #[test]
    fn the_floor_is_there_each_second() {
        let budget = RetryBudget::new(1);
        for second in 0..100 {
            assert_eq!(taken(&budget, 20, 10, 50, after(&budget, second)), 10, "{second}");
        }
        assert_eq!(taken(&budget, 20, 0, 50, after(&budget, 200)), 0);
    }

    #[test]
    fn a_share_of_the_requests_of_ten_seconds_is_there() {
        let budget = RetryBudget::new(2);
        for second in 0..20 {
            for number in 0..100 {
                budget.count(number % 2, after(&budget, second));
            }
        }
        // 1,000 requests in the last ten seconds.
        assert_eq!(taken(&budget, 20, 10, 500, after(&budget, 19)), 200);
        assert_eq!(taken(&budget, 20, 0, 500, after(&budget, 19)), 0);
        // A second later one tenth of the requests is forgotten, and nothing
        // of what was taken.
        assert_eq!(taken(&budget, 20, 0, 500, after(&budget, 20)), 0);
        // Once what was taken is forgotten, so are the requests.
        assert_eq!(taken(&budget, 20, 0, 500, after(&budget, 29)), 0);
    }

    #[test]
    fn the_floor_is_part_of_the_share_and_not_on_top() {
        let budget = RetryBudget::new(1);
        let now = after(&budget, 3);
        for _ in 0..100 {
            budget.count(0, now);
        }
        assert_eq!(taken(&budget, 20, 10, 500, now), 20);
        let budget = RetryBudget::new(1);
        for _ in 0..10 {
            budget.count(0, now);
        }
        assert_eq!(taken(&budget, 20, 10, 500, now), 10);
    }

    #[test]
    fn a_gap_of_any_length_empties_the_window() {
        let budget = RetryBudget::new(1);
        for _ in 0..100 {
            budget.count(0, after(&budget, 5));
        }
        for later in [15, 21, 37, 1000, u64::from(u32::MAX) + 7] {
            assert_eq!(taken(&budget, 100, 0, 1, after(&budget, later)), 0, "{later}");
        }
        let now = after(&budget, 5 + 16);
        budget.count(0, now);
        assert_eq!(taken(&budget, 100, 0, 9, now), 1);
    }

    #[test]
    fn all_workers_together_get_no_more_than_one() {
        let budget = Arc::new(RetryBudget::new(4));
        let now = after(&budget, 1);
        let taken: u32 = thread::scope(|scope| {
            let ask = |worker| {
                let budget = Arc::clone(&budget);
                move || {
                    for _ in 0..1000 {
                        budget.count(worker, now);
                    }
                    taken(&budget, 20, 10, 1000, now)
                }
            };
            let threads: Vec<_> = (0..4).map(|worker| scope.spawn(ask(worker))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert!((10..=800).contains(&taken), "{taken}");
        let rest = super::tests::taken(&budget, 20, 10, 1000, now);
        assert_eq!(taken + rest, 800);
    }
}
