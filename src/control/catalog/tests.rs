//! The catalog told what happens, and asked what it makes of it.

mod departures;
mod leases;
mod outliers;
mod random;

use super::*;
use crate::registry::Registration;
use crate::{
    control::predecessor::Predecessor,
    health::{Outcome, ProbeReport},
    model::{HealthSettings, HumanDuration, Probe, Verdict, Weight},
};

fn at(seconds: u64) -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now) + Duration::from_secs(seconds)
}

/// An empty one. That its endpoints ring is not heard.
fn catalog() -> Catalog {
    let (bell, rung) = mpsc::channel(100);
    // Or it could not be rung.
    std::mem::forget(rung);
    Catalog::new(1, bell)
}

fn key(text: &str) -> InstanceKey {
    text.parse().expect("a key")
}

/// A registration with a TTL and an HTTP probe.
fn registration(key: &str, port: u16, generation: u64) -> Registration {
    let InstanceKey { service, id } = self::key(key);
    let health = HealthSettings { path: Some("/up".to_owned()), ..Default::default() };
    let instance = Instance {
        service,
        id,
        origin: format!("http://10.0.0.1:{port}").parse().expect("an origin"),
        weight: Weight::default(),
        zone: None,
        version: None,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        ttl: Some(HumanDuration::from_secs(10)),
        health,
        foreign: None,
    };
    Registration { instance, generation, draining: false, owner: None }
}

fn configured(catalog: &mut Catalog, text: &str) {
    let config = crate::config::parse(text, "proxy.toml", &|_| None).expect("a config").config;
    let needed = config.route.iter().filter_map(|route| route.service.clone()).collect();
    catalog.configure(Duration::from_secs(60), &config.defaults, &config.service, &needed, at(0));
}

impl Catalog {
    fn registers(&mut self, key: &str, port: u16, generation: u64) {
        self.upsert(registration(key, port, generation), false, at(0));
    }

    fn endpoint_of(&self, key: &str) -> Arc<Endpoint> {
        Arc::clone(&self.entry(&self::key(key)).expect("there").endpoint)
    }

    fn state_of(&self, key: &str) -> InstanceState {
        self.entry(&self::key(key)).expect("there").state
    }

    /// A probe of `key` that passes, fails, or is refused.
    fn probes(&mut self, key: &str, passed: bool, refused: bool, now: Instant) {
        let report = report(&self.endpoint_of(key), passed, refused);
        self.probed(&report, now);
    }

    /// The targets of a service in the table.
    fn targets(&self, service: &str) -> Vec<(String, u16)> {
        let published = self.services.get(service).and_then(|service| service.published.as_ref());
        let targets = published.map_or(&[][..], |service| service.balancer.targets());
        let target = |target: &crate::balance::Target| {
            (target.endpoint.instance.id.to_string(), target.weight)
        };
        targets.iter().map(target).collect()
    }

    fn kinds(&mut self) -> Vec<String> {
        self.take_happened().iter().map(|happening| format!("{happening:?}")).collect()
    }
}

fn report(endpoint: &Endpoint, passed: bool, refused: bool) -> ProbeReport {
    let detail = String::new();
    ProbeReport {
        endpoint: endpoint.id,
        verdict: if passed { Verdict::Passing } else { Verdict::Failing },
        changed: true,
        outcome: Outcome { passed, refused, detail, took: Duration::ZERO },
        in_a_row: 1,
    }
}

#[test]
fn an_instance_is_routable_from_its_first_passing_probe_on() {
    let mut catalog = catalog();
    catalog.registers("orders/a", 80, 1);
    catalog.refresh(at(0));
    assert_eq!(catalog.targets("orders"), []);
    assert!(matches!(&catalog.take_probe_changes()[..], [ProbeChange::Watch(_)]));
    catalog.probes("orders/a", true, false, at(1));
    assert_eq!(catalog.refresh(at(1)).len(), 1);
    assert_eq!(catalog.targets("orders"), [("a".to_owned(), 100)]);
    assert!(catalog.refresh(at(2)).is_empty(), "nothing changed");
}

