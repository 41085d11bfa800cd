//! The registry as its users see it, on a real store.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    Caller, OpenError, Opened, Registration, Registry, RegistryError, RegistryEvent,
    RegistrySettings, StoreFault, StoreState,
};
use crate::model::{HumanDuration, Instance, InstanceKey};

mod crash;
mod disk;
mod suspended;

/// An instance with a TTL of ten seconds and nothing else.
pub(super) fn instance(key: &str, address: &str) -> Instance {
    let key: InstanceKey = key.parse().expect("a key");
    Instance {
        service: key.service,
        id: key.id,
        origin: address.parse().expect("an address"),
        weight: Default::default(),
        zone: None,
        version: None,
        tags: Vec::new(),
        metadata: Default::default(),
        ttl: Some(HumanDuration::from_secs(10)),
        health: Default::default(),
        foreign: None,
    }
}

/// A registration that nobody owns.
pub(super) fn registration(instance: Instance, generation: u64) -> Registration {
    Registration { instance, generation, draining: false, owner: None }
}

fn settings(data_dir: &Path) -> RegistrySettings {
    RegistrySettings { data_dir: data_dir.to_owned(), ..Default::default() }
}

async fn open(data_dir: &Path) -> Opened {
    Registry::open(&settings(data_dir)).await.expect("opens")
}

/// Opens a copy of the files of a store that is in use: what a crash at this
/// moment would leave behind.
async fn open_as_after_a_crash(data_dir: &Path) -> (TempDir, Opened) {
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["registry.db", "registry.db-wal", "mark"] {
        fs::copy(data_dir.join(name), copy.path().join(name)).expect("copied");
    }
    let opened = open(copy.path()).await;
    (copy, opened)
}

fn anyone() -> Caller {
    Caller::Admin(None)
}

pub(super) fn key(text: &str) -> InstanceKey {
    text.parse().expect("a key")
}

/// What is queued, a word and a generation each.
fn queued(events: &mut UnboundedReceiver<RegistryEvent>) -> Vec<String> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|event| brief(&event)).collect()
}

fn brief(event: &RegistryEvent) -> String {
    match event {
        RegistryEvent::Upserted { registration: it, restored } => {
            let word = if *restored { "restored" } else { "upserted" };
            let draining = if it.draining { " draining" } else { "" };
            format!("{word} {}#{}{draining}", it.instance.key(), it.generation)
        }
        RegistryEvent::Draining { key, generation } => format!("draining {key}#{generation}"),
        RegistryEvent::Removed { key, generation, why } => format!("{why:?} {key}#{generation}"),
        RegistryEvent::LeaseRenewed { key, generation } => format!("renewed {key}#{generation}"),
        RegistryEvent::LeaseExpired { key, generation } => format!("expired {key}#{generation}"),
    }
}

async fn next(events: &mut UnboundedReceiver<RegistryEvent>) -> String {
    brief(&events.recv().await.expect("an event"))
}

#[tokio::test]
async fn a_life_in_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, restored } = open(folder.path()).await;
    assert_eq!((restored, registry.is_empty()), (0, true));

    let orders = instance("orders/a", "10.0.0.1:80");
    let answer = registry.register(orders.clone(), anyone()).await.expect("registered");
    assert_eq!((answer.created, answer.changed, answer.registration.generation), (true, true, 1));
    assert_eq!(queued(&mut events), ["upserted orders/a#1"]);

    let answer = registry.register(orders.clone(), anyone()).await.expect("registered");
    assert_eq!((answer.created, answer.changed), (false, false));
    assert_eq!(queued(&mut events), [""; 0]);

    let renewed = registry.heartbeat(&orders.key(), None, &anyone()).expect("renewed");
    assert_eq!((renewed.generation, renewed.draining), (1, false));
    assert_eq!(renewed.ttl, Some(Duration::from_secs(10)));
    registry.heartbeat(&orders.key(), None, &anyone()).expect("renewed");
    assert_eq!(queued(&mut events), ["renewed orders/a#1"]);

    assert_eq!(registry.drain(&orders.key(), None, &anyone()).await, Ok(1));
    assert_eq!(registry.drain(&orders.key(), None, &anyone()).await, Ok(1));
    assert!(registry.heartbeat(&orders.key(), None, &anyone()).expect("renewed").draining);
    assert_eq!(queued(&mut events), ["draining orders/a#1"]);

    let answer = registry.register(orders.clone(), anyone()).await.expect("registered");
    assert_eq!((answer.created, answer.changed, answer.registration.generation), (false, true, 2));
    assert!(!registry.heartbeat(&orders.key(), None, &anyone()).expect("renewed").draining);
    assert_eq!(queued(&mut events), ["upserted orders/a#2", "renewed orders/a#2"]);

    assert_eq!(registry.deregister(&orders.key(), None, &anyone()).await, Ok(Some(2)));
    assert_eq!(registry.deregister(&orders.key(), None, &anyone()).await, Ok(None));
    assert_eq!(queued(&mut events), ["Deregistered orders/a#2"]);
    let gone = registry.heartbeat(&orders.key(), None, &anyone());
    assert_eq!(gone, Err(RegistryError::NotFound { key: orders.key() }));
    assert_eq!(registry.lease_left(&orders.key()), None);
}

