//! What the catalog makes of alarms, and of time.

use super::*;
use crate::model::EjectionCause;

/// The service `orders` with `more` settings, and instances `a`, `b`, … that
/// nobody probes.
fn unprobed(more: &str, count: usize) -> Catalog {
    let mut catalog = catalog();
    configured(&mut catalog, &format!("[service.orders]\nhealth = {{ kind = 'none' }}\n{more}"));
    for id in ["a", "b", "c", "d"].into_iter().take(count) {
        register(&mut catalog, id);
    }
    catalog.refresh(at(0));
    catalog.take_happened();
    catalog
}

fn register(catalog: &mut Catalog, id: &str) {
    let mut plain = registration(&format!("orders/{id}"), 80, 1);
    plain.instance.health = HealthSettings::default();
    catalog.upsert(plain, false, at(0));
}

impl Catalog {
    /// `count` requests fail on `key`, and the alarm is heard.
    fn fails(&mut self, key: &str, count: usize, refused: bool, now: Instant) {
        let endpoint = self.endpoint_of(key);
        (0..count).for_each(|_| endpoint.outcomes.failed(refused));
        self.alarmed(endpoint.id, now);
        self.refresh(now);
    }

    /// As the reconciler: lets time pass.
    fn passes(&mut self, now: Instant) {
        self.tick(now);
        self.refresh(now);
    }

    fn ids(&self) -> String {
        self.targets("orders").into_iter().map(|(id, _)| id).collect()
    }

    fn ejection(&self, key: &str) -> Option<(EjectionCause, String)> {
        let entry = self.entry(&super::key(key)).expect("there");
        entry.standing.ejection().map(|ejection| (ejection.cause, ejection.detail.clone()))
    }
}

#[test]
fn who_fails_in_a_row_is_out_for_a_time_and_comes_back_by_itself() {
    let mut catalog = unprobed("", 3);
    catalog.fails("orders/b", 4, false, at(0));
    assert_eq!(catalog.ids(), "abc", "four are not five");
    catalog.fails("orders/b", 1, false, at(0));
    assert_eq!(catalog.ids(), "ac");
    let ejected = (EjectionCause::ConsecutiveFailures, "5 failures in a row".to_owned());
    assert_eq!(catalog.ejection("orders/b"), Some(ejected));
    assert_eq!(catalog.state_of("orders/b"), InstanceState::Healthy, "it is no state");
    assert!(catalog.kinds()[0].contains("ejected"));
    catalog.passes(at(9));
    assert_eq!(catalog.ids(), "ac");
    catalog.passes(at(10));
    assert_eq!(catalog.ids(), "abc");
    assert!(catalog.kinds()[0].contains("returned"));
    // The second time takes twice as long.
    catalog.fails("orders/b", 5, false, at(11));
    catalog.passes(at(30));
    assert_eq!(catalog.ids(), "ac");
    catalog.passes(at(31));
    assert_eq!(catalog.ids(), "abc");
    assert_eq!(catalog.services["orders"].ejections, [0, 2, 0, 0, 0]);
}

#[test]
fn no_more_than_half_and_never_the_last_one() {
    let mut catalog = unprobed("", 3);
    for key in ["orders/a", "orders/b", "orders/c"] {
        catalog.fails(key, 5, false, at(0));
    }
    assert_eq!(catalog.ids(), "bc");
    catalog.remove(&key("orders/b"), 1, "it was asked for", at(0));
    catalog.remove(&key("orders/c"), 1, "it was asked for", at(0));
    catalog.refresh(at(1));
    assert_eq!(catalog.ids(), "a", "nobody else is left");
    let mut catalog = unprobed("", 1);
    catalog.fails("orders/a", 50, true, at(0));
    assert_eq!(catalog.ids(), "a");
}

