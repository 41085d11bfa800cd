//! What requests saw of an instance, counted as they end.
//!
//! Workers use relaxed atomics and write no more than they must: a request that
//! ends well loads three words. Who fails often enough, or refuses a
//! connection, raises an alarm: a bounded queue takes the id of the endpoint,
//! once until the control plane has looked, and drops it when it is full, since
//! the next failure raises it again. What follows from all this is decided in
//! `health::outlier`.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{EndpointId, OutlierPolicy};

/// Why an instance was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EjectionCause {
    /// It refused a connection, and no probe can decide whether it is back.
    ConnectRefused,
    /// So many requests failed in a row.
    ConsecutiveFailures,
    /// So many answers in a row had a status of 500 or more.
    Consecutive5xx,
    /// Fewer requests succeed than with the others.
    SuccessRate,
    /// It is slower than the others.
    Latency,
}

impl EjectionCause {
    /// Every cause, in the order of the docs.
    pub const ALL: [Self; 5] = [
        Self::ConnectRefused,
        Self::ConsecutiveFailures,
        Self::Consecutive5xx,
        Self::SuccessRate,
        Self::Latency,
    ];

    /// The word used in the config, the API and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::Consecutive5xx => "consecutive_5xx",
            Self::SuccessRate => "success_rate",
            Self::Latency => "latency",
        }
    }
}

/// What an endpoint asks the control plane to look at: some of three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarms(u8);

impl Alarms {
    const REFUSED: u8 = 1;
    const FAILURES: u8 = 2;
    const SERVER_ERRORS: u8 = 4;

    /// Whether a connection was refused.
    #[must_use]
    pub const fn refused(self) -> bool {
        self.0 & Self::REFUSED != 0
    }

    /// Whether too many requests failed in a row.
    #[must_use]
    pub const fn failures(self) -> bool {
        self.0 & Self::FAILURES != 0
    }

    /// Whether too many answers in a row were server errors.
    #[must_use]
    pub const fn server_errors(self) -> bool {
        self.0 & Self::SERVER_ERRORS != 0
    }

    /// Those that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Sums since an endpoint was made. What happened in between is the difference
/// of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that ended with an answer, or failed.
    pub ended: u64,
    /// Those that failed, or were answered with a status of 500 or more.
    pub failed: u64,
    /// Answers whose time is in [`Self::first_byte`].
    pub timed: u64,
    /// Time from sending a request to the head of its answer, over all of them.
    pub first_byte: Duration,
}

impl Tally {
    /// What happened since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            ended: self.ended.saturating_sub(before.ended),
            failed: self.failed.saturating_sub(before.failed),
            timed: self.timed.saturating_sub(before.timed),
            first_byte: self.first_byte.saturating_sub(before.first_byte),
        }
    }
}

/// What requests saw of one instance.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// Failures without a success in between.
    failures: AtomicU32,
    /// Whether answers are counted: somebody compares them with others.
    compared: AtomicBool,
    /// Answers of 500 and more without another one in between.
    server_errors: AtomicU32,
    /// How many in a row raise an alarm; none if 0.
    most_failures: AtomicU32,
    most_server_errors: AtomicU32,
    /// Whether a refused connection does.
    minds_refusal: AtomicBool,
    /// Alarms that were raised and not yet looked at.
    raised: AtomicU8,
    answered: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
    bell: OnceLock<(EndpointId, mpsc::Sender<EndpointId>)>,
}

impl Outcomes {
    /// Where alarms of `endpoint` go. Only the first word counts.
    pub fn ring(&self, endpoint: EndpointId, bell: mpsc::Sender<EndpointId>) {
        let _ = self.bell.set((endpoint, bell));
    }

    /// Says from when on there is alarm, and what is counted.
    pub fn configure(&self, policy: &OutlierPolicy) {
        self.most_failures.store(policy.consecutive_failures, Relaxed);
        self.most_server_errors.store(policy.consecutive_5xx, Relaxed);
        self.minds_refusal.store(policy.connect_refused, Relaxed);
        self.compared.store(policy.compares(), Relaxed);
    }

    /// Counts a request that the instance failed.
    pub fn failed(&self, refused: bool) {
        if self.compared.load(Relaxed) {
            self.failed.fetch_add(1, Relaxed);
        }
        let streak = self.failures.fetch_add(1, Relaxed).wrapping_add(1);
        let mut alarms = 0;
        if refused && self.minds_refusal.load(Relaxed) {
            alarms |= Alarms::REFUSED;
        }
        if is_reached(streak, &self.most_failures) {
            alarms |= Alarms::FAILURES;
        }
        self.raise(alarms);
    }

