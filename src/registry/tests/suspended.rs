//! A store between two processes, and registrations under one id.

use super::*;

#[tokio::test]
async fn a_store_that_was_given_up_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, .. } = open(folder.path()).await;
    registry.register(instance("orders/a", "http://10.0.0.1:80"), anyone()).await.expect("new");
    let suspended = registry.suspend().await.expect("closed");
    // Another process has it, and ends soon.
    let other = Registry::take_over(&settings(folder.path()), suspended.leases()).await;
    let other = other.expect("it is free").registry;
    let asked = registry.clone();
    let waiting = tokio::spawn(async move {
        asked.register(instance("orders/b", "http://10.0.0.2:80"), anyone()).await
    });
    other.close().await;
    // Whoever held it is gone without a word.
    drop(suspended);
    waiting.await.expect("no panic").expect("registered");
    assert_eq!(registry.len(), 2);
    registry.close().await;
    assert_eq!(open(folder.path()).await.restored, 2);
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_again_says_so_and_is_tried_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, .. } = open(folder.path()).await;
    let suspended = registry.suspend().await.expect("closed");
    let other = Registry::take_over(&settings(folder.path()), suspended.leases()).await;
    let other = other.expect("it is free").registry;
    let error = suspended.resume().await.expect_err("another process has it");
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(matches!(registry.store_state(), StoreState::Failed { .. }));
    let refused = registry.register(instance("orders/a", "http://10.0.0.1:80"), anyone()).await;
    assert!(matches!(refused, Err(RegistryError::StoreFailed { .. })), "{refused:?}");
    other.close().await;
    while registry.store_state() != StoreState::Writable {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    registry.register(instance("orders/a", "http://10.0.0.1:80"), anyone()).await.expect("new");
}

#[tokio::test]
async fn leases_stand_still_until_the_registry_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, .. } = open(folder.path()).await;
    let mut short = instance("orders/a", "http://10.0.0.1:80");
    short.ttl = Some(HumanDuration(Duration::from_secs(1)));
    registry.register(short, anyone()).await.expect("new");
    let suspended = registry.suspend().await.expect("closed");
    let taken = Registry::take_over(&settings(folder.path()), suspended.leases()).await;
    let Opened { registry: heir, mut events, .. } = taken.expect("it is free");
    suspended.leave();
    assert!(matches!(events.recv().await, Some(RegistryEvent::Upserted { .. })));
    let left = heir.lease_left(&key("orders/a")).flatten().expect("it has a lease");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(events.try_recv().is_err(), "nothing has expired");
    heir.begin();
    let now = heir.lease_left(&key("orders/a")).flatten().expect("it has a lease");
    assert!(!now.is_zero(), "{now:?} of {left:?}");
    let expired = events.recv().await;
    assert!(matches!(expired, Some(RegistryEvent::LeaseExpired { .. })), "{expired:?}");
}

#[tokio::test]
async fn whoever_was_replaced_does_not_speak_for_the_one_that_came() {
    let folder = tempfile::tempdir().expect("a folder");
    let Opened { registry, .. } = open(folder.path()).await;
    let old = registry.register(instance("orders/a", "http://10.0.0.1:80"), anyone()).await;
    let old = old.expect("new").registration.generation;
    let new = registry.register(instance("orders/a", "http://10.0.0.1:81"), anyone()).await;
    let new = new.expect("replaced").registration.generation;
    let key = key("orders/a");
    let replaced = || RegistryError::Replaced { key: key.clone(), generation: new };
    assert_eq!(registry.heartbeat(&key, Some(old), &anyone()), Err(replaced()));
    assert_eq!(registry.drain(&key, Some(old), &anyone()).await, Err(replaced()));
    assert_eq!(registry.deregister(&key, Some(old), &anyone()).await, Ok(None));
    assert!(!registry.heartbeat(&key, Some(new), &anyone()).expect("renewed").draining);
    assert_eq!(registry.drain(&key, Some(new), &anyone()).await, Ok(new));
    assert_eq!(registry.deregister(&key, Some(new), &anyone()).await, Ok(Some(new)));
}