#[test]
fn an_ejection_outlives_edits_and_reloads_and_ends_with_the_instance() {
    let mut catalog = unprobed("", 3);
    catalog.fails("orders/b", 5, false, at(0));
    let mut edited = registration("orders/b", 80, 1);
    edited.instance.health = HealthSettings::default();
    edited.instance.weight = Weight::try_from(7).expect("a weight");
    catalog.upsert(edited, false, at(1));
    configured(
        &mut catalog,
        "[service.orders]\nhealth = { kind = 'none' }\nretry = { attempts = 2 }\n",
    );
    catalog.registers("payments/x", 80, 9);
    catalog.refresh(at(1));
    assert_eq!(catalog.ids(), "ac");
    // A new process under the old id has done nothing yet.
    let mut new = registration("orders/b", 81, 2);
    new.instance.health = HealthSettings::default();
    catalog.upsert(new, false, at(2));
    catalog.refresh(at(2));
    assert_eq!(catalog.ids(), "abc");
    catalog.passes(at(60));
    assert!(!catalog.kinds().iter().any(|kind| kind.contains("returned")));
}

#[test]
fn who_refuses_and_is_probed_is_left_to_the_prober() {
    let mut catalog = catalog();
    for (id, generation) in [("orders/a", 1), ("orders/b", 2)] {
        catalog.registers(id, 80, generation);
        catalog.probes(id, true, false, at(0));
    }
    catalog.refresh(at(0));
    catalog.take_probe_changes();
    catalog.take_happened();
    let endpoint = catalog.endpoint_of("orders/a");
    catalog.fails("orders/a", 1, true, at(1));
    let changes = catalog.take_probe_changes();
    assert!(matches!(&changes[..], [ProbeChange::Refused(id)] if *id == endpoint.id));
    assert!(catalog.kinds()[0].contains("refused"));
    assert_eq!(catalog.ejection("orders/a"), None);
    // What the prober makes of it; then it is known.
    catalog.probes("orders/a", false, true, at(1));
    catalog.refresh(at(1));
    assert_eq!(catalog.ids(), "b");
    catalog.passes(at(2));
    catalog.fails("orders/a", 10, true, at(2));
    assert!(catalog.take_probe_changes().is_empty());
    assert_eq!(catalog.ejection("orders/a"), None, "it gets no requests as it is");
}

#[test]
fn who_refuses_where_no_probe_can_tell_is_ejected() {
    let mut catalog = unprobed("", 2);
    catalog.fails("orders/a", 1, true, at(0));
    assert_eq!(catalog.ids(), "b");
    assert_eq!(
        catalog.ejection("orders/a").map(|ejection| ejection.0),
        Some(EjectionCause::ConnectRefused)
    );
    // Nor one that asks at another port.
    let mut catalog = super::catalog();
    configured(&mut catalog, "[service.orders]\nhealth = { path = '/up', port = 81 }\n");
    for id in ["a", "b"] {
        register(&mut catalog, id);
        catalog.probes(&format!("orders/{id}"), true, false, at(0));
    }
    catalog.refresh(at(0));
    catalog.fails("orders/a", 1, true, at(0));
    assert_eq!(catalog.ids(), "b");
}

#[test]
fn a_storm_of_failures_is_one_alarm_a_tick() {
    let (bell, mut rung) = mpsc::channel(9);
    let mut catalog = Catalog::new(1, bell);
    configured(&mut catalog, "[service.orders]\nhealth = { kind = 'none' }\n");
    register(&mut catalog, "a");
    catalog.refresh(at(0));
    let outcomes = &catalog.endpoint_of("orders/a").outcomes;
    let mut heard = 0;
    for second in 0..3 {
        for _ in 0..100 {
            outcomes.failed(true);
            while let Ok(endpoint) = rung.try_recv() {
                heard += 1;
                catalog.alarmed(endpoint, at(second));
            }
        }
        catalog.passes(at(second));
    }
    assert_eq!(heard, 3);
}