    /// Counts the head of an answer, `first_byte` after the request was sent.
    pub fn answered(&self, status: u16, first_byte: Duration) {
        let is_error = status >= 500;
        if self.compared.load(Relaxed) {
            if is_error {
                self.failed.fetch_add(1, Relaxed);
            } else {
                // An error that comes fast makes nobody fast.
                self.answered.fetch_add(1, Relaxed);
                let micros = u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX);
                self.micros.fetch_add(micros, Relaxed);
            }
        }
        if is_error {
            let streak = self.server_errors.fetch_add(1, Relaxed).wrapping_add(1);
            if is_reached(streak, &self.most_server_errors) {
                self.raise(Alarms::SERVER_ERRORS);
            }
        } else if self.server_errors.load(Relaxed) != 0 {
            self.server_errors.store(0, Relaxed);
        }
    }

    /// Notes a request that was answered and did not break off.
    pub fn ended_well(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    fn raise(&self, alarms: u8) {
        if alarms == 0 || self.raised.load(Relaxed) & alarms == alarms {
            return;
        }
        // Whoever raises the first one rings; the others are seen with it.
        if self.raised.fetch_or(alarms, Relaxed) == 0
            && let Some((endpoint, bell)) = self.bell.get()
            && bell.try_send(*endpoint).is_err()
        {
            self.raised.store(0, Relaxed);
        }
    }

    /// The alarms that were raised. They stay raised, which keeps a storm of
    /// failures quiet, until [`Self::take_raised`].
    #[must_use]
    pub fn raised(&self) -> Alarms {
        Alarms(self.raised.load(Relaxed))
    }

    /// The alarms that were raised; they can be raised anew from here on.
    #[must_use]
    pub fn take_raised(&self) -> Alarms {
        Alarms(self.raised.swap(0, Relaxed))
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures_in_a_row(&self) -> u32 {
        self.failures.load(Relaxed)
    }

    /// Answers of 500 and more in a row.
    #[must_use]
    pub fn server_errors_in_a_row(&self) -> u32 {
        self.server_errors.load(Relaxed)
    }

    /// Begins both rows anew.
    pub fn forget_rows(&self) {
        self.failures.store(0, Relaxed);
        self.server_errors.store(0, Relaxed);
    }

    /// The sums so far; they stand still while nobody compares.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let (answered, failed) = (self.answered.load(Relaxed), self.failed.load(Relaxed));
        Tally {
            ended: answered.wrapping_add(failed),
            failed,
            timed: answered,
            first_byte: Duration::from_micros(self.micros.load(Relaxed)),
        }
    }
}

/// Whether a row is as long as it takes, or twice as long, and so on: one that
/// goes on is mentioned now and then.
fn is_reached(streak: u32, most: &AtomicU32) -> bool {
    let most = most.load(Relaxed);
    most != 0 && streak.is_multiple_of(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Endpoint;

    fn rung(policy: &OutlierPolicy) -> (Endpoint, mpsc::Receiver<EndpointId>) {
        let key = "orders/a".parse().expect("a key");
        let address = "127.0.0.1:80".parse().expect("an address");
        let endpoint = Endpoint::new(key, 1, address, crate::model::Provenance::Registered);
        let (bell, alarms) = mpsc::channel(1);
        endpoint.outcomes.ring(endpoint.id, bell);
        endpoint.outcomes.configure(policy);
        (endpoint, alarms)
    }

    #[test]
    fn a_row_of_failures_is_told_once_and_a_success_ends_it() {
        let policy = OutlierPolicy { consecutive_failures: 3, ..OutlierPolicy::default() };
        let (endpoint, mut alarms) = rung(&policy);
        let outcomes = &endpoint.outcomes;
        for _ in 0..5 {
            outcomes.failed(false);
            outcomes.failed(false);
            outcomes.ended_well();
        }
        assert!(alarms.try_recv().is_err());
        (0..3).for_each(|_| outcomes.failed(false));
        assert_eq!(alarms.try_recv(), Ok(endpoint.id));
        assert!(outcomes.raised().failures() && !outcomes.raised().refused());
        (0..30).for_each(|_| outcomes.failed(true));
        assert!(alarms.try_recv().is_err(), "one at a time");
        assert!(outcomes.take_raised().refused(), "but nothing is forgotten");
        outcomes.failed(true);
        assert_eq!(alarms.try_recv(), Ok(endpoint.id));
    }

    #[test]
    fn a_full_queue_drops_and_the_next_failure_tries_again() {
        let (one, mut alarms) = rung(&OutlierPolicy::default());
        let bell = one.outcomes.bell.get().expect("set").1.clone();
        bell.try_send(one.id).expect("room for one");
        one.outcomes.failed(true);
        assert!(alarms.try_recv().is_ok() && alarms.try_recv().is_err());
        one.outcomes.failed(true);
        assert_eq!(alarms.try_recv(), Ok(one.id));
    }

    #[test]
    fn server_errors_are_minded_if_somebody_asks() {
        let (endpoint, mut alarms) = rung(&OutlierPolicy::default());
        (0..100).for_each(|_| endpoint.outcomes.answered(500, Duration::ZERO));
        assert!(alarms.try_recv().is_err());
        let policy = OutlierPolicy { consecutive_5xx: 2, ..OutlierPolicy::default() };
        let (endpoint, mut alarms) = rung(&policy);
        for status in [500, 200, 503, 404] {
            endpoint.outcomes.answered(status, Duration::ZERO);
        }
        assert!(alarms.try_recv().is_err());
        (0..2).for_each(|_| endpoint.outcomes.answered(502, Duration::ZERO));
        assert!(alarms.try_recv().is_ok() && endpoint.outcomes.raised().server_errors());
    }

    #[test]
    fn sums_are_kept_for_those_who_compare() {
        let policy = OutlierPolicy { latency: 3, ..OutlierPolicy::default() };
        let (endpoint, _alarms) = rung(&policy);
        let before = endpoint.outcomes.tally();
        endpoint.outcomes.answered(200, Duration::from_millis(4));
        endpoint.outcomes.answered(404, Duration::from_millis(6));
        endpoint.outcomes.answered(500, Duration::from_secs(9));
        endpoint.outcomes.failed(false);
        let tally = endpoint.outcomes.tally().since(before);
        assert_eq!((tally.ended, tally.failed, tally.timed), (4, 2, 2));
        assert_eq!(tally.first_byte, Duration::from_millis(10));
    }
}
