//! The rules of registering, without a disk.

use super::*;
use crate::registry::tests::instance;

fn settings(services: u32, instances: u32) -> RegistrySettings {
    RegistrySettings {
        max_services: services.try_into().expect("not zero"),
        max_instances_per_service: instances.try_into().expect("not zero"),
        ..Default::default()
    }
}

fn ledger() -> Ledger {
    Ledger::restore(&[], 0, &RegistrySettings::default())
}

fn token(name: &str) -> Caller {
    Caller::Token(name.to_owned())
}

/// Registers and gives the change and the generation.
fn register(
    ledger: &mut Ledger,
    instance: Instance,
    caller: Caller,
) -> Result<(Option<Change>, u64), RegistryError> {
    let outcome = ledger.apply(&Operation::Register { instance: instance.into(), caller })?;
    ledger.keep();
    Ok((outcome.change, outcome.registration.generation))
}

fn drain(ledger: &mut Ledger, key: &str, caller: Caller) -> Result<Option<Change>, RegistryError> {
    let key = key.parse().expect("a key");
    let outcome = ledger.apply(&Operation::Drain { key, generation: None, caller })?;
    ledger.keep();
    Ok(outcome.change)
}

fn deregister(ledger: &mut Ledger, key: &str, caller: Caller) -> Result<u64, RegistryError> {
    let key = key.parse().expect("a key");
    let outcome = ledger.apply(&Operation::Deregister { key, generation: None, caller })?;
    ledger.keep();
    Ok(outcome.registration.generation)
}

#[test]
fn the_same_body_again_changes_nothing() {
    let mut ledger = ledger();
    let orders = || instance("orders/a", "10.0.0.1:80");
    let anyone = || Caller::Admin(None);
    assert_eq!(register(&mut ledger, orders(), anyone()), Ok((Some(Change::Created), 1)));
    assert_eq!(register(&mut ledger, orders(), anyone()), Ok((None, 1)));
}

#[test]
fn a_generation_is_one_process() {
    let mut ledger = ledger();
    let anyone = || Caller::Admin(None);
    let mut orders = instance("orders/a", "10.0.0.1:80");
    assert_eq!(register(&mut ledger, orders.clone(), anyone()), Ok((Some(Change::Created), 1)));

    let edits: [fn(&mut Instance); 7] = [
        |it| it.weight = 7.try_into().expect("a weight"),
        |it| it.zone = Some("a".to_owned()),
        |it| it.version = Some("2".to_owned()),
        |it| it.tags = vec!["canary".to_owned()],
        |it| it.metadata = [("k".to_owned(), "v".to_owned())].into(),
        |it| it.ttl = None,
        |it| it.health.path = Some("/healthz".to_owned()),
    ];
    for edit in edits {
        edit(&mut orders);
        assert_eq!(register(&mut ledger, orders.clone(), anyone()), Ok((Some(Change::Updated), 1)));
    }

    orders.origin = "10.0.0.1:81".parse().expect("an address");
    assert_eq!(register(&mut ledger, orders.clone(), anyone()), Ok((Some(Change::Replaced), 2)));
    assert_eq!(drain(&mut ledger, "orders/a", anyone()), Ok(Some(Change::Draining)));
    assert_eq!(drain(&mut ledger, "orders/a", anyone()), Ok(None));
    assert_eq!(register(&mut ledger, orders.clone(), anyone()), Ok((Some(Change::Replaced), 3)));
    assert_eq!(deregister(&mut ledger, "orders/a", anyone()), Ok(3));
    assert!(deregister(&mut ledger, "orders/a", anyone()).is_err());
    assert_eq!(register(&mut ledger, orders, anyone()), Ok((Some(Change::Created), 4)));
}

#[test]
fn two_ids_may_share_an_address() {
    let mut ledger = ledger();
    for (id, generation) in [("orders/a", 1), ("orders/b", 2), ("users/a", 3)] {
        let result = register(&mut ledger, instance(id, "10.0.0.1:80"), Caller::Admin(None));
        assert_eq!(result, Ok((Some(Change::Created), generation)));
    }
}

#[test]
fn an_instance_belongs_to_the_token_that_made_it() {
    let mut ledger = ledger();
    let orders = || instance("orders/a", "10.0.0.1:80");
    let moved = || instance("orders/a", "10.0.0.2:80");
    let owned = || RegistryError::Owned { key: orders().key() };
    register(&mut ledger, orders(), token("orders")).expect("free");

    assert_eq!(register(&mut ledger, orders(), token("evil")), Err(owned()), "not even unchanged");
    assert_eq!(register(&mut ledger, moved(), token("evil")), Err(owned()));
    assert_eq!(drain(&mut ledger, "orders/a", token("evil")), Err(owned()));
    assert_eq!(deregister(&mut ledger, "orders/a", token("evil")), Err(owned()));

    let admin = || Caller::Admin(Some("root".to_owned()));
    assert_eq!(register(&mut ledger, moved(), admin()), Ok((Some(Change::Replaced), 2)));
    assert_eq!(drain(&mut ledger, "orders/a", token("orders")), Ok(Some(Change::Draining)));
    assert_eq!(deregister(&mut ledger, "orders/a", admin()), Ok(2));
    register(&mut ledger, orders(), token("evil")).expect("free again");
}

