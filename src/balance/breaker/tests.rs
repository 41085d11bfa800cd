//! The breaker at chosen times.

use proptest::prelude::*;

use super::*;

const POLICY: BreakerPolicy = BreakerPolicy {
    failure_rate: 50,
    min_requests: 10,
    window: Duration::from_secs(10),
    open: Duration::from_secs(5),
    trials: 3,
};

fn breaker() -> (Arc<Breaker>, impl Fn(u64) -> Instant) {
    let breaker = Arc::new(Breaker::default());
    let start = breaker.start;
    (breaker, move |millis| start + Duration::from_millis(millis))
}

/// Sends requests that end at `now`, and counts those that get through.
fn send(breaker: &Arc<Breaker>, outcomes: &[bool], now: Instant) -> usize {
    let passes = outcomes
        .iter()
        .filter_map(|good| breaker.enter(&POLICY, now).ok().map(|pass| pass.tell(*good, now)));
    passes.count()
}

#[test]
fn it_opens_when_enough_of_enough_fail() {
    let (breaker, at) = breaker();
    assert_eq!(send(&breaker, &[false; 9], at(0)), 9, "too few to tell");
    assert_eq!(breaker.circuit(at(0)), Circuit::Closed);
    assert_eq!(send(&breaker, &[false; 5], at(1)), 1, "the tenth opens it");
    assert_eq!(breaker.circuit(at(1)), Circuit::Open(POLICY.open));
    assert_eq!(breaker.enter(&POLICY, at(2001)).err(), Some(Duration::from_secs(3)));
    assert_eq!(breaker.opened(), 1);
}

#[test]
fn fewer_failures_than_the_rate_do_not_open_it() {
    let (breaker, at) = breaker();
    for second in 0..60 {
        send(&breaker, &[true, false, true, true, false], at(second * 1000));
    }
    assert_eq!(breaker.circuit(at(60_000)), Circuit::Closed);
}

#[test]
fn what_is_older_than_the_window_does_not_count() {
    let (breaker, at) = breaker();
    send(&breaker, &[false; 9], at(0));
    assert_eq!(send(&breaker, &[false; 9], at(10_000)), 9);
    assert_eq!(breaker.circuit(at(10_000)), Circuit::Closed);
    assert_eq!(send(&breaker, &[false; 9], at(19_000)), 1);
}

#[test]
fn after_its_rest_a_few_try_and_close_it() {
    let (breaker, at) = breaker();
    send(&breaker, &[false; 10], at(0));
    let trials: Vec<_> =
        (0..3).map(|_| breaker.enter(&POLICY, at(5000)).expect("a trial")).collect();
    assert_eq!(breaker.enter(&POLICY, at(5001)).err(), Some(Duration::ZERO));
    assert_eq!(breaker.circuit(at(5001)), Circuit::HalfOpen);
    for trial in trials {
        trial.tell(true, at(5100));
    }
    assert_eq!(breaker.circuit(at(5100)), Circuit::Closed);
    assert_eq!(send(&breaker, &[false; 9], at(5100)), 9, "what was before is forgotten");
    assert_eq!(breaker.opened(), 1);
}

#[test]
fn one_bad_trial_opens_it_again() {
    let (breaker, at) = breaker();
    send(&breaker, &[false; 10], at(0));
    let first = breaker.enter(&POLICY, at(5000)).expect("a trial");
    let second = breaker.enter(&POLICY, at(5000)).expect("a trial");
    first.tell(false, at(5500));
    assert_eq!(breaker.circuit(at(5500)), Circuit::Open(POLICY.open));
    // What the other one found is of the round before.
    second.tell(true, at(5600));
    assert_eq!(breaker.circuit(at(5500)), Circuit::Open(POLICY.open));
    assert_eq!(breaker.opened(), 2);
}

#[test]
fn a_trial_that_is_given_up_makes_room_for_another() {
    let (breaker, at) = breaker();
    send(&breaker, &[false; 10], at(0));
    let mut trials: Vec<_> =
        (0..3).map(|_| breaker.enter(&POLICY, at(5000)).expect("a trial")).collect();
    trials.pop();
    trials.push(breaker.enter(&POLICY, at(5000)).expect("its place"));
    assert!(breaker.enter(&POLICY, at(5000)).is_err());
}

#[test]
fn with_fewer_trials_than_went_well_it_closes() {
    let (breaker, at) = breaker();
    send(&breaker, &[false; 10], at(0));
    send(&breaker, &[true, true], at(5000));
    assert_eq!(breaker.circuit(at(5000)), Circuit::HalfOpen);
    let fewer = BreakerPolicy { trials: 2, ..POLICY };
    assert!(breaker.enter(&fewer, at(5000)).is_ok_and(|pass| !pass.trial));
}

#[test]
fn who_takes_it_away_closes_it() {
    let (breaker, at) = breaker();
    send(&breaker, &[false; 10], at(0));
    breaker.reset();
    assert_eq!(send(&breaker, &[true; 5], at(1)), 5);
}

#[test]
fn exactly_so_many_trials_get_through_on_however_many_threads() {
    for _ in 0..200 {
        let (breaker, at) = breaker();
        send(&breaker, &[false; 10], at(0));
        let passes: Vec<_> = std::thread::scope(|scope| {
            let enter = || breaker.enter(&POLICY, at(5000)).ok();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(enter)).collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(passes.len(), 3);
    }
}

proptest! {
    #[test]
    fn words_hold_what_is_packed_into_them(round in 0..=ROUNDS, a in 0..=LOW, b in 0..=LOW) {
        let (begun, good) = (u32::try_from(a).expect("24 bits"), u32::try_from(b).expect("24 bits"));
        for state in [
            State::Closed { round },
            State::Open { round, until: a << 24 | b },
            State::Half { round, begun, good },
        ] {
            prop_assert_eq!(State::unpack(state.pack()), state);
        }
    }

    /// Against a list of everything that ever ended.
    #[test]
    fn opens_when_a_look_at_the_whole_history_says_so(
        steps in prop::collection::vec((0_u64..4, any::<bool>()), 1..80),
    ) {
        let (breaker, at) = breaker();
        let mut history = Vec::new();
        let mut second = 0;
        for (wait, good) in steps {
            second += wait;
            let now = at(second * 1000);
            breaker.enter(&POLICY, now).expect("closed").tell(good, now);
            history.push((second, good));
            let recent = || history.iter().filter(|(then, _)| then + 10 > second);
            let failed = recent().filter(|(_, good)| !good).count();
            let opens = !good && recent().count() >= 10 && failed * 2 >= recent().count();
            prop_assert_eq!(breaker.circuit(now) != Circuit::Closed, opens);
            if opens {
                return Ok(());
            }
        }
    }
}
