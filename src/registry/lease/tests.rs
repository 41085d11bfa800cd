//! Leases under made-up time.

use super::*;
use crate::{
    model::HumanDuration,
    registry::{
        awake::BEAT,
        tests::{instance, registration},
    },
};

const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Leases and a clock that is looked at every beat, as the lease task does.
struct Run {
    leases: Leases,
    now: Instant,
}

impl Run {
    fn new() -> Self {
        let now = Instant::now();
        Self { leases: Leases::new(FORGET_AFTER, now), now }
    }

    /// Lets time pass and returns what came due.
    fn pass(&mut self, duration: Duration) -> Vec<Due> {
        let end = self.now + duration;
        let mut due = Vec::new();
        while self.now < end {
            self.now = (self.now + BEAT).min(end);
            due.extend(self.leases.take_due(self.now, usize::MAX).0);
        }
        due
    }

    fn put(&mut self, key: &str, generation: u64, ttl: Option<u64>) -> InstanceKey {
        let mut instance = instance(key, "10.0.0.1:80");
        instance.ttl = ttl.map(HumanDuration::from_secs);
        self.leases.put(&registration(instance, generation), self.now);
        assert!(self.leases.queue.len() <= self.leases.entries.len(), "one slot each");
        key.parse().expect("a key")
    }

