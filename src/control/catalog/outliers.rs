//! What requests tell of instances and services: who is taken out for it and
//! when they come back, whose share grows, whose circuit is open.
//!
//! Alarms come at once, through a bounded queue; everything else is looked at
//! by [`Catalog::tick`]. Who is to be ejected is decided in `health::outlier`;
//! here it is carried out, within the bounds of the service.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::{Catalog, ProbeChange};
use crate::{
    balance::Circuit,
    control::{
        entry::{Entry, EntryId, ServiceEntry},
        happening::Happening,
    },
    health::{may_eject, outliers},
    model::{
        Alarms, EjectionCause, Endpoint, EndpointId, HumanDuration, ServiceName, ServicePolicy,
        ServiceSettings, Verdict,
    },
};

/// How often instances are compared with each other.
const LOOK: Duration = Duration::from_secs(1);

type Place = (ServiceName, EntryId);

/// What there is to remember for it.
#[derive(Debug)]
pub(super) struct Watch {
    /// Where endpoints ring when they raise an alarm.
    bell: mpsc::Sender<EndpointId>,
    /// Whose alarms were looked at since the last tick, and which they were.
    heard: Vec<(Arc<Endpoint>, Alarms)>,
    ejected: BTreeSet<Place>,
    /// Services in which the share of somebody grows, and when next.
    pub(super) growing: BTreeMap<ServiceName, Instant>,
    /// Whether any service compares its instances, or has a breaker.
    compares: bool,
    has_breakers: bool,
    next_look: Option<Instant>,
}

impl Watch {
    pub(super) fn new(bell: mpsc::Sender<EndpointId>) -> Self {
        Self {
            bell,
            heard: Vec::new(),
            ejected: BTreeSet::new(),
            growing: BTreeMap::new(),
            compares: false,
            has_breakers: false,
            next_look: None,
        }
    }

    /// Lets `endpoint` ring.
    pub(super) fn begin(&self, endpoint: &Endpoint, policy: &ServicePolicy) {
        endpoint.outcomes.ring(endpoint.id, self.bell.clone());
        endpoint.outcomes.configure(&policy.outlier);
    }

    /// Has the end of an ejection looked for.
    pub(super) fn remember(&mut self, place: Place) {
        self.ejected.insert(place);
    }

    pub(super) fn forget(&mut self, place: &Place) {
        self.ejected.remove(place);
    }

    /// Takes over what a new file asks for.
    pub(super) fn configure<'a>(&mut self, all: impl Iterator<Item = &'a ServiceSettings>) {
        let nobody = ServiceSettings::default();
        let policies: Vec<_> = all.map(|settings| settings.resolve(&nobody)).collect();
        self.compares = policies.iter().any(|policy| policy.outlier.compares());
        self.has_breakers = policies.iter().any(|policy| policy.breaker.is_some());
    }
}

impl Catalog {
    /// Takes in that requests fail on an endpoint, as it says itself.
    pub(in crate::control) fn alarmed(&mut self, endpoint: EndpointId, now: Instant) {
        let Some((name, id)) = self.endpoints.get(&endpoint).cloned() else { return };
        let Some(entry) = self.entry_at(&name, &id) else { return };
        let endpoint = Arc::clone(&entry.endpoint);
        let alarms = endpoint.outcomes.raised();
        self.act_on(&(name, id), alarms, now);
        // It stays raised for now: a storm of failures is one alarm a tick.
        self.watch.heard.push((endpoint, alarms));
    }

    /// What follows from the mere passing of time.
    pub(in crate::control) fn tick(&mut self, now: Instant) {
        for (endpoint, seen) in std::mem::take(&mut self.watch.heard) {
            let late = endpoint.outcomes.take_raised().without(seen);
            if let Some(place) = self.endpoints.get(&endpoint.id).cloned() {
                self.act_on(&place, late, now);
            }
        }
        self.end_ejections(now);
        let growing = self.watch.growing.iter().filter(|(_, at)| **at <= now);
        self.touched.extend(growing.map(|(name, _)| name.clone()));
        self.look_at_circuits();
        if self.watch.next_look.is_none_or(|at| at <= now) {
            self.watch.next_look = Some(now + LOOK);
            self.compare(now);
        }
    }

    fn entry_at(&mut self, name: &ServiceName, id: &EntryId) -> Option<&mut Entry> {
        self.services.get_mut(name)?.entries.get_mut(id)
    }