#[tokio::test]
async fn a_refusal_leaves_no_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    let mut orders = instance("orders/a", "10.0.0.1:80");
    orders.zone = Some("z".repeat(1000));
    assert!(registry.register(orders.clone(), anyone()).await.is_err());
    orders.zone = None;
    registry.register(orders.clone(), Caller::Token("orders".into())).await.expect("registered");
    let evil = Caller::Token("evil".into());
    let owned = || RegistryError::Owned { key: orders.key() };
    assert_eq!(registry.deregister(&orders.key(), None, &evil).await, Err(owned()));
    assert_eq!(registry.heartbeat(&orders.key(), None, &evil), Err(owned()));
    assert_eq!(queued(&mut events), ["upserted orders/a#1"]);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, events: _events, .. } = open(folder.path()).await;
    for id in ["a", "b", "c", "d"] {
        let instance = instance(&format!("orders/{id}"), "10.0.0.1:80");
        registry.register(instance, Caller::Token("t".into())).await.expect("registered");
    }
    registry.drain(&key("orders/b"), None, &anyone()).await.expect("drained");
    registry.deregister(&key("orders/c"), None, &anyone()).await.expect("deregistered");
    registry.deregister(&key("orders/d"), None, &anyone()).await.expect("deregistered");

    let (_copy, Opened { registry, mut events, restored }) =
        open_as_after_a_crash(folder.path()).await;
    assert_eq!((restored, registry.len()), (2, 2));
    assert_eq!(queued(&mut events), ["restored orders/a#1", "restored orders/b#2 draining"]);
    let left = registry.lease_left(&key("orders/a")).flatten().expect("a lease");
    assert!(left > Duration::from_secs(9), "the full TTL");
    registry.heartbeat(&key("orders/a"), None, &Caller::Token("t".into())).expect("still its own");
    assert_eq!(queued(&mut events), ["renewed orders/a#1"]);
    let again = registry.register(instance("orders/d", "10.0.0.1:80"), anyone()).await;
    assert_eq!(again.expect("registered").registration.generation, 5, "4 is spent");
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_unlocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, events: _events, .. } = open(folder.path()).await;
    let locked = Registry::open(&settings(folder.path())).await;
    assert!(matches!(locked, Err(OpenError::Locked { .. })));

    let other = registry.clone();
    let late = tokio::spawn({
        let registry = registry.clone();
        async move { registry.register(instance("orders/a", "10.0.0.1:80"), anyone()).await }
    });
    tokio::task::yield_now().await;
    registry.close().await;
    late.await.expect("no panic").expect("was queued before");
    let closed = other.register(instance("orders/b", "10.0.0.1:80"), anyone()).await;
    assert_eq!(closed.expect_err("closed"), RegistryError::Closed);
    other.close().await;
    assert_eq!(open(folder.path()).await.restored, 1);
}

