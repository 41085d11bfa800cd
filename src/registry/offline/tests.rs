//! Stores without a proxy: checked, carried over and put back together.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::registry::{
    Caller, Opened, Registry, RegistrySettings,
    tests::{instance, key, registration},
};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn open(folder: &TempDir) -> Opened {
    let data_dir = folder.path().to_owned();
    Registry::open(&RegistrySettings { data_dir, ..Default::default() }).await.expect("opens")
}

/// A closed store with instances `ids` of tokens of their own, the first of
/// which is draining, and a snapshot of it.
async fn store_of(ids: &[&str]) -> TempDir {
    let folder = folder();
    let Opened { registry, events: _events, .. } = open(&folder).await;
    for id in ids {
        let caller = Caller::Token((*id).to_owned());
        let instance = instance(&format!("orders/{id}"), "10.0.0.1:80");
        registry.register(instance, caller).await.expect("registered");
    }
    let first = key(&format!("orders/{}", ids[0]));
    registry.drain(&first, None, &Caller::Admin(None)).await.expect("drained");
    registry.close().await;
    folder
}

fn names(export: &Export) -> Vec<String> {
    let all = export.registrations().iter();
    all.map(|it| format!("{}#{}", it.instance.id, it.generation)).collect()
}

fn contents(folder: &TempDir) -> Vec<String> {
    names(&export(folder.path()).expect("whole"))
}

#[tokio::test]
async fn an_export_carries_everything_over() {
    let from = store_of(&["a", "b"]).await;
    let exported = export(from.path()).expect("whole");
    assert!(exported.registrations()[0].draining);
    assert_eq!(exported.registrations()[1].owner.as_deref(), Some("b"));
    for replace in [false, true] {
        let to = folder();
        let imported = import(to.path(), &exported, replace).expect("imported");
        assert_eq!((imported.taken, imported.instances), (2, 2));
        let again = export(to.path()).expect("whole");
        assert_eq!(again.registrations(), exported.registrations());
        assert_eq!(again.last_generation(), exported.last_generation());
        assert!(verify(to.path()).store.is_ok());
    }
}

#[tokio::test]
async fn what_is_there_already_stays_unless_it_is_to_be_replaced() {
    let (one, other) = (store_of(&["a", "b"]).await, store_of(&["b", "c", "d"]).await);
    let exported = export(one.path()).expect("whole");
    let imported = import(other.path(), &exported, false).expect("imported");
    let Imported { taken, kept, removed, instances } = imported;
    assert_eq!((taken, kept, removed, instances), (1, 1, 0, 4));
    assert_eq!(contents(&other), ["a#4", "b#1", "c#2", "d#3"], "1 was given here already");
    let imported = import(other.path(), &exported, true).expect("imported");
    let Imported { taken, kept, removed, instances } = imported;
    assert_eq!((taken, kept, removed, instances), (2, 0, 2, 2));
    assert_eq!(contents(&other), ["a#1", "b#2"]);
    let before = snapshot::list(other.path()).expect("readable").pop().expect("a snapshot").1;
    let before = snapshot::read(&before).expect("whole");
    assert_eq!(names(&before), ["a#4", "b#1", "c#2", "d#3"]);
    let imported = import(other.path(), &exported, true).expect("imported");
    assert_eq!((imported.taken, imported.kept, imported.removed), (0, 2, 0), "a second time");
    let Opened { registry, .. } = open(&other).await;
    let next = registry.register(instance("orders/x", "h:80"), Caller::Admin(None)).await;
    assert_eq!(next.expect("registered").registration.generation, 5);
}

#[tokio::test]
async fn a_store_in_use_is_read_and_not_written() {
    let folder = folder();
    let Opened { registry, events: _events, .. } = open(&folder).await;
    registry.register(instance("orders/a", "h:80"), Caller::Admin(None)).await.expect("registered");
    assert_eq!(contents(&folder), ["a#1"]);
    assert!(verify(folder.path()).store.is_ok());
    let exported = export(folder.path()).expect("whole");
    let refused = import(folder.path(), &exported, true).expect_err("in use").to_string();
    assert!(refused.contains("is in use by process"), "{refused}");
    let refused = restore(folder.path(), None).expect_err("in use").to_string();
    assert!(refused.contains("is in use by process"), "{refused}");
    registry.close().await;
}

