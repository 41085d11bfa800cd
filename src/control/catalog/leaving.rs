//! Instances that are leaving: out of the table, but perhaps not out of every
//! worker's, and perhaps with requests in flight.
//!
//! An endpoint stays on the list until no worker can pick it any more *and*
//! nothing is in flight on it; what still is when its time is over is cut. So
//! whoever asks late, or twice, is told the truth, though the record itself
//! may be gone. One that fell out of use by itself is on the list too, until
//! it comes back: it is told of like the others, and nothing of it is cut.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Catalog, departures::Departure};
use crate::{
    control::{
        entry::{Entry, Fall, Source},
        happening::Happening,
        predecessor::Predecessor,
    },
    model::{
        Ended, Endpoint, EndpointId, InstanceId, InstanceKey, Provenance, Reported, ServiceName,
    },
};

/// One that registered longer before the other left did not come for it.
const SUCCESSION: Duration = Duration::from_secs(600);

/// Where more leave at once it is no deploy, and nobody looks for who comes
/// for whom.
const MOST_SUCCEEDED: usize = 64;

/// The instance that comes in the place of another, and its generation.
pub(super) type Successor = (InstanceId, u64);

/// An instance that is leaving, or has left and may still have something in
/// flight.
#[derive(Clone, Debug)]
pub(in crate::control) struct Leaving {
    pub(in crate::control) endpoint: Arc<Endpoint>,
    why: &'static str,
    /// Whether it is for good, and not only for as long as it fails.
    is_final: bool,
    /// Whether its departure was told already, when it fell out of use.
    is_told: bool,
    /// How those had ended that did before it began to leave.
    before: Ended,
    begun: Instant,
    /// When what is in flight is cut.
    until: Option<Instant>,
    is_cut: bool,
    /// The first table without it; none until that is published.
    since: Option<u64>,
    successor: Option<Successor>,
}

impl Leaving {
    /// Whether nothing is in flight and nothing can come, now that every
    /// worker routes by table `acknowledged`.
    fn has_left(&self, acknowledged: u64) -> bool {
        self.since.is_some_and(|since| since <= acknowledged) && self.endpoint.in_flight() == 0
    }

    /// How those ended that did since it began to leave; the last word once
    /// nothing is in flight and nothing can come.
    pub(in crate::control) fn ended(&self) -> Ended {
        self.endpoint.ended().since(self.before)
    }

    fn bound(&mut self, drain: Option<Duration>) {
        self.until = drain.and_then(|drain| self.begun.checked_add(drain));
    }
}

impl Catalog {
    /// Remembers that an instance leaves for good until nothing is in flight
    /// there. `fall` says whether it had fallen out of use before.
    pub(super) fn leave(
        &mut self,
        endpoint: &Arc<Endpoint>,
        fall: Option<Fall>,
        why: &'static str,
        now: Instant,
    ) {
        let same = |leaving: &Leaving| leaving.endpoint.id == endpoint.id;
        let fallen = fall.and_then(|_| self.leaving.iter().position(same));
        let fallen = fallen.map(|index| self.leaving.swap_remove(index));
        let mut leaving = fallen.unwrap_or_else(|| self.begin(endpoint, why, now));
        // What is in flight has its time from now on, however long it has failed.
        leaving.begun = now;
        let service = self.services.get(&endpoint.instance.service);
        leaving.bound(service.and_then(|service| service.policy.timeouts.drain));
        leaving.is_told = fall == Some(Fall::Told);
        (leaving.is_final, leaving.since) = (true, None);
        self.leaving.push(leaving);
    }

    fn begin(&self, endpoint: &Arc<Endpoint>, why: &'static str, now: Instant) -> Leaving {
        Leaving {
            endpoint: Arc::clone(endpoint),
            why,
            is_final: false,
            is_told: false,
            before: endpoint.ended(),
            begun: now,
            until: None,
            is_cut: false,
            since: None,
            successor: self.successor(endpoint, now),
        }
    }

    /// Remembers that instances got requests and get none any more, since they
    /// fail. What ended after one was last known to be well is put down to
    /// that.
    pub(super) fn fall(&mut self, fallen: &[EndpointId], now: Instant) {
        for id in fallen {
            let Some(entry) = self.entry_of_mut(*id) else { continue };
            entry.fall = Some(Fall::Pending);
            let (endpoint, before) = (Arc::clone(&entry.endpoint), entry.well);
            let why = match (entry.reported, entry.is_expired()) {
                (Reported::Down, _) => "its source says that it is down",
                (_, true) => "its lease expired",
                (_, false) => "its probes fail",
            };
            let leaving = Leaving { before, ..self.begin(&endpoint, why, now) };
            self.leaving.push(leaving);
        }
    }

    /// Forgets that instances fell out of use.
    pub(super) fn rise(&mut self, risen: &[EndpointId]) {
        let mut pending = HashSet::new();
        for id in risen {
            let fall = self.entry_of_mut(*id).and_then(|entry| entry.fall.take());
            if fall == Some(Fall::Pending) {
                pending.insert(*id);
            }
        }
        if !pending.is_empty() {
            self.leaving.retain(|leaving| !pending.contains(&leaving.endpoint.id));
        }
    }

    /// Notes that `generation` has taken the place of the one that left last.
    pub(super) fn replaced_by(&mut self, key: &InstanceKey, generation: u64) {
        let last = self.leaving.last_mut().filter(|last| last.endpoint.instance == *key);
        if let Some(last) = last.filter(|last| last.endpoint.provenance == Provenance::Registered) {
            last.successor = Some((key.id.clone(), generation));
        }
    }