#[test]
fn an_edit_keeps_the_endpoint_and_what_is_known_of_it() {
    let mut catalog = catalog();
    catalog.registers("orders/a", 80, 1);
    catalog.probes("orders/a", true, false, at(0));
    catalog.refresh(at(0));
    let before = catalog.endpoint_of("orders/a");
    catalog.take_probe_changes();
    let mut edited = registration("orders/a", 80, 1);
    edited.instance.weight = Weight::try_from(7).expect("a weight");
    catalog.upsert(edited, false, at(1));
    catalog.refresh(at(1));
    assert!(Arc::ptr_eq(&before, &catalog.endpoint_of("orders/a")));
    assert_eq!(catalog.targets("orders"), [("a".to_owned(), 7)]);
    assert!(catalog.take_probe_changes().is_empty(), "no probe begins anew");
    assert!(!before.is_retired());
}

#[test]
fn a_new_generation_is_another_endpoint_and_the_old_one_leaves() {
    let mut catalog = catalog();
    catalog.registers("orders/a", 80, 1);
    catalog.probes("orders/a", true, false, at(0));
    catalog.refresh(at(0));
    let old = catalog.endpoint_of("orders/a");
    catalog.registers("orders/a", 81, 2);
    catalog.refresh(at(1));
    assert!(old.is_retired());
    assert_eq!(catalog.targets("orders"), [], "it is not probed yet");
    let leaving = catalog.leaving(&key("orders/a"), Some(1));
    assert!(Arc::ptr_eq(&leaving[0].endpoint, &old));
    assert!(catalog.leaving(&key("orders/a"), Some(2)).is_empty());
    // News of the old one is no news of the new one.
    catalog.probed(&report(&old, true, false), at(2));
    catalog.drain(&key("orders/a"), 1, Instant::now());
    catalog.remove(&key("orders/a"), 1, "too late", Instant::now());
    catalog.lease_expired(&key("orders/a"), 1, at(2));
    catalog.refresh(at(2));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Starting);
}

#[test]
fn who_leaves_is_let_go_when_nobody_can_pick_it_and_nothing_is_in_flight() {
    let mut catalog = catalog();
    catalog.registers("orders/a", 80, 1);
    catalog.probes("orders/a", true, false, at(0));
    catalog.refresh(at(0));
    let endpoint = catalog.endpoint_of("orders/a");
    let request = crate::model::InFlight::begin(&endpoint);
    catalog.drain(&key("orders/a"), 1, Instant::now());
    catalog.drain(&key("orders/a"), 1, Instant::now());
    assert_eq!(catalog.refresh(at(1)).len(), 1);
    assert_eq!(catalog.targets("orders"), []);
    assert!(catalog.is_anybody_leaving());
    catalog.let_go(u64::MAX, &Predecessor::default(), Instant::now());
    assert_eq!(catalog.leaving(&key("orders/a"), None).len(), 1, "not published yet");
    catalog.published(5);
    drop(request);
    catalog.let_go(4, &Predecessor::default(), Instant::now());
    assert_eq!(catalog.leaving(&key("orders/a"), None).len(), 1, "not acknowledged yet");
    let late = crate::model::InFlight::begin(&endpoint);
    catalog.remove(&key("orders/a"), 1, "it was asked for", Instant::now());
    catalog.refresh(at(2));
    catalog.let_go(5, &Predecessor::default(), Instant::now());
    let leaving = catalog.leaving(&key("orders/a"), None);
    assert_eq!((leaving.len(), leaving[0].ended().completed), (1, 1), "one is in flight");
    drop(late);
    catalog.take_happened();
    catalog.let_go(5, &Predecessor::default(), Instant::now());
    assert!(catalog.leaving(&key("orders/a"), None).is_empty());
    assert!(catalog.kinds()[0].contains("drained"));
    assert!(catalog.services.is_empty(), "nothing else needs the service");
}

