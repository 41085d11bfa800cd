//! Rules of the mirror and of what is written.

mod deferred;
mod late;

use std::{sync::atomic::AtomicI64, sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{
    entry::Due,
    mirror::Mirror,
    operations::{self, Judged, Write},
    schema::{FORM, Farewell, Keys, Record},
};
use crate::{
    etcd::{
        Listing,
        messages::{Event, EventType, KeyValue},
    },
    model::{Instance, InstanceKey},
    registry::{
        Caller, RegistryError, RegistryEvent, Removal,
        ledger::{Change, Operation},
    },
};

const FORGET: Duration = Duration::from_secs(600);
const NOBODY: Caller = Caller::Admin(None);

fn instance(ttl: Option<u64>, port: u16) -> Instance {
    let mut instance = serde_json::json!({
        "service": "orders", "id": "a", "origin": format!("http://10.0.0.1:{port}"),
    });
    if let Some(ttl) = ttl {
        instance["ttl"] = format!("{ttl}s").into();
    }
    serde_json::from_value(instance).expect("an instance")
}

/// An etcd with one key that counts revisions.
struct Etcd {
    keys: Keys,
    mirror: Mirror,
    revision: AtomicI64,
}

impl Etcd {
    fn new() -> Self {
        let keys = Keys::new("/p");
        let mirror = Mirror::new(keys.clone(), FORGET);
        Self { keys, mirror, revision: AtomicI64::new(10) }
    }

    fn next(&self) -> i64 {
        self.revision.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn key(&self) -> InstanceKey {
        instance(None, 1).key()
    }

    fn entry(&self, instance: &Instance, lease: i64, revision: i64) -> KeyValue {
        let record = Record {
            v: FORM,
            generation: None,
            draining: false,
            renewed: false,
            owner: None,
            instance: instance.clone(),
            newer: None,
        };
        KeyValue {
            key: self.keys.instance(&instance.key()),
            mod_revision: revision,
            value: serde_json::to_vec(&record).expect("JSON").into(),
            lease,
            ..KeyValue::default()
        }
    }

    fn farewell(&self, generation: u64, revision: i64) -> KeyValue {
        let farewell = Farewell { v: FORM, key: self.key(), generation, given_up: false };
        KeyValue {
            key: self.keys.gone(&self.key()),
            mod_revision: revision,
            value: serde_json::to_vec(&farewell).expect("JSON").into(),
            ..KeyValue::default()
        }
    }

    fn hear(&mut self, kind: EventType, entry: KeyValue, now: Instant) -> Vec<RegistryEvent> {
        let event = Event { r#type: kind.into(), kv: Some(entry), prev_kv: None };
        let mut out = Vec::new();
        self.mirror.hear(&event, now, &mut out);
        out
    }

    fn put(&mut self, instance: &Instance, lease: i64, now: Instant) -> Vec<RegistryEvent> {
        let revision = self.next();
        let entry = self.entry(instance, lease, revision);
        self.hear(EventType::Put, entry, now)
    }

    fn delete(&mut self, now: Instant) -> Vec<RegistryEvent> {
        let revision = self.next();
        let entry = self.entry(&instance(None, 1), 0, revision);
        self.hear(EventType::Delete, entry, now)
    }

    fn generation(&self) -> u64 {
        self.mirror.entry(&self.key()).expect("an entry").registration.generation
    }

    fn heartbeat(&mut self, now: Instant) -> Vec<RegistryEvent> {
        let (mut out, key) = (Vec::new(), self.key());
        self.mirror.heartbeat(&key, None, &NOBODY, now, &mut out).expect("is there");
        out
    }

    fn due(&mut self, now: Instant) -> (Vec<Due>, Vec<RegistryEvent>) {
        let mut out = Vec::new();
        (self.mirror.due(now, &mut out), out)
    }

    fn list(&mut self, entries: Vec<KeyValue>, outage: bool, now: Instant) -> Vec<RegistryEvent> {
        let (mut out, revision) = (Vec::new(), self.next());
        let listing = Listing { revision, entries };
        self.mirror.list(&listing, outage, false, now, &mut out);
        out
    }
}

fn after(now: Instant, seconds: u64) -> Instant {
    now + Duration::from_secs(seconds)
}

#[test]
fn who_said_farewell_has_left_and_who_did_not_is_late() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(Some(10), 1), 7, now);
    let generation = etcd.generation();
    let revision = etcd.next();
    let farewell = etcd.farewell(generation, revision);
    assert!(etcd.hear(EventType::Put, farewell, now).is_empty());
    let gone = etcd.entry(&instance(None, 1), 0, revision);
    let out = etcd.hear(EventType::Delete, gone, now);
    assert!(matches!(out[..], [RegistryEvent::Removed { why: Removal::Deregistered, .. }]));

    etcd.put(&instance(Some(10), 1), 7, now);
    assert!(etcd.generation() > generation, "never given twice");
    let out = etcd.delete(now);
    assert!(matches!(out[..], [RegistryEvent::LeaseExpired { .. }]), "{out:?}");
    let (due, out) = etcd.due(after(now, 601));
    assert!(due.is_empty());
    assert!(matches!(out[..], [RegistryEvent::Removed { why: Removal::Forgotten, .. }]));
    assert_eq!(etcd.mirror.len(), 0);
}

#[test]
fn a_heartbeat_brings_back_what_is_late() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(Some(10), 1), 7, now);
    let generation = etcd.generation();
    etcd.delete(now);
    assert!(matches!(etcd.heartbeat(after(now, 5))[..], [RegistryEvent::LeaseRenewed { .. }]));
    let (due, _) = etcd.due(after(now, 6));
    let [Due::Write(entry)] = &due[..] else { panic!("{due:?}") };
    assert_eq!((entry.seen, entry.registration.generation), (0, generation));
    // Written back, it is the same registration: nothing is new.
    let mut back = etcd.entry(&instance(Some(10), 1), 8, 0);
    let record = Record::of(&entry.registration, true);
    (back.value, back.mod_revision) = (serde_json::to_vec(&record).expect("JSON").into(), 99);
    assert!(etcd.hear(EventType::Put, back, after(now, 6)).is_empty());
    assert_eq!(etcd.generation(), generation);
}

