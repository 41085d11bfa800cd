//! Who has left, for whom, and what it cost.

use super::*;
use crate::model::{Ending, InFlight};

impl Catalog {
    /// A turn at `now`, of which every worker knows at once.
    fn turn(&mut self, now: Instant) -> Vec<EndpointId> {
        self.refresh(now);
        let expired = self.expired(now);
        self.published(1);
        self.let_go(1, &crate::control::predecessor::Predecessor::default(), now);
        expired
    }

    fn serves(&mut self, name: &str, port: u16, generation: u64, now: Instant) -> Arc<Endpoint> {
        self.upsert(registration(name, port, generation), false, now);
        self.probes(name, true, false, now);
        self.turn(now);
        self.endpoint_of(name)
    }

    fn leaves(&mut self, name: &str, generation: u64, now: Instant) {
        self.remove(&key(name), generation, "it was asked for", now);
    }

    /// What is shown, the last one first.
    fn summaries(&self) -> Vec<String> {
        self.departures.shown().map(Departure::summary).collect()
    }

    fn told(&mut self, kind: &str) -> usize {
        let kind = format!("\"{kind}\"");
        self.kinds().iter().filter(|happening| happening.contains(&kind)).count()
    }
}

fn requests(endpoint: &Arc<Endpoint>, count: usize) -> Vec<InFlight> {
    (0..count).map(|_| InFlight::begin(endpoint)).collect()
}

#[test]
fn a_deploy_is_read_pair_by_pair() {
    let mut catalog = catalog();
    let one = catalog.serves("orders/1", 81, 1, at(0));
    let two = catalog.serves("orders/2", 82, 2, at(0));
    // Long before, and so for nobody.
    let (day, minute) = (24 * 3600, 60);
    drop(requests(&one, 1000));
    catalog.serves("orders/3", 83, 3, at(day));
    let mut slow = requests(&one, 2);
    catalog.leaves("orders/1", 1, at(day + minute));
    catalog.turn(at(day + minute));
    catalog.serves("orders/4", 84, 4, at(day + minute));
    catalog.leaves("orders/2", 2, at(day + minute));
    catalog.turn(at(day + minute));
    assert_eq!(catalog.summaries(), ["2 → 4: 0 requests, 0 retried, 0 lost"]);
    slow[0].moves();
    slow[1].ends(Ending::Failed);
    drop(slow);
    catalog.turn(at(day + 2 * minute));
    assert_eq!(catalog.summaries()[0], "1 → 3: 1,002 requests, 1 retried, 1 lost");
    assert_eq!(two.requests(), 0);
}

#[test]
fn who_was_there_before_or_is_of_another_time_comes_for_nobody() {
    let mut catalog = catalog();
    catalog.upsert(registration("orders/1", 81, 1), true, at(0));
    catalog.upsert(registration("orders/2", 82, 2), true, at(0));
    catalog.turn(at(0));
    catalog.leaves("orders/1", 1, at(1));
    catalog.turn(at(1));
    assert_eq!(catalog.summaries(), ["1: 0 requests, 0 retried, 0 lost"], "2 was restored");
    catalog.serves("orders/3", 83, 3, at(10));
    catalog.leaves("orders/2", 2, at(700));
    catalog.turn(at(700));
    assert_eq!(catalog.summaries()[0], "2: 0 requests, 0 retried, 0 lost", "too long ago");
    // A new process under the old id.
    catalog.serves("orders/3", 93, 4, at(800));
    assert_eq!(catalog.summaries()[0], "3 → generation 4: 0 requests, 0 retried, 0 lost");
}

#[test]
fn one_that_falls_out_of_use_is_told_of_with_what_it_lost() {
    let mut catalog = catalog();
    let one = catalog.serves("orders/1", 81, 1, at(0));
    let mut early = requests(&one, 1);
    early[0].ends(Ending::Failed);
    drop(early);
    catalog.probes("orders/1", true, false, at(1));
    // It dies here.
    let mut lost = requests(&one, 2);
    lost.iter_mut().for_each(|lost| lost.ends(Ending::Failed));
    let kept = lost.pop();
    drop(lost);
    catalog.probes("orders/1", false, true, at(2));
    catalog.turn(at(2));
    assert!(catalog.summaries().is_empty(), "one is in flight");
    assert!(catalog.leaving(&key("orders/1"), None).is_empty(), "it may come back");
    drop(kept);
    catalog.turn(at(3));
    assert_eq!(catalog.summaries(), ["1: 3 requests, 0 retried, 2 lost"]);
    assert_eq!(catalog.departures.shown().next().map(|left| left.why), Some("its probes fail"));
    assert_eq!(catalog.told("left"), 1);
    // Whoever cleans up after it is answered, and it is not told of again.
    catalog.leaves("orders/1", 1, at(4));
    catalog.turn(at(4));
    assert_eq!(catalog.summaries().len(), 1);
    assert_eq!(catalog.departures.ended(&key("orders/1"), Some(1)), Some(Ended::default()));
}

