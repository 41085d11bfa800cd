//! Who is ejected, for how long, and who is not.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn eject(standing: &mut Standing, now: Instant) -> u64 {
    let policy = OutlierPolicy::default();
    standing.eject(EjectionCause::ConsecutiveFailures, String::new(), &policy, now).as_secs()
}

#[test]
fn each_ejection_is_longer_than_the_one_before_up_to_a_bound() {
    let mut now = Instant::now();
    let mut standing = Standing::default();
    for seconds in (1..=40).map(|times: u64| (times * 10).min(300)) {
        assert_eq!(eject(&mut standing, now), seconds);
        now += Duration::from_secs(seconds) - SECOND / 10;
        assert!(!standing.end(now), "its time is not over");
        now += SECOND / 10;
        assert!(standing.end(now) && standing.ejection().is_none());
        assert!(!standing.end(now), "once");
        now += SECOND;
    }
}

#[test]
fn who_is_well_for_long_enough_makes_up_for_it() {
    let start = Instant::now();
    let standing = |well: u64| {
        let mut standing = Standing::default();
        let mut now = start;
        for _ in 0..3 {
            now += Duration::from_secs(eject(&mut standing, now));
            standing.end(now);
        }
        eject(&mut standing, now + Duration::from_secs(well))
    };
    // 30 s for the third, 20 s for the second, 10 s for the first.
    for (well, next) in [(0, 40), (29, 40), (30, 30), (49, 30), (50, 20), (60, 10), (9999, 10)] {
        assert_eq!(standing(well), next, "{well}");
    }
}

#[test]
fn never_more_than_the_share_and_never_the_last_one() {
    let share = |max_ejected| OutlierPolicy { max_ejected, ..OutlierPolicy::default() };
    let most = |healthy: usize, policy: &OutlierPolicy| {
        (0..healthy).take_while(|ejected| may_eject(healthy, *ejected, policy)).count()
    };
    for (healthy, half, all, tenth) in
        [(0, 0, 0, 0), (1, 0, 0, 0), (2, 1, 1, 0), (3, 1, 2, 0), (4, 2, 3, 0), (21, 10, 20, 2)]
    {
        assert_eq!(most(healthy, &share(50)), half, "{healthy}");
        assert_eq!(most(healthy, &share(100)), all, "{healthy}");
        assert_eq!(most(healthy, &share(10)), tenth, "{healthy}");
        assert_eq!(most(healthy, &share(0)), 0, "{healthy}");
    }
}

fn rates(pairs: &[(u64, u64)]) -> Vec<Tally> {
    pairs
        .iter()
        .map(|(ended, failed)| Tally { ended: *ended, failed: *failed, ..Tally::default() })
        .collect()
}

fn found(policy: &OutlierPolicy, recent: &[Tally]) -> Vec<usize> {
    outliers(policy, recent).into_iter().map(|(index, ..)| index).collect()
}

#[test]
fn the_least_successful_stands_out_if_the_others_do_well() {
    let policy = OutlierPolicy { success_rate: 20, ..OutlierPolicy::default() };
    assert_eq!(found(&policy, &rates(&[(100, 0), (100, 50), (100, 1)])), [1]);
    assert!(found(&policy, &rates(&[(100, 0), (100, 19), (100, 0)])).is_empty());
    // What ails all of them is no reason.
    assert!(found(&policy, &rates(&[(100, 60), (100, 50), (100, 55)])).is_empty());
    // Too few requests, too few instances.
    assert!(found(&policy, &rates(&[(100, 0), (19, 19), (100, 1)])).is_empty());
    assert!(found(&policy, &rates(&[(100, 0), (100, 100)])).is_empty());
    assert!(found(&policy, &[]).is_empty());
    let off = OutlierPolicy::default();
    assert!(found(&off, &rates(&[(100, 0), (100, 100), (100, 1)])).is_empty());
    // The worst first; the next one once that is gone.
    assert_eq!(found(&policy, &rates(&[(100, 0), (100, 80), (100, 90), (100, 0)])), [2]);
}

fn times(pairs: &[(u64, u64)]) -> Vec<Tally> {
    let tally = |(timed, mean): &(u64, u64)| Tally {
        ended: *timed,
        failed: 0,
        timed: *timed,
        first_byte: Duration::from_millis(timed * mean),
    };
    pairs.iter().map(tally).collect()
}

#[test]
fn the_slowest_stands_out_if_it_is_slow_by_any_measure() {
    let policy = OutlierPolicy { latency: 3, ..OutlierPolicy::default() };
    assert_eq!(found(&policy, &times(&[(50, 10), (50, 12), (50, 500), (50, 11)])), [2]);
    assert!(found(&policy, &times(&[(50, 10), (50, 12), (50, 33)])).is_empty());
    // Three times next to nothing is next to nothing.
    assert!(found(&policy, &times(&[(50, 1), (50, 1), (50, 9)])).is_empty());
    assert!(found(&policy, &times(&[(50, 10), (19, 900), (50, 10)])).is_empty());
    let detail = &outliers(&policy, &times(&[(50, 10), (50, 12), (50, 500)]))[0].2;
    assert_eq!(detail, "500ms to the first byte, the others 12ms");
}

#[test]
fn one_that_is_slow_and_fails_is_named_once() {
    let policy = OutlierPolicy { success_rate: 10, latency: 2, ..OutlierPolicy::default() };
    let mut recent = times(&[(50, 10), (50, 10), (50, 500)]);
    recent[2].failed = 25;
    recent[2].ended = 75;
    assert_eq!(found(&policy, &recent), [2]);
}

#[test]
fn a_window_shows_what_happened_within_its_reach() {
    let start = Instant::now();
    let mut window = Window::default();
    let sum = |ended| Tally { ended, ..Tally::default() };
    for second in 0..60 {
        let recent = window.look(sum(second * 7), 10 * SECOND, start + second as u32 * SECOND);
        assert_eq!(recent.ended, second.min(10) * 7);
    }
    assert!(window.0.len() <= 11);
    window.forget();
    assert_eq!(window.look(sum(999), 10 * SECOND, start).ended, 0);
}