    fn act_on(&mut self, place: &Place, alarms: Alarms, now: Instant) {
        let Some(entry) = self.entry_at(&place.0, &place.1) else { return };
        let outcomes = &entry.endpoint.outcomes;
        if !entry.routable {
            // It gets no requests as it is; these began before.
            outcomes.forget_rows();
            return;
        }
        let (failures, errors) = (outcomes.failures_in_a_row(), outcomes.server_errors_in_a_row());
        if alarms.refused() {
            if entry.is_decided_by_probes() {
                let findings = &entry.findings;
                if findings.verdict == Verdict::Failing && findings.refused {
                    return;
                }
                let endpoint = entry.endpoint.id;
                self.probes.push(ProbeChange::Refused(endpoint));
                let detail = "connect refused on the request path; out until a probe passes";
                self.happened.push(Happening::new("refused", &place.0, &place.1.0, detail));
                return;
            }
            let detail = "connect refused on the request path".to_owned();
            self.eject(place, EjectionCause::ConnectRefused, detail, now);
        } else if alarms.failures() {
            let detail = format!("{failures} failures in a row");
            self.eject(place, EjectionCause::ConsecutiveFailures, detail, now);
        } else if alarms.server_errors() {
            let detail = format!("{errors} answers of 500 or more in a row");
            self.eject(place, EjectionCause::Consecutive5xx, detail, now);
        }
    }

    /// Ejects an instance that is in use, if one more may be.
    fn eject(&mut self, place: &Place, cause: EjectionCause, detail: String, now: Instant) {
        let Some(service) = self.services.get_mut(&place.0) else { return };
        let policy = Arc::clone(&service.policy);
        let healthy = service.entries.values().filter(|entry| entry.state.is_routable()).count();
        let ejected = service.ejected();
        let Some(entry) = service.entries.get_mut(&place.1) else { return };
        if !entry.state.is_routable() || entry.is_ejected() {
            entry.endpoint.outcomes.forget_rows();
            return;
        }
        if !may_eject(healthy, ejected, &policy.outlier) {
            return;
        }
        let length = entry.standing.eject(cause, detail.clone(), &policy.outlier, now);
        entry.endpoint.outcomes.forget_rows();
        service.ejections[cause as usize] += 1;
        let detail = format!("for {}: {detail}", HumanDuration(length));
        self.happened.push(Happening::new("ejected", &place.0, &place.1.0, detail));
        self.watch.ejected.insert(place.clone());
        self.touched.insert(place.0.clone());
    }

    pub(super) fn end_ejections(&mut self, now: Instant) {
        let Self { services, watch, happened, touched, .. } = self;
        watch.ejected.retain(|(name, id)| {
            let entry = services.get_mut(name).and_then(|service| service.entries.get_mut(id));
            let Some(entry) = entry else { return false };
            if !entry.standing.end(now) {
                return true;
            }
            entry.endpoint.outcomes.forget_rows();
            entry.window.forget();
            let detail = "its ejection is over";
            happened.push(Happening::new("returned", name, &id.0, detail));
            touched.insert(name.clone());
            false
        });
    }

    /// Compares the instances of each service that wants it.
    fn compare(&mut self, now: Instant) {
        if !self.watch.compares {
            return;
        }
        let mut found = Vec::new();
        for (name, service) in &mut self.services {
            let policy = &service.policy.outlier;
            if !policy.compares() {
                continue;
            }
            let in_use = service.entries.iter_mut().filter(|(_, entry)| entry.routable);
            let (ids, recent): (Vec<_>, Vec<_>) = in_use
                .map(|(id, entry)| {
                    let tally = entry.endpoint.outcomes.tally();
                    (id, entry.window.look(tally, policy.window, now))
                })
                .unzip();
            found.extend(
                outliers(policy, &recent).into_iter().map(|(index, cause, detail)| {
                    ((name.clone(), ids[index].clone()), cause, detail)
                }),
            );
        }
        for (place, cause, detail) in found {
            self.eject(&place, cause, detail, now);
        }
    }

    /// Tells of circuits that have opened or closed.
    fn look_at_circuits(&mut self) {
        if !self.watch.has_breakers {
            return;
        }
        let now = std::time::Instant::now();
        for (name, service) in &mut self.services {
            let (circuit, opened) =
                (service.state.breaker.circuit(now), service.state.breaker.opened());
            if opened != service.opened {
                service.opened = opened;
                let rest = service.policy.breaker.map_or(Duration::ZERO, |policy| policy.open);
                let detail = format!(
                    "too many requests fail; for {} they are answered with 503",
                    HumanDuration(rest)
                );
                self.happened.push(Happening::of_service("circuit_open", name, detail));
                service.is_resting = true;
            }
            if service.is_resting && circuit == Circuit::Closed {
                service.is_resting = false;
                let detail = "the trials went well".to_owned();
                self.happened.push(Happening::of_service("circuit_closed", name, detail));
            }
        }
    }
}

impl ServiceEntry {
    /// How many of its healthy instances are ejected.
    pub(in crate::control) fn ejected(&self) -> usize {
        let ejected = |entry: &&Entry| entry.state.is_routable() && entry.is_ejected();
        self.entries.values().filter(ejected).count()
    }
}