#[test]
fn one_that_comes_back_in_time_has_not_left() {
    let mut catalog = catalog();
    let one = catalog.serves("orders/1", 81, 1, at(0));
    let request = requests(&one, 1);
    catalog.lease_expired(&key("orders/1"), 1, at(1));
    catalog.probes("orders/1", false, false, at(1));
    catalog.turn(at(1));
    catalog.lease_renewed(&key("orders/1"), 1);
    catalog.probes("orders/1", true, false, at(2));
    catalog.turn(at(2));
    drop(request);
    catalog.turn(at(3));
    assert!(catalog.summaries().is_empty() && catalog.leaving.is_empty());
    // The next time it has; and then it is shown once, however often.
    for round in [10, 20] {
        catalog.lease_expired(&key("orders/1"), 1, at(round));
        catalog.probes("orders/1", false, false, at(round));
        catalog.turn(at(round));
        catalog.lease_renewed(&key("orders/1"), 1);
        catalog.probes("orders/1", true, false, at(round + 1));
        catalog.turn(at(round + 1));
        assert_eq!(catalog.told("left"), 1);
    }
    assert_eq!(
        catalog.departures.shown().map(|left| left.why).collect::<Vec<_>>(),
        ["its lease expired"]
    );
}

#[test]
fn in_panic_nobody_has_left() {
    let mut catalog = catalog();
    for id in 1..=4 {
        catalog.serves(&format!("orders/{id}"), 80, id, at(0));
    }
    for id in 1..=3 {
        catalog.probes(&format!("orders/{id}"), false, false, at(1));
    }
    catalog.turn(at(1));
    assert!(catalog.services["orders"].panic && catalog.summaries().is_empty());
    catalog.probes("orders/2", true, false, at(2));
    catalog.probes("orders/3", true, false, at(2));
    catalog.turn(at(2));
    catalog.turn(at(3));
    assert!(!catalog.services["orders"].panic);
    let left: Vec<_> = catalog.departures.shown().map(|left| &left.endpoint.instance).collect();
    assert_eq!(left, [&key("orders/1")], "now it is not in use");
}

#[test]
fn who_leaves_has_so_much_time_and_a_new_file_can_change_it() {
    let mut catalog = catalog();
    let one = catalog.serves("orders/1", 81, 1, at(0));
    let request = requests(&one, 1);
    catalog.drain(&key("orders/1"), 1, at(10));
    assert_eq!(catalog.turn(at(309)), [], "five minutes unless told");
    assert_eq!(catalog.turn(at(310)), [one.id]);
    assert_eq!(catalog.turn(at(311)), [one.id], "until nothing is in flight");
    assert_eq!(catalog.told("drain_timeout"), 1);
    configured(&mut catalog, "[defaults]\ntimeouts = { drain = '0s' }\n");
    assert_eq!(catalog.turn(at(10_000)), []);
    configured(&mut catalog, "[service.orders]\ntimeouts = { drain = '1m' }\n");
    assert_eq!(catalog.turn(at(10_000)), [one.id]);
    drop(request);
    assert_eq!(catalog.turn(at(10_001)), []);
    assert!(catalog.leaving.is_empty());
}

#[test]
fn who_has_failed_for_long_has_as_much_time_to_leave() {
    let mut catalog = catalog();
    let one = catalog.serves("orders/1", 81, 1, at(0));
    let _request = requests(&one, 1);
    catalog.probes("orders/1", false, false, at(1));
    assert_eq!(catalog.turn(at(1)), []);
    catalog.drain(&key("orders/1"), 1, at(1000));
    assert_eq!(catalog.turn(at(1000)), [], "its time begins now");
    assert_eq!(catalog.turn(at(1299)), []);
    assert_eq!(catalog.turn(at(1300)), [one.id]);
}
