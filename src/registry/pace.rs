//! How long commits took lately.

use std::{collections::VecDeque, time::Duration};

/// Commits that are remembered.
const REMEMBERED: usize = 1000;

/// The last commits, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Duration>);

/// How long the last thousand commits took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitTimes {
    /// Half of them were not slower.
    pub median: Duration,
    /// 99 of 100 were not slower.
    pub p99: Duration,
}

impl Pace {
    pub(super) fn record(&mut self, took: Duration) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(took);
    }

    /// None before the first.
    pub(super) fn times(&self) -> Option<CommitTimes> {
        let mut sorted: Vec<_> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let quantile =
            |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1);
        Some(CommitTimes { median: *quantile(50)?, p99: *quantile(99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Option<[u128; 2]> {
        let mut pace = Pace::default();
        milliseconds.into_iter().for_each(|took| pace.record(Duration::from_millis(took)));
        pace.times().map(|times| [times.median, times.p99].map(|took| took.as_millis()))
    }

    #[test]
    fn quantiles_are_those_of_the_last_thousand() {
        assert_eq!(of([]), None);
        assert_eq!(of([7]), Some([7, 7]));
        assert_eq!(of((1..=100).rev()), Some([50, 99]));
        assert_eq!(of((0..5000).chain(1..=1000)), Some([500, 990]));
    }
}