#[test]
fn an_instance_of_the_file_is_not_the_one_that_registered_under_its_id() {
    let mut catalog = catalog();
    configured(&mut catalog, "[service.orders]\nendpoints = ['10.0.0.9:80']\n");
    catalog.refresh(at(0));
    let fixed = catalog.endpoint_of("orders/10.0.0.9:80");
    catalog.registers("orders/10.0.0.9:80", 80, 1);
    catalog.refresh(at(0));
    assert_eq!(catalog.services["orders"].entries.len(), 2);
    catalog.drain(&key("orders/10.0.0.9:80"), 1, Instant::now());
    catalog.remove(&key("orders/10.0.0.9:80"), 1, "it was asked for", Instant::now());
    catalog.refresh(at(0));
    let leaving = catalog.leaving(&key("orders/10.0.0.9:80"), Some(1));
    assert!(!Arc::ptr_eq(&leaving[0].endpoint, &fixed));
    assert!(!fixed.is_retired());
    assert!(Arc::ptr_eq(&catalog.endpoint_of("orders/10.0.0.9:80"), &fixed));
}

#[test]
fn most_of_them_failing_together_is_panic_and_refusing_is_not_failing() {
    let mut catalog = catalog();
    for (index, id) in ["orders/a", "orders/b", "orders/c"].into_iter().enumerate() {
        catalog.registers(id, 80, index as u64 + 1);
        catalog.probes(id, true, false, at(0));
    }
    catalog.refresh(at(0));
    catalog.probes("orders/a", false, false, at(1));
    catalog.refresh(at(1));
    assert_eq!(catalog.targets("orders").len(), 2);
    catalog.probes("orders/b", false, true, at(2));
    catalog.refresh(at(2));
    assert!(catalog.services["orders"].panic);
    assert_eq!(catalog.targets("orders").len(), 2, "a is kept, b refuses");
    // It is up again and only its probe fails: told without a new verdict.
    catalog.probes("orders/b", false, false, at(3));
    catalog.refresh(at(3));
    assert_eq!(catalog.targets("orders").len(), 3);
    catalog.probes("orders/a", true, false, at(4));
    catalog.refresh(at(4));
    assert!(!catalog.services["orders"].panic);
    assert_eq!(catalog.targets("orders").len(), 2);
}

#[test]
fn a_new_file_keeps_what_it_says_the_same() {
    const ONE: &str = "[service.orders]\nendpoints = ['10.0.0.9:80', '10.0.0.8:80']\n\
                       health = { kind = 'none' }\n[service.other]\n";
    let mut catalog = catalog();
    configured(&mut catalog, ONE);
    catalog.registers("orders/a", 80, 1);
    catalog.probes("orders/a", true, false, at(0));
    catalog.refresh(at(0));
    let kept = catalog.endpoint_of("orders/10.0.0.9:80");
    let gone = catalog.endpoint_of("orders/10.0.0.8:80");
    let registered = catalog.endpoint_of("orders/a");
    let state = Arc::clone(&catalog.services["orders"].state);
    configured(&mut catalog, ONE);
    assert!(catalog.refresh(at(1)).is_empty(), "the table stays as it is");
    let two = ONE.replace(", '10.0.0.8:80'", ", '10.0.0.7:80'")
        + "[defaults]\nretry = { attempts = 3 }\n";
    configured(&mut catalog, &two);
    assert_eq!(catalog.refresh(at(2)).len(), 2, "both have another policy");
    assert!(Arc::ptr_eq(&kept, &catalog.endpoint_of("orders/10.0.0.9:80")));
    assert!(Arc::ptr_eq(&registered, &catalog.endpoint_of("orders/a")));
    assert!(Arc::ptr_eq(&state, &catalog.services["orders"].state));
    assert!(gone.is_retired() && !kept.is_retired());
    assert_eq!(catalog.targets("orders").len(), 3);
    configured(&mut catalog, "");
    catalog.refresh(at(3));
    assert!(!catalog.services.contains_key("other"));
    assert_eq!(catalog.targets("orders"), [("a".to_owned(), 100)], "who registered stays");
    catalog.remove(&key("orders/a"), 1, "it was asked for", Instant::now());
    catalog.refresh(at(4));
    assert!(catalog.services.is_empty());
}

