//! Leases that run out, and whose heartbeats come after all.

use super::*;

#[test]
fn an_expired_lease_is_outweighed_by_http_probes_for_a_while() {
    let mut catalog = catalog();
    catalog.registers("orders/a", 80, 1);
    catalog.probes("orders/a", true, false, at(0));
    catalog.refresh(at(0));
    catalog.lease_expired(&key("orders/a"), 1, at(10));
    catalog.refresh(at(10));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Suspect);
    assert_eq!(catalog.targets("orders").len(), 1);
    catalog.touch_suspects(at(69));
    catalog.refresh(at(69));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Suspect);
    catalog.touch_suspects(at(70));
    catalog.refresh(at(70));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Unhealthy);
    assert_eq!(catalog.targets("orders"), []);
    catalog.lease_renewed(&key("orders/a"), 1);
    catalog.refresh(at(71));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Healthy);
}

#[test]
fn a_younger_registration_of_the_same_address_ends_the_grace() {
    for before in [true, false] {
        let mut catalog = catalog();
        catalog.registers("orders/a", 80, 1);
        catalog.probes("orders/a", true, false, at(0));
        if before {
            catalog.registers("payments/b", 80, 2);
        }
        catalog.lease_expired(&key("orders/a"), 1, at(10));
        catalog.refresh(at(10));
        if !before {
            assert_eq!(catalog.state_of("orders/a"), InstanceState::Suspect);
            catalog.registers("payments/b", 80, 2);
            catalog.refresh(at(10));
        }
        assert_eq!(catalog.state_of("orders/a"), InstanceState::Unhealthy);
        // It is not held against it once it has come back.
        catalog.lease_renewed(&key("orders/a"), 1);
        catalog.remove(&key("payments/b"), 2, "it was asked for", at(0));
        catalog.lease_expired(&key("orders/a"), 1, at(20));
        catalog.refresh(at(20));
        assert_eq!(catalog.state_of("orders/a"), InstanceState::Suspect);
    }
}

#[test]
fn an_older_registration_of_the_same_address_claims_nothing() {
    let mut catalog = catalog();
    catalog.registers("payments/b", 80, 1);
    catalog.registers("orders/a", 80, 2);
    catalog.probes("orders/a", true, false, at(0));
    catalog.lease_expired(&key("orders/a"), 2, at(10));
    catalog.refresh(at(10));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Suspect);
}

#[test]
fn a_heartbeat_is_all_that_some_ask_for() {
    let mut catalog = catalog();
    for ttl in [Some(HumanDuration::from_secs(10)), None] {
        let mut registration = registration("orders/a", 80, 1);
        registration.instance.health.kind = Some(crate::model::ProbeKind::Ttl);
        registration.instance.ttl = ttl;
        catalog.upsert(registration, true, at(0));
        catalog.refresh(at(0));
        assert_eq!(catalog.state_of("orders/a"), InstanceState::Starting);
        catalog.lease_renewed(&key("orders/a"), 1);
        catalog.refresh(at(0));
        assert_eq!(catalog.state_of("orders/a"), InstanceState::Healthy);
        catalog.remove(&key("orders/a"), 1, "it was asked for", at(0));
    }
    assert!(catalog.take_probe_changes().is_empty(), "nothing is probed");
}

#[test]
fn heartbeats_from_before_they_were_all_that_is_asked_for_count() {
    let mut catalog = catalog();
    let mut endless = registration("orders/a", 80, 1);
    endless.instance.ttl = None;
    endless.instance.health = HealthSettings::default();
    catalog.upsert(endless.clone(), false, at(0));
    // The registry tells of the first one alone.
    catalog.lease_renewed(&key("orders/a"), 1);
    configured(&mut catalog, "[service.orders]\nhealth = { kind = 'ttl' }\n");
    catalog.refresh(at(1));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Healthy, "by a new file");
    configured(&mut catalog, "[service.orders]\nhealth = { kind = 'http' }\n");
    endless.instance.health.kind = Some(crate::model::ProbeKind::Ttl);
    catalog.upsert(endless, false, at(2));
    catalog.refresh(at(2));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Healthy, "by an edit");
}
