//! A disk that is full, fails or may only be read: said so, and nothing that
//! was acknowledged is lost.

use super::*;

/// A registration that needs a few pages.
fn large(n: usize) -> Instance {
    let mut instance = instance(&format!("orders/{n}"), "10.0.0.1:80");
    instance.metadata = (0..64).map(|n| (n.to_string(), "v".repeat(512))).collect();
    instance
}

/// Gives the store no more than `pages` pages: SQLite says that the disk is
/// full, in the place and by the way in which it does on a full disk.
async fn limit(registry: &Registry, pages: u32) {
    registry
        .embedded()
        .tamper(move |store| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            store.connection().query_row(&sql, [], |_| Ok(())).expect("limited");
        })
        .await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    limit(&registry, 40).await;
    let mut acknowledged = 0;
    let error = loop {
        match registry.register(large(acknowledged), anyone()).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, RegistryError::StoreFull);
    assert!(!error.is_callers_fault());
    assert!(acknowledged > 0);
    let StoreState::Full { since } = registry.store_state() else { panic!("full") };
    assert_eq!(registry.len(), acknowledged);
    assert_eq!(queued(&mut events).len(), acknowledged);

    assert!(registry.register(large(acknowledged), anyone()).await.is_err());
    assert_eq!(registry.store_state(), StoreState::Full { since }, "since the first");
    let same = registry.register(large(0), anyone()).await.expect("needs no room");
    assert!(!same.changed);
    registry.heartbeat(&key("orders/0"), None, &anyone()).expect("needs no room");
    assert_eq!(registry.deregister(&key("orders/nobody"), None, &anyone()).await, Ok(None));
    let (copy, opened) = open_as_after_a_crash(folder.path()).await;
    assert_eq!(opened.restored, acknowledged);
    drop((copy, opened));

    limit(&registry, 1_000_000).await;
    registry.register(large(acknowledged), anyone()).await.expect("there is room");
    assert_eq!(registry.store_state(), StoreState::Writable);
    let (_copy, opened) = open_as_after_a_crash(folder.path()).await;
    assert_eq!(opened.restored, acknowledged + 1);
}

#[tokio::test]
async fn a_failed_fsync_ends_writing_for_good_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, mut events, .. } = open(folder.path()).await;
    let orders = instance("orders/a", "10.0.0.1:80");
    registry.register(orders.clone(), anyone()).await.expect("registered");
    let fault = StoreFault::Disk { code: 1034, text: "disk I/O error".to_owned() };
    let failed = RegistryError::StoreFailed { reason: fault.clone() };
    registry.embedded().tamper(move |store| store.fail_next = Some(fault)).await;

    for _ in 0..2 {
        let refused = registry.register(instance("orders/b", "10.0.0.1:80"), anyone()).await;
        assert_eq!(refused.expect_err("refused"), failed);
        assert_eq!(registry.drain(&orders.key(), None, &anyone()).await, Err(failed.clone()));
        assert_eq!(registry.deregister(&orders.key(), None, &anyone()).await, Err(failed.clone()));
    }
    assert!(matches!(registry.store_state(), StoreState::Failed { .. }));
    registry.heartbeat(&orders.key(), None, &anyone()).expect("needs no disk");
    assert!(!registry.register(orders, anyone()).await.expect("is on disk").changed);
    assert_eq!(queued(&mut events), ["upserted orders/a#1", "renewed orders/a#1"]);
    registry.close().await;
    assert!(folder.path().join("registry.db-wal").exists(), "not tidied");
    let restarted = open(folder.path()).await;
    assert_eq!(restarted.restored, 1);
    let again = restarted.registry.register(instance("orders/b", "10.0.0.1:80"), anyone()).await;
    again.expect("a restart ends it");
}

#[tokio::test]
async fn a_read_only_store_fails_until_it_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, events: _events, .. } = open(folder.path()).await;
    let read_only = |on: bool| {
        registry.embedded().tamper(move |store| {
            store.connection().pragma_update(None, "query_only", on).expect("set");
        })
    };
    read_only(true).await;
    let orders = instance("orders/a", "10.0.0.1:80");
    let error = registry.register(orders.clone(), anyone()).await.expect_err("read-only");
    assert_eq!(error, RegistryError::StoreFailed { reason: StoreFault::ReadOnly });
    assert!(matches!(registry.store_state(), StoreState::Failed { .. }));
    read_only(false).await;
    registry.register(orders, anyone()).await.expect("writable");
    assert_eq!(registry.store_state(), StoreState::Writable);
}