#[test]
fn a_changed_check_is_told_to_the_prober_and_keeps_the_verdict() {
    let mut catalog = catalog();
    let mut plain = registration("orders/a", 80, 1);
    plain.instance.health = HealthSettings::default();
    catalog.upsert(plain, false, at(0));
    catalog.probes("orders/a", true, false, at(0));
    catalog.refresh(at(0));
    catalog.take_probe_changes();
    configured(&mut catalog, "[service.orders]\nhealth = { path = '/up' }\n");
    let changes = catalog.take_probe_changes();
    let [ProbeChange::Watch(target)] = &changes[..] else { panic!("{changes:?}") };
    assert!(matches!(&target.check.probe, Probe::Http { path, .. } if path == "/up"));
    catalog.refresh(at(1));
    assert_eq!(catalog.state_of("orders/a"), InstanceState::Healthy);
    configured(&mut catalog, "[service.orders]\nhealth = { kind = 'none' }\n");
    assert!(matches!(&catalog.take_probe_changes()[..], [ProbeChange::Unwatch(_)]));
}

#[test]
fn an_instance_that_served_unprobed_serves_on_until_a_probe_says_otherwise() {
    let mut catalog = catalog();
    configured(&mut catalog, "[service.orders]\nhealth = { kind = 'none' }\n");
    let mut plain = registration("orders/a", 80, 1);
    plain.instance.health = HealthSettings::default();
    catalog.upsert(plain, false, at(0));
    catalog.refresh(at(0));
    assert_eq!(catalog.targets("orders").len(), 1);
    configured(&mut catalog, "[service.orders]\nhealth = { path = '/up' }\n");
    catalog.refresh(at(1));
    assert_eq!(catalog.targets("orders").len(), 1);
    catalog.probes("orders/a", false, false, at(2));
    catalog.refresh(at(2));
    assert_eq!(catalog.targets("orders"), []);
}

#[test]
fn who_is_not_probed_any_more_is_not_held_to_what_probes_found() {
    let mut catalog = catalog();
    let mut endless = registration("orders/a", 80, 1);
    endless.instance.ttl = None;
    endless.instance.health = HealthSettings::default();
    catalog.upsert(endless, false, at(0));
    catalog.probes("orders/a", false, true, at(0));
    configured(&mut catalog, "[service.orders]\nhealth = { kind = 'none' }\n");
    catalog.refresh(at(1));
    assert_eq!(catalog.targets("orders").len(), 1);
    assert_eq!(catalog.given_up(Duration::from_secs(60), at(1000)), []);
}

#[test]
fn who_has_no_lease_and_fails_for_too_long_is_given_up() {
    let mut catalog = catalog();
    let mut endless = registration("orders/a", 80, 1);
    endless.instance.ttl = None;
    catalog.upsert(endless, false, at(0));
    catalog.registers("orders/b", 80, 2);
    for id in ["orders/a", "orders/b"] {
        catalog.probes(id, false, true, at(0));
    }
    // A heartbeat that nobody asked for is no lease.
    catalog.lease_renewed(&key("orders/a"), 1);
    let minute = Duration::from_secs(60);
    assert_eq!(catalog.given_up(minute, at(60)), []);
    assert_eq!(catalog.given_up(minute, at(61)), [(key("orders/a"), 1)]);
    catalog.probes("orders/a", true, false, at(62));
    assert_eq!(catalog.given_up(minute, at(99)), []);
}
