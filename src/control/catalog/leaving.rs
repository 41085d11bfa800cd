//! Instances that are leaving: out of the table, but perhaps not out of every
//! worker's, and perhaps with requests in flight.
//!
//! An endpoint stays on the list until no worker can pick it any more *and*
//! nothing is in flight on it; what still is when its time is over is cut. So
//! whoever asks late, or twice, is told the truth, though the record itself
//! may be gone. Those that have left are remembered for a while.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Catalog;
use crate::{
    control::{happening::Happening, predecessor::Predecessor},
    model::{Ended, Endpoint, EndpointId, InstanceId, InstanceKey},
};

/// Departures that are remembered.
const REMEMBERED: usize = 64;

/// One that registered longer before the other left did not come for it.
const SUCCESSION: Duration = Duration::from_secs(600);

/// A registration that is leaving, or has left and may still have something
/// in flight.
#[derive(Clone, Debug)]
pub(in crate::control) struct Leaving {
    pub(in crate::control) endpoint: Arc<Endpoint>,
    why: &'static str,
    /// What had ended when it began to leave.
    before: Ended,
    /// The first table without it; none until that is published.
    since: Option<u64>,
    /// When what is in flight is cut.
    until: Option<Instant>,
}

impl Leaving {
    /// Whether nothing is in flight and nothing can come, now that every
    /// worker routes by table `acknowledged`.
    fn has_left(&self, acknowledged: u64) -> bool {
        self.since.is_some_and(|since| since <= acknowledged) && self.endpoint.in_flight() == 0
    }

    /// How those ended that did since it began to leave. Exact once nothing is
    /// in flight.
    pub(in crate::control) fn ended(&self) -> Ended {
        self.endpoint.ended().since(self.before)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now) && self.endpoint.in_flight() > 0
    }
}

/// An instance that has left.
#[derive(Clone, Debug)]
pub(in crate::control) struct Departure {
    pub(in crate::control) key: InstanceKey,
    pub(in crate::control) generation: u64,
    /// Why it left.
    pub(in crate::control) why: &'static str,
    /// The instance that came in its place, if one did, and its generation.
    pub(in crate::control) successor: Option<(InstanceId, u64)>,
    /// Over its whole life.
    pub(in crate::control) ended: Ended,
    /// Since it began to leave.
    pub(in crate::control) ended_leaving: Ended,
    pub(in crate::control) at: Instant,
}

impl Departure {
    fn happening(&self) -> Happening {
        let InstanceKey { service, id } = &self.key;
        let successor = match &self.successor {
            Some((successor, _)) => format!(", {successor} in its place"),
            None => String::new(),
        };
        let Ended { moved, lost, .. } = self.ended;
        let detail = format!(
            "generation {}: nothing in flight any more{successor}; {} requests, {moved} retried, {lost} lost",
            self.generation,
            self.ended.total(),
        );
        Happening::new("drained", service, id, detail)
    }
}

impl Catalog {
    /// Remembers who is leaving until nothing is in flight there.
    pub(super) fn leave(&mut self, endpoint: &Arc<Endpoint>, why: &'static str, now: Instant) {
        let service = self.services.get(&endpoint.instance.service);
        let bound = service.and_then(|service| service.policy.timeouts.drain);
        self.leaving.push(Leaving {
            endpoint: Arc::clone(endpoint),
            why,
            before: endpoint.ended(),
            since: None,
            until: bound.map(|bound| now + bound),
        });
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
    pub(in crate::control) fn expired(&self, now: Instant) -> Vec<EndpointId> {
        let over = self.leaving.iter().filter(|leaving| leaving.is_over(now));
        over.map(|leaving| leaving.endpoint.id).collect()
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
        for Leaving { endpoint, why, before, .. } in left {
            let ended = endpoint.ended();
            let departure = Departure {
                key: endpoint.instance.clone(),
                generation: endpoint.generation,
                why,
                successor: self.successor(&endpoint, now),
                ended,
                ended_leaving: ended.since(before),
                at: now,
            };
            self.happened.push(departure.happening());
            if self.departures.len() == REMEMBERED {
                self.departures.pop_front();
            }
            self.departures.push_back(departure);
        }
    }

    /// Who came in the place of `endpoint`: the first that registered after it
    /// and not long ago, and has not come in the place of another.
    fn successor(&self, endpoint: &Endpoint, now: Instant) -> Option<(InstanceId, u64)> {
        let service = self.services.get(&endpoint.instance.service)?;
        let taken = |generation| {
            let of = |departure: &Departure| departure.successor.as_ref().map(|of| of.1);
            self.departures.iter().filter_map(of).any(|taken| taken == generation)
        };
        let came = service.entries.values().filter(|entry| {
            entry.generation > endpoint.generation
                && !entry.draining
                && now.duration_since(entry.registered) < SUCCESSION
                && !taken(entry.generation)
        });
        let first = came.min_by_key(|entry| entry.generation)?;
        Some((first.instance.id.clone(), first.generation))
    }

    /// Those leaving from `key`: of `generation`, or of any.
    pub(in crate::control) fn leaving(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
    ) -> Vec<Leaving> {
        let wanted = |leaving: &&Leaving| {
            leaving.endpoint.instance == *key
                && generation.is_none_or(|wanted| wanted == leaving.endpoint.generation)
        };
        self.leaving.iter().filter(wanted).cloned().collect()
    }

    /// How those ended that did while `key` was leaving, now that it has left;
    /// none if that is forgotten.
    pub(in crate::control) fn departed(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
    ) -> Option<Ended> {
        let wanted = |departure: &&Departure| {
            departure.key == *key && generation.is_none_or(|wanted| wanted == departure.generation)
        };
        self.departures.iter().rev().find(wanted).map(|departure| departure.ended_leaving)
    }

    /// How requests ended on each that is leaving or has left, since it began
    /// to.
    pub(in crate::control) fn endings(&self) -> impl Iterator<Item = (&InstanceKey, u64, Ended)> {
        let leaving = self.leaving.iter().map(|leaving| {
            let endpoint = &leaving.endpoint;
            (&endpoint.instance, endpoint.generation, leaving.ended())
        });
        let departed = self.departures.iter();
        let departed = departed.map(|past| (&past.key, past.generation, past.ended_leaving));
        leaving.chain(departed)
    }

    /// Those that have left, the last one last.
    pub(in crate::control) const fn departures(&self) -> &VecDeque<Departure> {
        &self.departures
    }
}
