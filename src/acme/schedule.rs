//! When to order next: pure functions of times.

use std::time::{Duration, SystemTime};

/// The longest wait after a failure.
pub(super) const MOST: Duration = Duration::from_secs(86_400);

/// When a certificate that holds from `not_before` to `not_after` is renewed
/// where the CA does not say: after two thirds of its life.
pub(super) fn by_age(not_before: SystemTime, not_after: SystemTime) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    not_before + life / 3 * 2
}

/// A time in the window from `start` to `end`, by `share` from 0 to 1 (RFC 9773
/// section 4.2). Never so early that the certificate was hardly in use, whatever
/// the CA says: one that says so of each new certificate would be asked without
/// end.
pub(super) fn in_window(
    start: SystemTime,
    end: SystemTime,
    share: f64,
    not_before: SystemTime,
    not_after: SystemTime,
) -> SystemTime {
    let width = end.duration_since(start).unwrap_or_default();
    let chosen = start + width.mul_f64(share.clamp(0.0, 1.0));
    let life = not_after.duration_since(not_before).unwrap_or_default();
    chosen.max(not_before + life / 20)
}

/// How long a storage that proxies share may be away before one of them orders
/// without it.
const AWAY: Duration = Duration::from_secs(600);

/// From when on a certificate that holds as `holds` is ordered by a proxy that
/// cannot agree with the others, since `lost`: when a tenth of its life is left
/// and the others have been out of reach for some time. They may all order
/// then, and the CA may look at the wrong one: only what else would run out is
/// worth that.
pub(super) fn alone(holds: Option<(SystemTime, SystemTime)>, lost: SystemTime) -> SystemTime {
    let Some((from, to)) = holds else { return lost + AWAY };
    let tenth = to.duration_since(from).unwrap_or_default() / 10;
    to.checked_sub(tenth).unwrap_or(to).max(lost + tenth.min(AWAY))
}

/// How long to wait after the `failures`th failure in a row: `first`, then
/// twice as long each time, up to a day.
pub(super) fn back_off(first: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    first.saturating_mul(1 << doublings).min(MOST)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn two_thirds_of_a_life() {
        assert_eq!(by_age(at(900), at(1800)), at(1500));
        assert_eq!(by_age(at(900), at(100)), at(900));
    }

    #[test]
    fn a_window_is_kept_to_but_not_abused() {
        assert_eq!(in_window(at(1000), at(1100), 0.5, at(0), at(2000)), at(1050));
        assert_eq!(in_window(at(10), at(20), 0.0, at(0), at(2000)), at(100));
        assert_eq!(in_window(at(1100), at(1000), 0.7, at(0), at(2000)), at(1100));
    }

    #[test]
    fn without_the_others_only_what_runs_out_is_ordered() {
        let life = Some((at(0), at(100_000)));
        // Away since long ago, and for the last moment only.
        assert_eq!(alone(life, at(500)), at(90_000));
        assert_eq!(alone(life, at(95_000)), at(95_600));
        assert_eq!(alone(Some((at(0), at(100))), at(95)), at(105));
        // Nothing to lose: but the others are waited for.
        assert_eq!(alone(None, at(500)), at(1100));
        assert_eq!(alone(Some((at(100), at(0))), at(0)), at(0));
    }

    #[test]
    fn five_tries_in_the_first_hour_and_then_fewer() {
        let first = Duration::from_secs(120);
        let waits: Vec<_> = (1..=5).map(|failures| back_off(first, failures).as_secs()).collect();
        assert_eq!(waits, [120, 240, 480, 960, 1920]);
        assert!(waits.iter().sum::<u64>() > 3600);
        assert_eq!(back_off(first, 40), MOST);
    }
}
