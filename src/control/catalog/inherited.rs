//! Instances that the process before this one knew: they are what they were
//! there, without an event, a probe or a heartbeat in between.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Catalog, ProbeChange};
use crate::{
    control::{
        entry::{Entry, Lease},
        inheritance::Inheritance,
    },
    model::{Endpoint, InstanceState},
};

impl Catalog {
    /// Keeps what the process before knew until its instances come in.
    pub(in crate::control) fn inherit(&mut self, inheritance: Inheritance) {
        self.inherited = inheritance.by_instance();
    }

    /// Forgets what no instance came for.
    pub(in crate::control) fn end_inheriting(&mut self) {
        self.inherited.clear();
    }

    /// Makes a new entry what it was in the process before, if that knew it,
    /// and has it probed.
    pub(super) fn carry_on(&mut self, entry: &mut Entry, now: Instant) -> bool {
        let known = self.inherited.remove(&(entry.instance.key(), entry.source.clone()));
        let Some(known) = known.filter(|known| known.is_of(entry)) else {
            if entry.is_probed() {
                self.probes.push(ProbeChange::Watch(entry.target()));
            }
            return false;
        };
        let last = known.apply(entry, now);
        if let (InstanceState::Suspect, Lease::Expired { at }) = (entry.state, entry.lease) {
            let place =
                (entry.instance.service.clone(), (entry.instance.id.clone(), entry.source.clone()));
            self.suspects.insert(place, at);
        }
        if entry.is_ejected() {
            let place =
                (entry.instance.service.clone(), (entry.instance.id.clone(), entry.source.clone()));
            self.watch.remember(place);
        }
        if entry.is_probed() {
            let target = entry.target();
            self.probes.push(match last {
                Some(last) => ProbeChange::Resume(target, last, entry.findings.once_passed),
                None => ProbeChange::Watch(target),
            });
        }
        true
    }

    /// Every endpoint that may have something in flight.
    pub(in crate::control) fn endpoints_in_use(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let entries = self.services.values().flat_map(|service| service.entries.values());
        let gone = self.leaving.iter().map(|leaving| &leaving.endpoint);
        let gone = gone.filter(|endpoint| !self.endpoints.contains_key(&endpoint.id));
        entries.map(|entry| &entry.endpoint).chain(gone)
    }
}
