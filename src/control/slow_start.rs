//! The shares of instances that have just begun to serve: a tenth at first,
//! then more, to the full one. Pure.
//!
//! Only beside an instance that has its full share already: where all are new,
//! nobody could take what they do not.

use std::time::Duration;

use tokio::time::Instant;

/// A share grows in so many steps.
const STEPS: u32 = 10;

/// How many of [`STEPS`] an instance has made that has served since `since`.
fn steps(since: Instant, slow_start: Duration, now: Instant) -> u32 {
    let served = now.saturating_duration_since(since).as_nanos();
    let steps = served * u128::from(STEPS) / slow_start.as_nanos().max(1);
    u32::try_from(steps).unwrap_or(STEPS).min(STEPS)
}

/// The weights to pick by, and when they are to be worked out anew: those
/// `given`, each with the time its instance began to serve.
pub(super) fn weights(
    given: &[(u16, Instant)],
    slow_start: Duration,
    now: Instant,
) -> (Vec<u16>, Option<Instant>) {
    let made: Vec<u32> = given.iter().map(|(_, since)| steps(*since, slow_start, now)).collect();
    let next = given
        .iter()
        .zip(&made)
        .filter(|(_, made)| **made < STEPS)
        .map(|((_, since), made)| *since + slow_start * (made + 1) / STEPS)
        .min();
    let grown = made.iter().filter(|made| **made == STEPS).count();
    if slow_start.is_zero() || grown == 0 || grown == given.len() {
        // While all of them are new, the time comes when one is not.
        let next = next.filter(|_| !slow_start.is_zero());
        return (given.iter().map(|(weight, _)| *weight).collect(), next);
    }
    // In tenths, so that a weight of 1 can grow too.
    let weight = |((weight, _), made): (&(u16, Instant), &u32)| {
        let tenths = u32::from(*weight) * (1 + made * 9 / STEPS);
        u16::try_from(tenths).unwrap_or(u16::MAX).max(1)
    };
    (given.iter().zip(&made).map(weight).collect(), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_share_grows_from_a_tenth_in_ten_steps() {
        let shares = |second: u64| weights(&[(100, at(0)), (100, at(100))], SLOW, at(100 + second));
        assert_eq!(shares(0), (vec![1000, 100], Some(at(101))));
        assert_eq!(shares(5), (vec![1000, 500], Some(at(106))));
        assert_eq!(shares(9), (vec![1000, 900], Some(at(110))));
        assert_eq!(shares(10), (vec![100, 100], None));
        let small = weights(&[(1, at(0)), (1, at(100))], SLOW, at(105));
        assert_eq!(small.0, [10, 5], "the smallest weight grows too");
        let large = weights(&[(1000, at(0)), (1000, at(100))], SLOW, at(109));
        assert_eq!(large.0, [10_000, 9000]);
    }

    #[test]
    fn where_all_are_new_or_it_is_alone_nobody_waits() {
        let alone = weights(&[(100, at(100))], SLOW, at(101));
        assert_eq!(alone, (vec![100], Some(at(102))));
        let all_new = weights(&[(100, at(100)), (100, at(103))], SLOW, at(104));
        assert_eq!(all_new, (vec![100, 100], Some(at(105))));
        // The first one has its share; what the other lacks shows then.
        let later = weights(&[(100, at(100)), (100, at(103))], SLOW, at(110));
        assert_eq!(later, (vec![1000, 700], Some(at(111))));
    }

    #[test]
    fn it_is_off_at_zero() {
        let given = [(100, at(0)), (7, at(100))];
        assert_eq!(weights(&given, Duration::ZERO, at(100)), (vec![100, 7], None));
        assert_eq!(weights(&[], SLOW, at(100)), (vec![], None));
    }
}
