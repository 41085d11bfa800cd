//! How long a source waits before it tries again.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// After so long without a failure, the next one counts as the first: one try
/// in that time is nothing that a peer would have to be spared.
const WELL: Duration = Duration::from_secs(10);

/// Full jitter: each wait is anything up to a bound that doubles from 100 ms
/// to 30 s, so that many who lost the same peer do not come back at once.
#[derive(Debug)]
pub struct Backoff {
    bound: Duration,
    /// When the last wait is over.
    until: Option<Instant>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { bound: FIRST, until: None }
    }
}

impl Backoff {
    /// The time to wait after a failure now.
    pub fn failed(&mut self) -> Duration {
        let now = Instant::now();
        if self.until.is_some_and(|until| now.duration_since(until) > WELL) {
            self.bound = FIRST;
        }
        let wait = self.bound.mul_f64(fastrand::f64());
        self.until = Some(now + wait);
        self.bound = (self.bound * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_and_begin_anew_after_a_while_of_health() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            let bound = backoff.bound;
            let wait = backoff.failed();
            assert!(wait <= bound && bound <= LONGEST, "{wait:?} of {bound:?}");
            tokio::time::sleep(wait).await;
        }
        assert_eq!(backoff.bound, LONGEST);
        tokio::time::sleep(WELL + Duration::from_secs(1)).await;
        assert!(backoff.failed() <= FIRST);
    }
}