#[tokio::test]
async fn a_damaged_store_is_restored_from_the_newest_good_snapshot() {
    let folder = store_of(&["a", "b"]).await;
    let Opened { registry, events: _events, .. } = open(&folder).await;
    registry.register(instance("orders/c", "h:80"), Caller::Admin(None)).await.expect("registered");
    registry.close().await;
    let database = store::path(folder.path());
    let bytes = fs::read(&database).expect("readable");
    fs::write(&database, &bytes[..bytes.len() / 2]).expect("cut");
    let found = verify(folder.path());
    assert!(found.store.is_err());
    assert_eq!(found.snapshots.len(), 2);
    fs::write(&found.snapshots[0].0, "rubbish").expect("written");

    let restored = restore(folder.path(), None).expect("restored");
    assert_eq!(restored.passed_over.len(), 1);
    assert_eq!(names(&restored.export), ["a#1", "b#2"]);
    assert_eq!(fs::read(restored.aside.join("registry.db")).expect("kept").len(), bytes.len() / 2);
    assert_eq!(contents(&folder), ["a#1", "b#2"]);
    assert!(export(folder.path()).expect("whole").registrations()[0].draining);
    let Opened { registry, .. } = open(&folder).await;
    let next = registry.register(instance("orders/x", "h:80"), Caller::Admin(None)).await;
    let next = next.expect("registered").registration.generation;
    assert!(next > GAP, "{next} can have been given since");
}

#[tokio::test]
async fn restoring_a_store_that_still_counts_goes_on_counting() {
    let folder = store_of(&["a", "b"]).await;
    let Opened { registry, events: _events, .. } = open(&folder).await;
    for _ in 0..3 {
        registry.register(instance("x/x", "h:80"), Caller::Admin(None)).await.expect("registered");
        registry.deregister(&key("x/x"), None, &Caller::Admin(None)).await.expect("deregistered");
    }
    registry.close().await;
    let oldest = snapshot::list(folder.path()).expect("readable").remove(0).1;
    restore(folder.path(), Some(&oldest)).expect("restored");
    assert_eq!(export(folder.path()).expect("whole").last_generation(), 5);
}

#[tokio::test]
async fn what_a_damaged_store_still_tells_can_be_saved() {
    let folder = store_of(&["a", "b", "c"]).await;
    let connection = rusqlite::Connection::open(store::path(folder.path())).expect("opens");
    connection.execute_batch("UPDATE instance SET body = '{}' WHERE id = 'b'").expect("damaged");
    drop(connection);
    assert!(export(folder.path()).is_err());
    let (saved, wrong) = export_readable(folder.path()).expect("readable");
    assert_eq!(names(&saved), ["a#1", "c#3"]);
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].to_string().contains("orders/b"));
    let file = folder.path().join("saved.jsonl");
    super::super::write_whole(&file, saved.to_text().as_bytes()).expect("written");
    restore(folder.path(), Some(&file)).expect("restored");
    assert_eq!(contents(&folder), ["a#1", "c#3"]);
}

#[tokio::test]
async fn restoring_without_anything_to_restore_from_changes_nothing() {
    let nowhere = folder().path().join("nowhere");
    assert!(restore(&nowhere, None).is_err());
    assert!(!nowhere.exists(), "not made");
    let empty = folder();
    let refused = restore(empty.path(), None).expect_err("nothing").to_string();
    assert!(refused.contains("holds no snapshot that is whole"), "{refused}");
    let folder = store_of(&["a"]).await;
    let file = folder.path().join("bad.jsonl");
    fs::write(&file, "{\"portolan_registry\":1}\n{}\n").expect("written");
    let refused = restore(folder.path(), Some(&file)).expect_err("bad").to_string();
    assert!(refused.contains("bad.jsonl: line 2: missing field"), "{refused}");
    assert_eq!(contents(&folder), ["a#1"]);
    let never = verify(empty.path());
    assert!(matches!(never.store, Err(OpenError::NoStore { .. })), "{never:?}");
}

#[test]
fn a_generation_is_not_given_twice_by_a_merge() {
    let of = |rows: &[(&str, u64)], last_generation| {
        let rows = rows.iter().map(|(key, n)| registration(instance(key, "h:80"), *n));
        Contents { registrations: rows.collect(), last_generation, commits: 1 }
    };
    let present = of(&[("orders/a", 2), ("orders/c", 4)], 6);
    let export = Export::of(of(&[("orders/a", 9), ("orders/b", 4), ("orders/d", 8)], 10));
    let (merged, _) = merged(&present, &export);
    let got = merged.registrations.iter().map(|it| (it.instance.id.as_str(), it.generation));
    assert_eq!(got.collect::<Vec<_>>(), [("a", 2), ("b", 11), ("c", 4), ("d", 8)]);
    assert_eq!(merged.last_generation, 11);
}
