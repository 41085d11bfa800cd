//! Whatever happens in whatever order, the table says what a computation from
//! scratch says.

use proptest::prelude::*;

use super::*;
use crate::{
    control::compile::{Candidate, Rules, compile},
    model::{LeaseStatus, Verdict},
    routing::Services,
};

const SERVICES: [&str; 2] = ["orders", "payments"];
const IDS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Event {
    Register {
        port: u16,
        weight: i64,
        kind: Option<crate::model::ProbeKind>,
        leased: bool,
    },
    Drain,
    Remove,
    Renew,
    Expire,
    Probe {
        passed: bool,
        refused: bool,
    },
    Wait(u64),
    /// Whether panic is allowed, and whether there is a fixed endpoint.
    Configure(bool, bool),
}

fn event() -> impl Strategy<Value = Event> {
    use crate::model::ProbeKind as K;
    let kind = prop_oneof![3 => Just(None), 1 => Just(Some(K::Tcp)), 1 => Just(Some(K::None))];
    prop_oneof![
        4 => (80_u16..83, 1_i64..3, kind, any::<bool>()).prop_map(
            |(port, weight, kind, leased)| Event::Register { port, weight, kind, leased }
        ),
        1 => Just(Event::Drain),
        1 => Just(Event::Remove),
        1 => Just(Event::Renew),
        2 => Just(Event::Expire),
        8 => (any::<bool>(), any::<bool>())
            .prop_map(|(passed, refused)| Event::Probe { passed, refused: refused && !passed }),
        2 => (1_u64..50).prop_map(Event::Wait),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(panic, fixed)| Event::Configure(panic, fixed)),
    ]
}

/// What is known of one registration, kept in the plainest way there is.
#[derive(Clone, Debug)]
struct Known {
    registration: Registration,
    expired: Option<Instant>,
    verdict: Verdict,
    once_passed: bool,
    failing_since: Option<Instant>,
    refused: bool,
    /// The state at the last refresh.
    shown: InstanceState,
    endpoint: Arc<Endpoint>,
}

impl Known {
    fn is_probed(&self) -> bool {
        let check = HealthCheck::resolve(&[&self.registration.instance.health]);
        matches!(check.probe, Probe::Http { .. } | Probe::Tcp | Probe::Grpc { .. })
    }

    fn forget_probes(&mut self) {
        (self.verdict, self.once_passed) = (Verdict::Unknown, false);
        (self.failing_since, self.refused) = (None, false);
    }

    /// What an edit makes of what probes have found.
    fn edited(&self, registration: Registration) -> Self {
        let mut edited = Self { registration, expired: None, ..self.clone() };
        match (self.is_probed(), edited.is_probed()) {
            (true, false) => edited.forget_probes(),
            (false, true) if self.shown.is_routable() => {
                (edited.verdict, edited.once_passed) = (Verdict::Passing, true);
            }
            _ => {}
        }
        edited
    }
}

#[derive(Debug, Default)]
struct Model {
    known: BTreeMap<InstanceKey, Known>,
    generations: u64,
}

impl Model {
    fn state(&self, known: &Known, now: Instant) -> InstanceState {
        let instance = &known.registration.instance;
        let address = &instance.origin.address;
        let claimed = self.known.values().any(|other| {
            other.registration.generation > known.registration.generation
                && other.registration.instance.origin.address == *address
                && other.expired.is_none()
        });
        let lease = match known.expired {
            Some(_) if claimed => LeaseStatus::Expired(Duration::MAX),
            Some(at) => LeaseStatus::Expired(now.duration_since(at)),
            None => LeaseStatus::Unleased,
        };
        let check = HealthCheck::resolve(&[&instance.health]);
        let draining = known.registration.draining;
        InstanceState::of(&check.probe, known.verdict, lease, draining, Duration::from_secs(60))
    }

