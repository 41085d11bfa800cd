//! Who is asked, and whose yes counts.

use super::*;
use crate::{model::InstanceKey, registry::fellows::Until};

const PATIENCE: Duration = Duration::from_secs(60);

struct Etcd {
    keys: Keys,
    fleet: Fleet,
    revision: i64,
}

impl Etcd {
    fn new() -> Self {
        let keys = Keys::new("/p");
        let fleet = Fleet::new(keys.clone(), "own".to_owned(), PATIENCE);
        let mut etcd = Self { keys, fleet, revision: 1 };
        etcd.joins("own");
        etcd
    }

    fn entry(&mut self, key: Bytes, value: &impl Serialize) -> KeyValue {
        self.revision += 1;
        let value = serde_json::to_vec(value).expect("JSON").into();
        KeyValue { key, value, mod_revision: self.revision, lease: 7, ..KeyValue::default() }
    }

    fn put(&mut self, key: Bytes, value: &impl Serialize) {
        let kv = Some(self.entry(key, value));
        let event = Event { r#type: EventType::Put.into(), kv, prev_kv: None };
        self.fleet.hear(&event, Instant::now());
    }

    fn delete(&mut self, key: Bytes, now: Instant) {
        let kv = Some(self.entry(key, &()));
        let event = Event { r#type: EventType::Delete.into(), kv, prev_kv: None };
        self.fleet.hear(&event, now);
    }

    fn joins(&mut self, id: &str) {
        self.put(self.keys.alive(id), &());
        let presence = Presence { v: FORM, program: "1".to_owned(), pid: 1 };
        self.put(self.keys.replica(id), &presence);
    }

    fn asks(&mut self, number: &str, from: &str) {
        let key = InstanceKey {
            service: "orders".parse().expect("a name"),
            id: "a".parse().expect("an id"),
        };
        let ask = Ask { key, generation: Some(4), until: Until::Drained };
        self.put(self.keys.ask(number), &Asking { v: FORM, from: from.to_owned(), ask });
    }

    fn answers(&mut self, number: &str, id: &str, done: bool) {
        let answer = Answer { done, in_flight: u32::from(!done), ..Answer::default() };
        self.put(self.keys.answer(number, id), &Answering { v: FORM, answer });
    }

    fn unconfirmed(&self, now: Instant) -> Vec<String> {
        self.fleet.answers("1", now).unconfirmed.into_iter().map(|(id, _)| id).collect()
    }
}

#[test]
fn everybody_else_has_to_say_yes() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    assert!(etcd.fleet.is_announced());
    assert!(etcd.unconfirmed(now).is_empty(), "nobody is waited for but oneself");
    etcd.joins("a");
    etcd.joins("b");
    etcd.asks("1", "own");
    assert_eq!(etcd.unconfirmed(now), ["a", "b"]);
    etcd.answers("1", "a", true);
    etcd.answers("1", "b", false);
    assert_eq!(etcd.unconfirmed(now), ["b"]);
    assert_eq!(etcd.fleet.answers("1", now).in_flight, 1);
    etcd.answers("1", "b", true);
    assert!(etcd.unconfirmed(now).is_empty());
    // Who comes later is asked too: it may go on from what it knew.
    etcd.joins("c");
    assert_eq!(etcd.unconfirmed(now), ["c"]);
}

#[test]
fn who_vanished_is_named_for_a_while_and_who_left_is_not() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.joins("a");
    etcd.joins("b");
    etcd.delete(etcd.keys.alive("a"), now);
    etcd.delete(etcd.keys.replica("b"), now);
    etcd.delete(etcd.keys.alive("b"), now);
    assert_eq!(etcd.unconfirmed(now), ["a"]);
    assert!(etcd.fleet.report(now)[0].missing.is_some());
    let later = now + PATIENCE;
    assert!(etcd.unconfirmed(later).is_empty());
    assert_eq!(etcd.fleet.given_up(later).len(), 1);
    etcd.joins("a");
    assert_eq!(etcd.unconfirmed(later), ["a"]);
    assert!(etcd.fleet.report(now)[0].missing.is_none());
}

#[test]
fn a_list_says_all_of_it_in_whatever_order() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    let presence = Presence { v: FORM, program: "1".to_owned(), pid: 1 };
    let answer = Answer { done: true, ..Answer::default() };
    etcd.asks("1", "own");
    let ask = etcd.fleet.ask("1").expect("an ask").ask.clone();
    let asking = Asking { v: FORM, from: "a".to_owned(), ask };
    let mut entries = vec![
        etcd.entry(etcd.keys.alive("a"), &()),
        etcd.entry(etcd.keys.answer("1", "a"), &Answering { v: FORM, answer }),
        etcd.entry(etcd.keys.ask("1"), &asking),
        etcd.entry(etcd.keys.replica("a"), &presence),
        etcd.entry(etcd.keys.replica("b"), &presence),
    ];
    // Of a form that is not known: it is there all the same.
    entries.push(etcd.entry(etcd.keys.replica("newer"), &serde_json::json!({ "v": 2 })));
    etcd.fleet.list(&Listing { revision: 99, entries }, now);
    assert!(!etcd.fleet.is_announced(), "it is not in the list");
    assert_eq!(etcd.unconfirmed(now), ["b", "newer"]);
    assert_eq!(etcd.fleet.asked_by_others().len(), 1);
    etcd.delete(etcd.keys.ask("1"), now);
    assert!(etcd.fleet.asked_by_others().is_empty());
}
