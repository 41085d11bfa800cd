//! Registrations that are leaving: out of the table, but perhaps not out of
//! every worker's, and perhaps with requests in flight.
//!
//! An endpoint stays on the list until no worker can pick it any more *and*
//! nothing is in flight on it. So whoever asks late, or twice, is told the
//! truth, though the record itself may be gone.

use std::sync::Arc;

use super::Catalog;
use crate::{
    control::{happening::Happening, predecessor::Predecessor},
    model::{Endpoint, InstanceKey},
};

/// A registration that is leaving, or has left and may still have something
/// in flight.
#[derive(Clone, Debug)]
pub(in crate::control) struct Leaving {
    pub(in crate::control) key: InstanceKey,
    pub(in crate::control) endpoint: Arc<Endpoint>,
    /// What was in flight when it began to leave.
    pub(in crate::control) before: u32,
    /// The first table without it; none until that is published.
    pub(in crate::control) since: Option<u64>,
}

impl Leaving {
    /// Whether nothing is in flight and nothing can come, now that every
    /// worker routes by table `acknowledged`.
    pub(in crate::control) fn has_left(&self, acknowledged: u64) -> bool {
        self.since.is_some_and(|since| since <= acknowledged) && self.endpoint.in_flight() == 0
    }
}

impl Catalog {
    /// Remembers who is leaving until nothing is in flight there.
    pub(super) fn leave(&mut self, endpoint: &Arc<Endpoint>) {
        let (key, before) = (endpoint.instance.clone(), endpoint.in_flight());
        let endpoint = Arc::clone(endpoint);
        self.leaving.push(Leaving { key, endpoint, before, since: None });
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

    /// Lets go of those that have left, now that every worker routes by table
    /// `acknowledged`; `before` may still have something in flight on them.
    pub(in crate::control) fn let_go(&mut self, acknowledged: u64, before: &Predecessor) {
        let happened = &mut self.happened;
        self.leaving.retain(|leaving| {
            let generation = leaving.endpoint.generation;
            if !leaving.has_left(acknowledged) || !before.is_done_with(&leaving.key, generation) {
                return true;
            }
            let InstanceKey { service, id } = &leaving.key;
            let detail = format!("generation {generation} has nothing in flight any more");
            happened.push(Happening::new("drained", service, id, detail));
            false
        });
    }

    /// Those leaving from `key`: of `generation`, or of any.
    pub(in crate::control) fn leaving(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
    ) -> Vec<Leaving> {
        let wanted = |leaving: &&Leaving| {
            leaving.key == *key
                && generation.is_none_or(|wanted| wanted == leaving.endpoint.generation)
        };
        self.leaving.iter().filter(wanted).cloned().collect()
    }
}