    /// The targets of `service`, and whether it is in panic.
    fn compiled(&self, service: &str, panic: bool, now: Instant) -> (Vec<(String, u16)>, bool) {
        let of_service = self
            .known
            .values()
            .filter(|known| known.registration.instance.service.as_str() == service);
        let candidates: Vec<_> = of_service
            .map(|known| Candidate {
                endpoint: &known.endpoint,
                weight: known.registration.instance.weight,
                state: self.state(known, now),
                once_passed: known.once_passed,
                failing_since: known.failing_since,
                refused: known.refused,
                expired: known.expired.is_some(),
                ejected: false,
                serving_since: None,
            })
            .collect();
        let rules = Rules { panic, slow_start: Duration::ZERO };
        let compiled = compile(&candidates, rules, now);
        let name = |target: &crate::balance::Target| {
            (target.endpoint.instance.id.to_string(), target.weight)
        };
        (compiled.targets.iter().map(name).collect(), compiled.panic)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_table_says_what_a_computation_from_scratch_says(
        events in prop::collection::vec((0..SERVICES.len(), 0..IDS.len(), event(), any::<bool>()), 1..80),
    ) {
        let mut catalog = catalog();
        let mut model = Model::default();
        let mut table = Services::default();
        let mut seconds = 0;
        let mut allowed = true;
        let mut retired: Vec<Arc<Endpoint>> = Vec::new();
        for (service, id, event, refresh) in events {
            let now = at(seconds);
            let name = format!("{}/{}", SERVICES[service], IDS[id]);
            let key = key(&name);
            let known = model.known.get(&key).cloned();
            match event {
                Event::Register { port, weight, kind, leased } => {
                    // As the registry gives generations out.
                    let same = known.as_ref().filter(|known| {
                        !known.registration.draining
                            && known.registration.instance.origin.address.port == port
                    });
                    let generation = same.map_or_else(
                        || { model.generations += 1; model.generations },
                        |known| known.registration.generation,
                    );
                    let mut registration = registration(&name, port, generation);
                    registration.instance.weight = Weight::try_from(weight).expect("a weight");
                    registration.instance.health.kind = kind;
                    registration.instance.ttl = leased.then_some(HumanDuration::from_secs(10));
                    catalog.upsert(registration.clone(), false, now);
                    let endpoint = catalog.endpoint_of(&name);
                    if let Some(known) = &known {
                        let kept = Arc::ptr_eq(&endpoint, &known.endpoint);
                        prop_assert_eq!(kept, same.is_some(), "an edit keeps the endpoint");
                        if !kept { retired.push(Arc::clone(&known.endpoint)); }
                    }
                    let fresh = Known {
                        registration: registration.clone(),
                        expired: None,
                        verdict: Verdict::Unknown,
                        once_passed: false,
                        failing_since: None,
                        refused: false,
                        shown: InstanceState::Starting,
                        endpoint,
                    };
                    let known = match same {
                        Some(same) => same.edited(registration),
                        None => fresh,
                    };
                    model.known.insert(key, known);
                }
                Event::Wait(wait) => seconds += wait,
                Event::Configure(panic, fixed) => {
                    allowed = panic;
                    let endpoints = if fixed { "endpoints = ['10.0.0.9:80']\n" } else { "" };
                    let text = format!(
                        "[defaults]\npanic = {panic}\n[service.fixed]\n{endpoints}\
                         health = {{ kind = 'none' }}\n"
                    );
                    configured(&mut catalog, &text);
                }
                event => {
                    let Some(mut known) = known else { continue };
                    let generation = known.registration.generation;
                    match event {
                        Event::Drain => {
                            catalog.drain(&key, generation, Instant::now());
                            known.registration.draining = true;
                        }
                        Event::Remove => {
                            catalog.remove(&key, generation, "it was asked for", Instant::now());
                            model.known.remove(&key);
                            retired.push(known.endpoint);
                            continue;
                        }
                        Event::Renew => {
                            catalog.lease_renewed(&key, generation);
                            known.expired = None;
                        }
                        Event::Expire if known.registration.instance.ttl.is_some() => {
                            catalog.lease_expired(&key, generation, now);
                            known.expired = Some(now);
                        }
                        Event::Probe { passed, refused } => {
                            catalog.probes(&name, passed, refused, now);
                            if !known.is_probed() {
                                continue;
                            }
                            known.once_passed |= passed;
                            known.refused = refused;
                            known.failing_since =
                                if passed { None } else { known.failing_since.or(Some(now)) };
                            known.verdict =
                                if passed { Verdict::Passing } else { Verdict::Failing };
                        }
                        _ => {}
                    }
                    model.known.insert(key, known);
                }
            }
            // Several at once are one turn.
            if !refresh {
                continue;
            }
            let now = at(seconds);
            catalog.touch_suspects(now);
            for (slot, service) in catalog.refresh(now) {
                table.set(slot, service);
            }
            for service in SERVICES {
                let (targets, panic) = model.compiled(service, allowed, now);
                prop_assert_eq!(catalog.targets(service), targets);
                let Some(entry) = catalog.services.get(service) else { continue };
                prop_assert_eq!(entry.panic, panic);
                let published = entry.published.as_ref().expect("published");
                let in_table = table.get(entry.slot).expect("in the table");
                prop_assert!(Arc::ptr_eq(published, in_table));
            }
            let states: Vec<_> =
                model.known.values().map(|known| model.state(known, now)).collect();
            for (known, state) in model.known.values_mut().zip(states) {
                known.shown = state;
            }
            for (key, known) in &model.known {
                let entry = catalog.entry(key).expect("known");
                prop_assert_eq!(entry.state, model.state(known, now), "{}", key);
                prop_assert!(Arc::ptr_eq(&entry.endpoint, &known.endpoint));
                prop_assert_eq!(known.endpoint.is_retired(), known.registration.draining);
                let targets = catalog.targets(key.service.as_str());
                let routed = targets.iter().any(|(id, _)| id == key.id.as_str());
                prop_assert_eq!(entry.routable, routed);
            }
            for service in catalog.services.keys() {
                let of = |key: &InstanceKey| key.service == *service;
                let needed = service.as_str() == "fixed" || model.known.keys().any(of);
                prop_assert!(needed, "{} has nothing left", service);
            }
            prop_assert!(retired.iter().all(|endpoint| endpoint.is_retired()));
            let tenants: usize = catalog.tenants.values().map(BTreeSet::len).sum();
            prop_assert_eq!(tenants, model.known.len());
        }
    }
}
