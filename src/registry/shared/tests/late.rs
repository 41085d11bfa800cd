//! Rules of what comes late, and of what a newer version has said.

use super::*;
use crate::{
    etcd::messages::{Answer, Compare, CompareResult, Compared, RangeResponse, ResponseOp},
    etcd::messages::{Operation as Do, TxnRequest, TxnResponse},
    registry::shared::writing,
};

fn put(request: &TxnRequest) -> serde_json::Value {
    let Some(Do::Put(put)) = request.success.first().and_then(|first| first.request.clone()) else {
        panic!("{request:?}");
    };
    serde_json::from_slice(&put.value).expect("JSON")
}

/// An attempt may be carried out after another one, and after the farewell that
/// followed that: the key is not there then either.
#[test]
fn what_comes_late_does_not_bring_back_who_has_left() {
    let etcd = Etcd::new();
    let (key, keys) = (etcd.key(), &etcd.keys);
    let record = Record::read(keys, &etcd.entry(&instance(None, 1), 0, 7)).expect("read");
    let write = Write::Put(Box::new(Record::of(&record.registration, false)));
    let of = |seen, heard| {
        let judged = Judged { seen, heard };
        operations::transaction(keys, &key, judged, &write, 0).expect("a transaction").compare
    };
    let not_since = Compare::new(keys.gone(&key), CompareResult::Less, Compared::Mod(13));
    assert!(of(0, 12).contains(&not_since), "{:?}", of(0, 12));
    // Where it is there, its own revision says as much.
    assert_eq!(of(9, 12).len(), 1);
}

#[test]
fn what_did_not_hold_says_what_has_to_be_heard() {
    let etcd = Etcd::new();
    let (key, keys) = (etcd.key(), &etcd.keys);
    let there = |entries: &[(bytes::Bytes, i64)]| {
        let answer = |(key, revision): &(bytes::Bytes, i64)| {
            let kv = KeyValue { key: key.clone(), mod_revision: *revision, ..KeyValue::default() };
            let range = RangeResponse { kvs: vec![kv], ..RangeResponse::default() };
            ResponseOp { response: Some(Answer::Range(range)) }
        };
        let responses = entries.iter().map(answer).collect();
        operations::there(keys, &key, &TxnResponse { responses, ..TxnResponse::default() })
    };
    let other = there(&[(keys.instance(&key), 8)]);
    assert_eq!((other.newest(), other.is_other_than(0)), (Some(8), true));
    assert!(!other.is_other_than(8));
    let left = there(&[(keys.gone(&key), 9)]);
    assert_eq!((left.newest(), left.is_other_than(0)), (Some(9), false));
    assert_eq!(there(&[]).newest(), None);
}

#[test]
fn a_lease_that_is_in_use_is_not_revoked() {
    assert_eq!(writing::superseded(7, Some(8)), Some(7));
    assert_eq!(writing::superseded(7, Some(7)), None);
    assert_eq!(writing::superseded(7, None), None);
    assert_eq!(writing::superseded(0, Some(8)), None);
}

#[test]
fn after_an_outage_each_has_its_own_ttl_to_come_back() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    let slow = Instance { id: "slow".parse().expect("an id"), ..instance(Some(3600), 2) };
    etcd.put(&slow, 8, now);
    etcd.put(&instance(Some(20), 1), 7, now);
    let (slow, quick) = (etcd.entry(&slow, 8, 11), etcd.entry(&instance(Some(20), 1), 7, 12));
    assert!(etcd.list(vec![slow, quick], true, now).is_empty());
    // Somebody else may have had its heartbeats, who could not pass them on.
    assert!(etcd.delete(after(now, 3)).is_empty());
    assert!(etcd.due(after(now, 19)).1.is_empty());
    let (_, out) = etcd.due(after(now, 21));
    assert!(matches!(out[..], [RegistryEvent::LeaseExpired { .. }]), "{out:?}");
    // Long after it, nobody waits for the hour of the other one.
    etcd.put(&instance(Some(20), 1), 7, after(now, 30));
    let out = etcd.delete(after(now, 60));
    assert!(matches!(out[..], [RegistryEvent::LeaseExpired { .. }]), "{out:?}");
}

/// This version tells of a heartbeat, or that it drains, of what a newer one has
/// registered.
#[test]
fn what_a_newer_version_has_said_is_not_lost() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    let revision = etcd.next();
    let mut entry = etcd.entry(&instance(Some(10), 1), 7, revision);
    let mut value: serde_json::Value = serde_json::from_slice(&entry.value).expect("JSON");
    value["later"] = 1.into();
    value["instance"]["since"] = "2.0".into();
    entry.value = serde_json::to_vec(&value).expect("JSON").into();
    etcd.hear(EventType::Put, entry, now);

    etcd.heartbeat(now);
    let (due, _) = etcd.due(now);
    let Some(Due::Write(entry)) = due.first() else { panic!("{due:?}") };
    let written = put(&operations::rewrite(&etcd.keys, entry, 99, 7).expect("a transaction"));
    assert_eq!((&written["later"], &written["instance"]["since"]), (&1.into(), &"2.0".into()));
    assert_eq!(written["renewed"], true);

    let key = etcd.key();
    let drain = Operation::Drain { key: key.clone(), generation: None, caller: NOBODY };
    let plan = operations::plan(etcd.mirror.entry(&key), &drain).expect("its own");
    let judged = Judged { seen: revision, heard: 99 };
    let request = operations::transaction(&etcd.keys, &key, judged, &plan.write, 7);
    let written = put(&request.expect("a transaction"));
    assert_eq!((&written["later"], &written["draining"]), (&1.into(), &true.into()));
}

/// Its heartbeats come to this proxy all the same.
#[test]
fn the_lease_of_what_cannot_be_read_goes_on() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(Some(10), 1), 7, now);
    etcd.heartbeat(now);
    etcd.mirror.passed(&instance(None, 1).key(), 7, now);
    let revision = etcd.next();
    let mut entry = etcd.entry(&instance(Some(10), 1), 8, revision);
    entry.value = "{\"v\":1,\"instance\":{}}".into();
    etcd.hear(EventType::Put, entry, now);
    etcd.heartbeat(after(now, 1));
    let (due, _) = etcd.due(after(now, 1));
    assert!(due.iter().any(|due| matches!(due, Due::Renew { lease: 8, .. })), "{due:?}");
}
