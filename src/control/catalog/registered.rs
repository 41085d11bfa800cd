//! Instances that registered here, as the registry tells of them.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Catalog;
use crate::{
    control::{
        entry::{Entry, Lease, Source},
        happening::Happening,
    },
    model::{Instance, InstanceKey, Provenance, Reported},
    registry::Registration,
};

/// What the client of `instance` says of it; one that says nothing means that
/// it may get requests.
pub(super) fn reported(instance: &Instance) -> Reported {
    instance.foreign.as_ref().map(|foreign| foreign.reported).unwrap_or_default()
}

impl Catalog {
    /// Takes over a registration.
    pub(in crate::control) fn upsert(
        &mut self,
        registration: Registration,
        restored: bool,
        now: Instant,
    ) {
        let Registration { instance, generation, draining, owner } = registration;
        let (name, id) = (instance.service.clone(), (instance.id.clone(), Source::Registry));
        let leased = instance.ttl.is_some();
        let entry = self.services.get_mut(&name).and_then(|service| service.entries.get_mut(&id));
        if let Some(entry) = entry.filter(|entry| entry.generation == generation) {
            entry.lease = match entry.lease {
                same @ Lease::Unleased { .. } if !leased => same,
                same @ Lease::Live { .. } if leased => same,
                _ => Lease::begun(leased),
            };
            entry.reported = reported(&instance);
            entry.instance = instance;
            entry.owner = owner;
            let address = entry.endpoint.address.clone();
            self.happened.push(Happening::new("updated", &name, &id.0, "its registration changed"));
            self.touched.insert(name.clone());
            self.touch_tenants(&address);
            self.resolve_checks(&name);
            return;
        }
        let key = InstanceKey { service: name.clone(), id: id.0.clone() };
        if self.take_out(&name, &id, "a newer registration took its place", now) {
            self.replaced_by(&key, generation);
        }
        let kind = if restored { "restored" } else { "registered" };
        let detail = format!("at {}, generation {generation}", instance.origin);
        let told = self.happened.len();
        let lease = Lease::begun(leased);
        let (source, provenance) = (Source::Registry, Provenance::Registered);
        let known = self.put_in(instance, source, provenance, generation, lease, now);
        self.happened.push(Happening::new(kind, &name, &id.0, detail));
        if let Some(entry) = self.registered(&key, generation) {
            entry.registered = (!restored).then_some(now);
            entry.owner = owner;
        }
        if draining {
            self.drain(&key, generation, now);
        }
        if known {
            // All of it was told by the process before.
            self.happened.truncate(told);
        }
    }

    pub(super) fn registered(&mut self, key: &InstanceKey, generation: u64) -> Option<&mut Entry> {
        let service = self.services.get_mut(&key.service)?;
        let entry = service.entries.get_mut(&(key.id.clone(), Source::Registry))?;
        (entry.generation == generation).then(|| {
            self.touched.insert(key.service.clone());
            entry
        })
    }

    /// Marks a registration as leaving.
    pub(in crate::control) fn drain(&mut self, key: &InstanceKey, generation: u64, now: Instant) {
        let Some(entry) = self.registered(key, generation) else { return };
        if std::mem::replace(&mut entry.draining, true) {
            return;
        }
        entry.endpoint.retire();
        let (endpoint, fall) = (Arc::clone(&entry.endpoint), entry.fall);
        let detail = format!("{} in flight", endpoint.in_flight());
        self.happened.push(Happening::new("draining", &key.service, &key.id, detail));
        self.leave(&endpoint, fall, "it was asked to", now);
    }

    /// Forgets a registration.
    pub(in crate::control) fn remove(
        &mut self,
        key: &InstanceKey,
        generation: u64,
        why: &'static str,
        now: Instant,
    ) {
        if self.registered(key, generation).is_some() {
            self.take_out(&key.service, &(key.id.clone(), Source::Registry), why, now);
            self.happened.push(Happening::new("deregistered", &key.service, &key.id, why));
        }
    }

    /// Registrations without a lease that have failed for longer than `bound`,
    /// or than they are to be kept.
    pub(in crate::control) fn given_up(
        &self,
        bound: Duration,
        now: Instant,
    ) -> Vec<(InstanceKey, u64)> {
        let failing = |entry: &&Entry| {
            entry.source == Source::Registry
                && matches!(entry.lease, Lease::Unleased { .. })
                && entry.findings.failing_since.is_some_and(|at| {
                    let own = entry.instance.foreign.as_ref().and_then(|foreign| foreign.keep);
                    now.duration_since(at) > own.map_or(bound, Duration::from)
                })
        };
        let entries = self.services.values().flat_map(|service| service.entries.values());
        entries.filter(failing).map(|entry| (entry.instance.key(), entry.generation)).collect()
    }
}