#[tokio::test]
async fn dropping_the_last_handle_unlocks_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, events: _events, .. } = open(folder.path()).await;
    registry.register(instance("orders/a", "10.0.0.1:80"), anyone()).await.expect("registered");
    drop(registry);
    let opened = loop {
        match Registry::open(&settings(folder.path())).await {
            Err(OpenError::Locked { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            opened => break opened.expect("opens"),
        }
    };
    assert_eq!(opened.restored, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_are_few_transactions_in_one_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    let began = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let registry = registry.clone();
        tasks.spawn(async move {
            // Ten ids, so that most of them are about the same instances.
            let at = |port| instance(&format!("orders/{}", n % 10), &format!("10.0.0.1:{port}"));
            let answer = registry.register(at(1 + n), anyone()).await.expect("registered");
            if n % 7 == 0 {
                registry.deregister(&at(1).key(), None, &anyone()).await.expect("deregistered");
            }
            answer.registration.generation
        });
    }
    let mut generations: Vec<_> = tasks.join_all().await;
    println!("1,000 registrations at once: {:?}", began.elapsed());
    generations.sort_unstable();
    assert_eq!(generations, (1..=1000).collect::<Vec<_>>(), "each its own");

    // Whoever follows the events ends up with what the store holds.
    let mut followed = std::collections::BTreeMap::new();
    let mut last = 0;
    while let Ok(event) = events.try_recv() {
        match event {
            RegistryEvent::Upserted { registration, .. } => {
                assert!(registration.generation > last, "in order");
                last = registration.generation;
                followed.insert(registration.instance.key(), registration);
            }
            RegistryEvent::Removed { key, generation, .. } => {
                let removed = followed.remove(&key).expect("was there");
                assert_eq!(removed.generation, generation, "the one that was there");
            }
            event => panic!("nobody asked for {event:?}"),
        }
    }
    let (_copy, mut opened) = open_as_after_a_crash(folder.path()).await;
    let mut stored = Vec::new();
    while let Ok(RegistryEvent::Upserted { registration, .. }) = opened.events.try_recv() {
        stored.push(registration);
    }
    assert_eq!(stored, followed.into_values().collect::<Vec<_>>());
}

// From here on time is paused once the disk has been written: paused time
// runs on by itself while the runtime waits for the writer.

#[tokio::test]
async fn a_lease_runs_out_comes_back_and_is_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    let orders = instance("orders/a", "10.0.0.1:80");
    registry.register(orders.clone(), anyone()).await.expect("registered");
    assert_eq!(queued(&mut events), ["upserted orders/a#1"]);
    tokio::time::pause();

    assert_eq!(next(&mut events).await, "expired orders/a#1");
    assert_eq!(registry.lease_left(&orders.key()), Some(Some(Duration::ZERO)));
    tokio::time::sleep(Duration::from_secs(300)).await;
    registry.heartbeat(&orders.key(), None, &anyone()).expect("revived");
    assert_eq!(queued(&mut events), ["renewed orders/a#1"]);

    assert_eq!(next(&mut events).await, "expired orders/a#1");
    assert_eq!(next(&mut events).await, "Forgotten orders/a#1");
    assert!(registry.is_empty());
    tokio::time::resume();
    let (_copy, opened) = open_as_after_a_crash(folder.path()).await;
    assert_eq!(opened.restored, 0);
}

#[tokio::test]
async fn registering_again_revives_an_expired_lease() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    let orders = instance("orders/a", "10.0.0.1:80");
    registry.register(orders.clone(), anyone()).await.expect("registered");
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(20)).await;
    tokio::time::resume();
    assert_eq!(queued(&mut events), ["upserted orders/a#1", "expired orders/a#1"]);
    registry.register(orders, anyone()).await.expect("registered");
    assert_eq!(queued(&mut events), ["renewed orders/a#1"]);
}

#[tokio::test]
async fn what_cannot_be_forgotten_on_disk_is_not_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    let orders = instance("orders/a", "10.0.0.1:80");
    registry.register(orders.clone(), anyone()).await.expect("registered");
    registry.embedded().tamper(|store| store.fail_next = Some(StoreFault::Full)).await;
    tokio::time::pause();
    assert_eq!(next(&mut events).await, "upserted orders/a#1");
    assert_eq!(next(&mut events).await, "expired orders/a#1");
    while registry.store_state() == StoreState::Writable {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(registry.len(), 1);
    assert_eq!(next(&mut events).await, "Forgotten orders/a#1", "the second attempt");
}

#[tokio::test]
async fn giving_up_is_for_one_generation_and_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    let mut orders = instance("orders/a", "10.0.0.1:80");
    orders.ttl = None;
    registry.register(orders.clone(), anyone()).await.expect("registered");
    assert_eq!(registry.lease_left(&orders.key()), Some(None));
    registry.give_up(&orders.key(), 7);
    registry.give_up(&orders.key(), 1);
    assert_eq!(next(&mut events).await, "upserted orders/a#1");
    assert_eq!(next(&mut events).await, "GaveUp orders/a#1");
    let (_copy, opened) = open_as_after_a_crash(folder.path()).await;
    assert_eq!(opened.restored, 0);
}

/// `advance` moves the clock in one go, which is what a process sees that was
/// stopped meanwhile.
#[tokio::test]
async fn a_stop_of_the_process_expires_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    for n in 0..10 {
        let instance = instance(&format!("orders/{n}"), "10.0.0.1:80");
        registry.register(instance, anyone()).await.expect("registered");
    }
    assert_eq!(queued(&mut events).len(), 10);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(5)).await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(queued(&mut events), [""; 0]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(queued(&mut events).len(), 10, "then their time is over");
}