#[test]
fn who_is_much_slower_than_the_others_is_out() {
    let more = "outlier = { latency = 3, window = '5s', min_requests = 10 }\n";
    let mut catalog = unprobed(more, 4);
    for second in 1..=3 {
        for (key, millis) in [("orders/a", 5), ("orders/b", 6), ("orders/c", 500), ("orders/d", 5)]
        {
            let time = Duration::from_millis(millis);
            let outcomes = &catalog.endpoint_of(key).outcomes;
            (0..10).for_each(|_| outcomes.answered(200, time));
        }
        catalog.passes(at(second * 2));
    }
    assert_eq!(catalog.ids(), "abd");
    let (cause, detail) = catalog.ejection("orders/c").expect("ejected");
    assert_eq!(
        (cause, &*detail),
        (EjectionCause::Latency, "500ms to the first byte, the others 5ms")
    );
    catalog.passes(at(60));
    assert_eq!(catalog.ids(), "abcd", "with nothing held against it");
}

#[test]
fn the_share_of_who_is_new_or_back_grows() {
    let mut catalog = unprobed("slow_start = '10s'\n", 2);
    assert_eq!(catalog.targets("orders"), [("a".to_owned(), 100), ("b".to_owned(), 100)]);
    catalog.passes(at(10));
    register(&mut catalog, "c");
    let shares = |catalog: &Catalog| {
        let targets = catalog.targets("orders").into_iter();
        targets.map(|(_, weight)| weight).collect::<Vec<_>>()
    };
    catalog.refresh(at(10));
    assert_eq!(shares(&catalog), [1000, 1000, 100]);
    let endpoint = catalog.endpoint_of("orders/c");
    catalog.passes(at(15));
    assert_eq!(shares(&catalog), [1000, 1000, 500]);
    catalog.passes(at(20));
    assert_eq!(shares(&catalog), [100, 100, 100]);
    assert!(Arc::ptr_eq(&endpoint, &catalog.endpoint_of("orders/c")), "what it counts lives on");
    catalog.passes(at(30));
    assert!(catalog.refresh(at(30)).is_empty() && catalog.watch.growing.is_empty());
    catalog.fails("orders/b", 5, false, at(30));
    assert_eq!(shares(&catalog), [100, 100]);
    catalog.passes(at(40));
    assert_eq!(shares(&catalog), [1000, 100, 1000], "it is back");
    configured(&mut catalog, "[service.orders]\nhealth = { kind = 'none' }\n");
    catalog.refresh(at(41));
    assert_eq!(shares(&catalog), [100, 100, 100]);
}

#[test]
fn an_open_circuit_is_told_of_once() {
    let more = "breaker = { failure_rate = 50, min_requests = 2, open = '1h' }\n";
    let mut catalog = unprobed(more, 1);
    let state = Arc::clone(&catalog.services["orders"].state);
    let policy = catalog.services["orders"].policy.breaker.expect("a breaker");
    let now = std::time::Instant::now();
    for _ in 0..2 {
        state.breaker.enter(&policy, now).expect("closed").tell(false, now);
    }
    catalog.passes(at(1));
    catalog.passes(at(2));
    let kinds = catalog.kinds();
    assert_eq!(kinds.iter().filter(|kind| kind.contains("circuit_open")).count(), 1, "{kinds:?}");
    // Without a breaker it is closed, and the file has no more to say of it.
    configured(&mut catalog, "[service.orders]\nhealth = { kind = 'none' }\n");
    assert!(state.breaker.enter(&policy, now).is_ok());
}

#[test]
fn who_was_gone_and_has_come_back_begins_anew() {
    let mut catalog = catalog();
    for (index, id) in ["orders/a", "orders/b", "orders/c"].into_iter().enumerate() {
        catalog.registers(id, 80, index as u64 + 1);
        catalog.probes(id, true, false, at(0));
    }
    catalog.refresh(at(0));
    catalog.fails("orders/b", 5, false, at(1));
    assert_eq!(catalog.ids(), "ac");
    catalog.probes("orders/b", true, false, at(2));
    catalog.refresh(at(2));
    assert_eq!(catalog.ids(), "ac", "that a probe passes is no excuse");
    catalog.probes("orders/b", false, true, at(3));
    catalog.refresh(at(3));
    catalog.probes("orders/b", true, false, at(4));
    catalog.refresh(at(4));
    assert_eq!(catalog.ids(), "abc", "nobody listened, now somebody does");
}