#[test]
fn heartbeats_are_passed_on_three_times_a_ttl() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(Some(9), 1), 7, now);
    assert!(etcd.due(now).0.is_empty(), "nothing was heard");
    etcd.heartbeat(now);
    let (due, _) = etcd.due(now);
    assert!(matches!(due[..], [Due::Write(_), Due::Renew { lease: 7, .. }]), "{due:?}");
    let key = etcd.key();
    etcd.mirror.passed(&key, 7, now);
    let renewals = |etcd: &mut Etcd, at| {
        let (due, _) = etcd.due(at);
        due.iter().filter(|due| matches!(due, Due::Renew { .. })).count()
    };
    etcd.heartbeat(after(now, 1));
    assert_eq!(renewals(&mut etcd, after(now, 2)), 0);
    assert_eq!(renewals(&mut etcd, after(now, 3)), 1);
    // Nothing expires here, however late it is.
    assert!(etcd.due(after(now, 900)).1.is_empty());
}

#[test]
fn an_outage_takes_nobody_out_before_the_longest_ttl_has_passed() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(Some(10), 1), 7, now);
    assert!(etcd.list(Vec::new(), true, now).is_empty());
    assert!(etcd.due(after(now, 9)).1.is_empty());
    let (_, out) = etcd.due(after(now, 11));
    assert!(matches!(out[..], [RegistryEvent::LeaseExpired { .. }]), "{out:?}");
    // What left meanwhile has left at once.
    etcd.put(&instance(Some(10), 1), 7, now);
    let (generation, revision) = (etcd.generation(), etcd.next());
    let farewell = etcd.farewell(generation, revision);
    let out = etcd.list(vec![farewell], true, now);
    assert!(matches!(out[..], [RegistryEvent::Removed { .. }]), "{out:?}");
}

#[test]
fn an_etcd_that_knows_nothing_is_not_believed() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    let empty = Listing { revision: 3, entries: Vec::new() };
    assert!(etcd.mirror.accepts(&empty), "a first start");
    etcd.put(&instance(None, 1), 0, now);
    assert!(!etcd.mirror.accepts(&empty));
}

#[test]
fn a_value_that_cannot_be_read_takes_nothing_out() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(None, 1), 0, now);
    let revision = etcd.next();
    let mut entry = etcd.entry(&instance(None, 1), 0, revision);
    for value in [&b"{\"v\":2}"[..], b"", b"[]", b"{\"v\":1,\"instance\":{}}"] {
        entry.value = bytes::Bytes::copy_from_slice(value);
        assert!(etcd.hear(EventType::Put, entry.clone(), now).is_empty());
    }
    assert_eq!(etcd.mirror.len(), 1);
}

#[test]
fn an_old_process_does_not_take_out_its_successor() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(None, 1), 0, now);
    let old = etcd.generation();
    etcd.put(&instance(None, 2), 0, now);
    let (key, new) = (etcd.key(), etcd.generation());
    let there = etcd.mirror.entry(&key).cloned();
    let leave = Operation::Deregister { key: key.clone(), generation: Some(old), caller: NOBODY };
    let refused = operations::plan(there.as_ref(), &leave).expect_err("another process");
    assert_eq!(refused, RegistryError::Replaced { key: key.clone(), generation: new });
    // And not if both come at once: the key has to be as it was.
    let plan = Operation::Deregister { key: key.clone(), generation: None, caller: NOBODY };
    let plan = operations::plan(there.as_ref(), &plan).expect("its own");
    let seen = there.map_or(0, |entry| entry.seen);
    let judged = Judged { seen, heard: 99 };
    let request =
        operations::transaction(&etcd.keys, &key, judged, &plan.write, 1).expect("a transaction");
    assert_eq!(request.compare.len(), 1);
    assert_eq!(request.success.len(), 2, "the farewell and the deletion in one");
}

#[test]
fn an_edit_is_the_same_process_and_another_address_another() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(None, 1), 0, now);
    let (key, generation) = (etcd.key(), etcd.generation());
    let there = etcd.mirror.entry(&key).cloned();
    let register = |instance: Instance| {
        let operation = Operation::Register { instance: instance.into(), caller: NOBODY };
        operations::plan(there.as_ref(), &operation).expect("may be registered")
    };
    let same = register(instance(None, 1));
    assert!(matches!((same.outcome.change, same.write), (None, Write::Nothing)));
    let edited = register(Instance { zone: Some("a".to_owned()), ..instance(None, 1) });
    assert_eq!(edited.outcome.change, Some(Change::Updated));
    assert!(matches!(edited.write, Write::Put(record) if record.generation == Some(generation)));
    let replaced = register(instance(None, 2));
    assert_eq!(replaced.outcome.change, Some(Change::Replaced));
    assert!(matches!(replaced.write, Write::Put(record) if record.generation.is_none()));
}