    /// A heartbeat; whether it was news.
    fn beat(&mut self, key: &InstanceKey) -> Result<bool, RegistryError> {
        self.leases.renew(key, None, &Caller::Admin(None), self.now).map(|(_, news)| news)
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_lease_expires_once_and_is_forgotten_once() {
    let mut run = Run::new();
    let key = run.put("orders/a", 7, Some(10));
    assert_eq!(run.pass(seconds(9)), []);
    assert_eq!(run.leases.left(&key, run.now), Some(Some(seconds(1))));
    assert_eq!(run.pass(seconds(1)), [Due::Expired { key: key.clone(), generation: 7 }]);
    assert_eq!(run.leases.left(&key, run.now), Some(Some(Duration::ZERO)));
    assert_eq!(run.pass(FORGET_AFTER - BEAT), []);
    assert_eq!(run.pass(BEAT), [Due::Forget { key: key.clone(), generation: 7 }]);
    assert_eq!(run.pass(FORGET_AFTER), []);
    assert!(run.leases.begin_forgetting(&key, 7));
    run.leases.remove(&key);
    assert_eq!(run.leases.left(&key, run.now), None);
    assert!(run.leases.queue.is_empty());
}

#[test]
fn a_heartbeat_renews_and_only_the_first_is_news() {
    let mut run = Run::new();
    let key = run.put("orders/a", 1, Some(10));
    for round in 0..10 {
        assert_eq!(run.pass(seconds(9)), []);
        assert_eq!(run.beat(&key), Ok(round == 0));
    }
    assert_eq!(run.leases.queue.len(), 1);
    assert_eq!(run.pass(seconds(10)), [Due::Expired { key: key.clone(), generation: 1 }]);
    assert_eq!(run.beat(&key), Ok(true), "it revives");
    assert_eq!(run.beat(&key), Ok(false));
    assert_eq!(run.pass(seconds(10)), [Due::Expired { key, generation: 1 }], "in its own time");
}

#[test]
fn a_new_body_keeps_the_lease_and_a_new_process_does_not() {
    let mut run = Run::new();
    let key = run.put("orders/a", 1, Some(10));
    assert_eq!(run.beat(&key), Ok(true));
    run.put("orders/a", 1, Some(20));
    assert_eq!(run.beat(&key), Ok(false), "edited");
    run.put("orders/a", 2, Some(20));
    assert_eq!(run.beat(&key), Ok(true), "replaced");
}

#[test]
fn who_has_no_ttl_need_not_report_again_after_an_edit() {
    let mut run = Run::new();
    let key = run.put("orders/a", 7, None);
    assert_eq!(run.beat(&key), Ok(true));
    run.put("orders/a", 7, None);
    assert_eq!(run.beat(&key), Ok(false), "edited");
    run.put("orders/a", 7, Some(10));
    assert_eq!(run.beat(&key), Ok(true), "a lease begins");
}

#[test]
fn a_ttl_can_be_shortened_lifted_and_brought_back() {
    let mut run = Run::new();
    let key = run.put("orders/a", 1, Some(3600));
    run.put("orders/a", 1, Some(10));
    assert_eq!(run.pass(seconds(10)), [Due::Expired { key: key.clone(), generation: 1 }]);
    run.put("orders/a", 1, None);
    assert_eq!(run.leases.left(&key, run.now), Some(None));
    assert_eq!(run.pass(seconds(7200)), []);
    assert_eq!(run.beat(&key), Ok(true), "the first one");
    run.put("orders/a", 1, Some(10));
    assert_eq!(run.pass(seconds(10)), [Due::Expired { key, generation: 1 }]);
}

#[test]
fn a_heartbeat_needs_the_right_token_and_a_known_instance() {
    let mut run = Run::new();
    let mut owned = registration(instance("orders/a", "10.0.0.1:80"), 1);
    owned.owner = Some("orders".to_owned());
    run.leases.put(&owned, run.now);
    let key = owned.instance.key();
    let mut renew =
        |caller| run.leases.renew(&key, None, &caller, run.now).map(|(it, _)| it.generation);
    assert_eq!(renew(Caller::Token("orders".to_owned())), Ok(1));
    assert_eq!(renew(Caller::Admin(None)), Ok(1));
    let other = Caller::Token("users".to_owned());
    assert_eq!(renew(other), Err(RegistryError::Owned { key: key.clone() }));
    let unknown: InstanceKey = "orders/b".parse().expect("a key");
    assert_eq!(run.beat(&unknown), Err(RegistryError::NotFound { key: unknown }));
}

#[test]
fn a_heartbeat_comes_before_forgetting_or_after_it() {
    let mut run = Run::new();
    let key = run.put("orders/a", 1, Some(10));
    let forget = Due::Forget { key: key.clone(), generation: 1 };
    run.pass(seconds(10));
    assert!(!run.leases.begin_forgetting(&key, 1), "too early");
    assert_eq!(run.pass(FORGET_AFTER), [forget]);

    assert_eq!(run.beat(&key), Ok(true));
    assert!(!run.leases.begin_forgetting(&key, 1), "revived");
    run.pass(seconds(10));
    assert!(!run.leases.begin_forgetting(&key, 1), "expired again, for another ten minutes");

    run.pass(FORGET_AFTER);
    assert!(!run.leases.begin_forgetting(&key, 2), "another generation");
    assert!(run.leases.begin_forgetting(&key, 1));
    assert!(run.beat(&key).is_err(), "too late");
}

#[test]
fn what_the_store_does_not_let_go_is_tried_again() {
    let mut run = Run::new();
    let key = run.put("orders/a", 1, Some(10));
    run.pass(seconds(10) + FORGET_AFTER);
    assert!(run.leases.begin_forgetting(&key, 1));
    run.leases.keep(&key, 1, run.now);
    assert_eq!(run.pass(FORGET_AGAIN), [Due::Forget { key: key.clone(), generation: 1 }]);
    run.leases.keep(&key, 1, run.now);
    assert_eq!(run.beat(&key), Ok(true), "it can still come back");
    run.leases.keep(&key, 1, run.now);
    assert_eq!(run.leases.left(&key, run.now), Some(Some(seconds(10))), "and then stays");
}

#[test]
fn a_stop_of_the_process_expires_nobody() {
    let mut run = Run::new();
    let keys: Vec<_> = (0..100).map(|n| run.put(&format!("orders/{n}"), n, Some(10))).collect();
    run.pass(seconds(6));
    let stop = seconds(3600);
    run.now += stop;
    assert_eq!(run.pass(BEAT), []);
    assert_eq!(run.leases.take_stopped(), stop);
    for key in &keys[..50] {
        assert!(run.beat(key).is_ok());
    }
    let due = run.pass(seconds(4));
    assert_eq!(due.len(), 50, "those that did not come back: {due:?}");
}

#[test]
fn a_heartbeat_right_after_a_stop_gets_no_more_than_its_ttl() {
    let mut run = Run::new();
    let key = run.put("orders/a", 1, Some(10));
    run.now += seconds(3600);
    assert_eq!(run.beat(&key), Ok(true));
    assert_eq!(run.leases.left(&key, run.now), Some(Some(seconds(10))));
}

#[test]
fn a_hundred_thousand_leases_need_one_slot_each() {
    let mut run = Run::new();
    let keys: Vec<_> =
        (0..100_000).map(|n| run.put(&format!("s{}/{n}", n % 1000), n, Some(10))).collect();
    let began = std::time::Instant::now();
    for _ in 0..3 {
        run.now += BEAT;
        for key in &keys {
            assert!(run.beat(key).is_ok());
        }
    }
    println!("300,000 heartbeats: {:?}", began.elapsed());
    assert_eq!(run.leases.queue.len(), keys.len());
    assert_eq!(run.pass(seconds(9)), []);
    assert_eq!(run.leases.queue.len(), keys.len());
    let began = std::time::Instant::now();
    let due = run.pass(seconds(1));
    println!("100,000 expiries: {:?}", began.elapsed());
    assert_eq!(due.len(), keys.len());
}

#[test]
fn many_that_come_due_at_once_are_taken_in_portions() {
    let mut run = Run::new();
    for n in 0..10 {
        run.put(&format!("orders/{n}"), n, Some(1));
    }
    run.now += BEAT;
    assert_eq!(run.leases.take_due(run.now, 4), (Vec::new(), false));
    run.now += BEAT;
    let sizes = [(); 3].map(|()| {
        let (due, more) = run.leases.take_due(run.now, 4);
        (due.len(), more)
    });
    assert_eq!(sizes, [(4, true), (4, true), (2, false)]);
}

#[test]
fn a_duration_beyond_the_clock_is_for_ever() {
    let mut run = Run::new();
    run.leases.forget_after = Duration::MAX;
    run.put("orders/a", 1, Some(10));
    assert_eq!(run.pass(seconds(10)).len(), 1);
    assert_eq!(run.pass(seconds(7200)), []);
}