    /// Gives those leaving from `service` another time.
    pub(super) fn bound_drains(&mut self, service: &ServiceName, drain: Option<Duration>) {
        let of = |leaving: &&mut Leaving| {
            leaving.is_final && leaving.endpoint.instance.service == *service
        };
        self.leaving.iter_mut().filter(of).for_each(|leaving| leaving.bound(drain));
    }

    /// Whether the version of a table is of interest to [`Self::published`].
    pub(in crate::control) fn is_anybody_leaving(&self) -> bool {
        self.leaving.iter().any(|leaving| leaving.since.is_none())
    }

    /// Notes that what was refreshed is published as table `version`.
    pub(in crate::control) fn published(&mut self, version: u64) {
        for leaving in &mut self.leaving {
            leaving.since.get_or_insert(version);
        }
    }

    /// The endpoints whose time is over and that still have something in
    /// flight.
    pub(in crate::control) fn expired(&mut self, now: Instant) -> Vec<EndpointId> {
        let mut expired = Vec::new();
        for leaving in &mut self.leaving {
            let in_flight = leaving.endpoint.in_flight();
            if in_flight == 0 || leaving.until.is_none_or(|until| until > now) {
                continue;
            }
            expired.push(leaving.endpoint.id);
            if !std::mem::replace(&mut leaving.is_cut, true) {
                let after = Duration::from_secs(now.duration_since(leaving.begun).as_secs());
                let after = humantime::format_duration(after);
                let detail = format!("{in_flight} still in flight after {after}; they are cut");
                let InstanceKey { service, id } = &leaving.endpoint.instance;
                self.happened.push(Happening::new("drain_timeout", service, id, detail));
            }
        }
        expired
    }

    /// Lets go of those that have left, now that every worker routes by table
    /// `acknowledged`; the process `before` may still have something in flight
    /// on them.
    pub(in crate::control) fn let_go(
        &mut self,
        acknowledged: u64,
        before: &Predecessor,
        now: Instant,
    ) {
        if self.leaving.is_empty() {
            return;
        }
        let (left, leaving) =
            std::mem::take(&mut self.leaving).into_iter().partition(|leaving: &Leaving| {
                let endpoint = &leaving.endpoint;
                leaving.has_left(acknowledged)
                    && before.is_done_with(&endpoint.instance, endpoint.generation)
            });
        self.leaving = leaving;
        for leaving in left {
            if !leaving.is_final {
                let Some(entry) = self.entry_of_mut(leaving.endpoint.id) else { continue };
                if entry.routable {
                    // In panic it is in use all the same.
                    self.leaving.push(Leaving { since: None, ..leaving });
                    continue;
                }
                entry.fall = Some(Fall::Told);
            }
            let successor = self.successor(&leaving.endpoint, now);
            let successor = leaving.successor.or(successor);
            let Leaving { endpoint, why, before, is_final, is_told, .. } = leaving;
            let departure = Departure { endpoint, why, is_final, before, successor, at: now };
            if is_final {
                self.departures.remember(&departure);
            }
            self.happened.push(departure.happening(is_told));
            if !is_told {
                self.departures.show(departure);
            }
        }
    }

    /// Who comes in the place of `endpoint`: the first that registered after
    /// it and not long ago, and does not come in the place of another.
    fn successor(&self, endpoint: &Endpoint, now: Instant) -> Option<Successor> {
        if self.leaving.len() > MOST_SUCCEEDED {
            return None;
        }
        let service = self.services.get(&endpoint.instance.service)?;
        let taken = |generation| {
            let leaving = self.leaving.iter().filter_map(|leaving| leaving.successor.as_ref());
            leaving.chain(self.departures.successors()).any(|(_, taken)| *taken == generation)
        };
        let came = service.entries.values().filter(|entry| {
            entry.source == Source::Registry
                && entry.generation > endpoint.generation
                && !entry.draining
                && entry.registered.is_some_and(|at| now.duration_since(at) < SUCCESSION)
                && !taken(entry.generation)
        });
        let first = came.min_by_key(|entry| entry.generation)?;
        Some((first.instance.id.clone(), first.generation))
    }

    /// Those registered as `key` that are leaving for good: of `generation`,
    /// or of any.
    pub(in crate::control) fn leaving(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
    ) -> Vec<Leaving> {
        let wanted = |leaving: &&Leaving| {
            let endpoint = &leaving.endpoint;
            let named = leaving.is_final
                && endpoint.provenance == Provenance::Registered
                && endpoint.instance == *key;
            named && generation.is_none_or(|wanted| wanted == endpoint.generation)
        };
        self.leaving.iter().filter(wanted).cloned().collect()
    }

    pub(super) fn entry_of_mut(&mut self, endpoint: EndpointId) -> Option<&mut Entry> {
        let (name, id) = self.endpoints.get(&endpoint)?;
        self.services.get_mut(name)?.entries.get_mut(id)
    }

    /// How requests ended on each that is leaving or has left, since it began
    /// to.
    pub(in crate::control) fn endings(&self) -> impl Iterator<Item = (&InstanceKey, u64, Ended)> {
        let leaving = self.leaving.iter().map(|leaving| {
            let endpoint = &leaving.endpoint;
            (&endpoint.instance, endpoint.generation, leaving.ended())
        });
        leaving.chain(self.departures.endings())
    }
}