#[test]
fn what_nobody_owns_is_for_admins() {
    let mut ledger = ledger();
    register(&mut ledger, instance("orders/a", "10.0.0.1:80"), Caller::Admin(None)).expect("free");
    let result = deregister(&mut ledger, "orders/a", token("orders"));
    assert!(matches!(result, Err(RegistryError::Owned { .. })));
    assert_eq!(deregister(&mut ledger, "orders/a", Caller::Admin(None)), Ok(1));
}

#[test]
fn limits_hold_and_removals_make_room() {
    let mut ledger = Ledger::restore(&[], 0, &settings(2, 2));
    let anyone = || Caller::Admin(None);
    let mut try_register =
        |key: &str| register(&mut ledger, instance(key, "10.0.0.1:80"), anyone()).map(drop);
    assert_eq!(try_register("a/1"), Ok(()));
    assert_eq!(try_register("a/2"), Ok(()));
    let service = "a".parse().expect("a name");
    assert_eq!(try_register("a/3"), Err(RegistryError::TooManyInstances { service, limit: 2 }));
    assert_eq!(try_register("a/2"), Ok(()), "not a new one");
    assert_eq!(try_register("b/1"), Ok(()));
    assert_eq!(try_register("c/1"), Err(RegistryError::TooManyServices { limit: 2 }));
    deregister(&mut ledger, "b/1", anyone()).expect("was there");
    register(&mut ledger, instance("c/1", "10.0.0.1:80"), anyone()).expect("there is room again");
}

#[test]
fn a_removal_by_the_proxy_is_for_one_generation() {
    let mut ledger = ledger();
    let anyone = || Caller::Admin(None);
    register(&mut ledger, instance("orders/a", "10.0.0.1:80"), anyone()).expect("free");
    register(&mut ledger, instance("orders/a", "10.0.0.1:81"), anyone()).expect("replaced");
    let mut remove = |generation| {
        let key = "orders/a".parse().expect("a key");
        ledger.apply(&Operation::Remove { key, generation, why: Removal::GaveUp })
    };
    assert!(remove(1).is_err());
    let change = remove(2).expect("the current one").change;
    assert_eq!(change, Some(Change::Removed(Removal::GaveUp)));
}

#[test]
fn an_undone_batch_never_happened_but_its_generations_are_spent() {
    let mut ledger = Ledger::restore(&[], 0, &settings(2, 10));
    let anyone = || Caller::Admin(None);
    let kept = instance("orders/a", "10.0.0.1:80");
    register(&mut ledger, kept.clone(), anyone()).expect("free");
    let before = (ledger.registrations.clone(), ledger.services.clone());

    let mut moved = kept.clone();
    moved.origin = "10.0.0.9:80".parse().expect("an address");
    let key = kept.key();
    for operation in [
        Operation::Register { instance: moved.clone().into(), caller: anyone() },
        Operation::Drain { key: key.clone(), generation: None, caller: anyone() },
        Operation::Deregister { key: key.clone(), generation: None, caller: anyone() },
        Operation::Register {
            instance: instance("users/a", "10.0.0.2:80").into(),
            caller: anyone(),
        },
        Operation::Register { instance: moved.into(), caller: anyone() },
    ] {
        ledger.apply(&operation).expect("applies");
    }
    ledger.undo();
    assert_eq!((ledger.registrations.clone(), ledger.services.clone()), before);
    ledger.undo();
    assert_eq!(ledger.registrations, before.0, "nothing left to undo");
    let next = register(&mut ledger, instance("orders/b", "10.0.0.3:80"), anyone());
    assert_eq!(next, Ok((Some(Change::Created), 5)));
}

proptest::proptest! {
    /// Against a map that is copied before every batch.
    #[test]
    fn undo_gives_back_the_copy(
        batches in proptest::collection::vec(
            (proptest::collection::vec((0..4u8, 0..3u8, 0..3u8), 0..12), proptest::bool::ANY), 0..12)
    ) {
        let mut ledger = Ledger::restore(&[], 0, &settings(2, 2));
        let mut last_generation = 0;
        for (batch, keep) in batches {
            let before = (ledger.registrations.clone(), ledger.services.clone());
            for (action, id, port) in batch {
                let instance = instance(&format!("s{}/{id}", id % 2), &format!("10.0.0.1:8{port}"));
                let (key, caller) = (instance.key(), Caller::Admin(None));
                drop(ledger.apply(&match action {
                    0 | 1 => Operation::Register { instance: instance.into(), caller },
                    2 => Operation::Drain { key, generation: None, caller },
                    _ => Operation::Deregister { key, generation: None, caller },
                }));
                assert!(ledger.last_generation >= last_generation);
                last_generation = ledger.last_generation;
            }
            if keep {
                ledger.keep();
            } else {
                ledger.undo();
                assert_eq!((ledger.registrations.clone(), ledger.services.clone()), before);
            }
            let mut services = HashMap::new();
            for key in ledger.registrations.keys() {
                *services.entry(key.service.clone()).or_insert(0) += 1;
            }
            assert_eq!(ledger.services, services);
        }
    }
}
