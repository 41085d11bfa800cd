//! Rules of what was accepted while etcd was away.

use super::*;

const FRESH: u64 = 1 << 52;

impl Etcd {
    /// What another proxy writes.
    fn put_as(&mut self, instance: &Instance, generation: u64, now: Instant) -> Vec<RegistryEvent> {
        let revision = self.next();
        let entry = self.with_generation(instance, generation, revision);
        self.hear(EventType::Put, entry, now)
    }

    fn with_generation(&self, instance: &Instance, generation: u64, revision: i64) -> KeyValue {
        let mut entry = self.entry(instance, 0, revision);
        let record = Record {
            v: FORM,
            generation: Some(generation),
            draining: false,
            renewed: false,
            owner: None,
            instance: instance.clone(),
            newer: None,
        };
        entry.value = serde_json::to_vec(&record).expect("JSON").into();
        entry
    }

    fn accept(&mut self, instance: &Instance) -> Vec<RegistryEvent> {
        let (outcome, deferred) =
            self.mirror.judge(instance, &NOBODY, FRESH).expect("may be registered");
        assert!(outcome.change.is_some());
        let mut out = Vec::new();
        self.mirror.defer(deferred.expect("is new"), false, &mut out);
        out
    }

    /// What is to be written, with the revision that it comes after.
    fn replay(&mut self, now: Instant) -> Option<(i64, Instance, u64)> {
        let (due, _) = self.due(now);
        let mut replays = due.into_iter().filter_map(|due| match due {
            Due::Replay(entry) => Some(entry),
            _ => None,
        });
        let entry = replays.next()?;
        Some((entry.seen, entry.registration.instance, entry.registration.generation))
    }
}

#[test]
fn what_was_accepted_is_told_once_and_nothing_flaps() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    let mine = instance(None, 1);
    assert!(matches!(etcd.accept(&mine)[..], [RegistryEvent::Upserted { .. }]));
    // etcd answers, and does not know of it.
    assert!(etcd.list(Vec::new(), true, now).is_empty());
    assert_eq!(etcd.replay(now), Some((0, mine.clone(), FRESH)));
    assert!(etcd.put_as(&mine, FRESH, now).is_empty(), "it is the same");
    assert_eq!(etcd.replay(now), None);
    assert!(etcd.mirror.is_unsaved());
    assert_eq!(etcd.generation(), FRESH);
    assert!(etcd.mirror.deferred().is_empty());
}

#[test]
fn a_new_process_lies_over_the_old_one() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(None, 1), 0, now);
    let old = etcd.generation();
    let mine = instance(None, 2);
    assert!(matches!(etcd.accept(&mine)[..], [RegistryEvent::Upserted { .. }]));
    let revision = etcd.next();
    let there = etcd.with_generation(&instance(None, 1), old, revision);
    assert!(etcd.list(vec![there], true, now).is_empty());
    assert_eq!(etcd.replay(now), Some((revision, mine.clone(), FRESH)));
    assert_eq!(etcd.mirror.registrations()[0].generation, old, "what etcd holds");
    // The old one leaves by another proxy: the new one stays.
    let revision = etcd.next();
    let farewell = etcd.farewell(old, revision);
    etcd.hear(EventType::Put, farewell, now);
    let gone = etcd.entry(&mine, 0, revision);
    assert!(etcd.hear(EventType::Delete, gone, now).is_empty());
    assert_eq!(etcd.replay(now), Some((0, mine, FRESH)));
}

#[test]
fn an_edit_keeps_its_generation() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put(&instance(None, 1), 0, now);
    let generation = etcd.generation();
    let mine = Instance { zone: Some("a".to_owned()), ..instance(None, 1) };
    etcd.accept(&mine);
    assert_eq!(etcd.replay(now).map(|(.., generation)| generation), Some(generation));
    // It says goodbye to another proxy.
    let revision = etcd.next();
    let farewell = etcd.farewell(generation, revision);
    etcd.hear(EventType::Put, farewell, now);
    let gone = etcd.entry(&mine, 0, revision);
    let out = etcd.hear(EventType::Delete, gone, now);
    assert!(matches!(out[..], [RegistryEvent::Removed { .. }]), "{out:?}");
    assert_eq!(etcd.replay(now), None);
}

#[test]
fn what_others_registered_meanwhile_stays() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.accept(&instance(None, 1));
    let theirs = instance(None, 2);
    let revision = etcd.next();
    let there = etcd.with_generation(&theirs, 77, revision);
    assert!(etcd.list(vec![there], true, now).is_empty(), "it is judged first");
    let (due, out) = etcd.due(now);
    assert!(due.is_empty(), "{due:?}");
    let [RegistryEvent::Upserted { registration, .. }] = &out[..] else { panic!("{out:?}") };
    assert_eq!((&registration.instance, registration.generation), (&theirs, 77));
}

#[test]
fn an_etcd_that_was_never_used_is_one_to_begin_with() {
    let mut etcd = Etcd::new();
    etcd.accept(&instance(None, 1));
    assert!(etcd.mirror.accepts(&Listing { revision: 3, entries: Vec::new() }));
}

#[test]
fn what_nobody_heard_of_can_be_taken_back() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.accept(&instance(None, 1));
    let (key, mut out) = (etcd.key(), Vec::new());
    let other = etcd.mirror.withdraw(&key, Some(3), &NOBODY, &mut out);
    assert!(matches!(other, Err(RegistryError::Replaced { .. })), "{other:?}");
    let taken = etcd.mirror.withdraw(&key, Some(FRESH), &NOBODY, &mut out).expect("its own");
    assert_eq!(taken.map(|it| it.generation), Some(FRESH));
    assert!(matches!(out[..], [RegistryEvent::Removed { .. }]), "{out:?}");
    // Not after etcd may have been told.
    etcd.accept(&instance(None, 1));
    etcd.replay(now);
    let taken = etcd.mirror.withdraw(&key, None, &NOBODY, &mut out).expect("its own");
    assert_eq!(taken, None);
}

/// The process before may have told it, so others may know of it.
#[test]
fn what_was_kept_over_a_restart_is_not_taken_back_in_silence() {
    let mut etcd = Etcd::new();
    let (key, mut out) = (etcd.key(), Vec::new());
    etcd.accept(&instance(None, 1));
    let kept = etcd.mirror.deferred();
    let withdrawn = |mirror: &mut Mirror, out: &mut _| {
        mirror.withdraw(&key, None, &NOBODY, out).expect("it is there").is_some()
    };
    assert!(withdrawn(&mut etcd.mirror, &mut out));
    let mut next = Etcd::new();
    for one in kept {
        next.mirror.defer(one, true, &mut out);
    }
    assert!(!withdrawn(&mut next.mirror, &mut out));
}

/// Generations of what was deferred are greater than all that come after.
#[test]
fn who_has_left_has_left_whatever_generation_its_successor_had() {
    let (mut etcd, now) = (Etcd::new(), Instant::now());
    etcd.put_as(&instance(Some(10), 1), FRESH, now);
    etcd.heartbeat(now);
    let revision = etcd.next();
    let farewell = etcd.farewell(5, revision);
    let out = etcd.list(vec![farewell], true, now);
    assert!(matches!(out[..], [RegistryEvent::Removed { .. }]), "{out:?}");
}
