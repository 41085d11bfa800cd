//! What is left of an instance that leaves, here and in the process before.

use std::time::Duration;

use tokio::time::sleep;

use super::{Control, catalog::Leaving};
use crate::model::{Ended, InstanceKey};

/// How often a drain looks whether anything is still in flight.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// An instance that is leaving, or has left.
#[derive(Debug)]
pub(super) struct Departing {
    key: InstanceKey,
    /// Which registration of it; of any, if none.
    generation: Option<u64>,
    leaving: Vec<Leaving>,
    /// What is remembered of one that has left.
    past: Option<Ended>,
    /// The number under which the process before was told.
    told: u64,
    /// The first table without it.
    pub(super) version: u64,
}

impl Departing {
    /// Of what is known by now.
    pub(super) async fn begin(
        control: &Control,
        key: &InstanceKey,
        generation: Option<u64>,
    ) -> Self {
        let version = control.settle().await;
        let (leaving, past) = {
            let catalog = control.shared.catalog();
            (catalog.leaving(key, generation), catalog.departures.ended(key, generation))
        };
        let told = control.shared.predecessor.tell(key, generation);
        Self { key: key.clone(), generation, leaving, past, told, version }
    }

    /// Requests, streams and tunnels on it.
    pub(super) fn in_flight(&self, control: &Control) -> u32 {
        let here = self.leaving.iter().map(|leaving| leaving.endpoint.in_flight()).sum::<u32>();
        here + control.shared.predecessor.in_flight(&self.key, self.generation)
    }

    /// Waits until no worker can pick it any more, then until nothing is in
    /// flight on it.
    pub(super) async fn gone(&self, control: &Control) {
        // Only now is a count of zero the last word: see `routing::publish`.
        control.watcher.wait_for(self.version).await;
        control.shared.predecessor.seen(self.told).await;
        while self.in_flight(control) > 0 {
            sleep(DRAIN_POLL).await;
        }
    }

    /// How those ended that were on it.
    pub(super) fn ended(&self, control: &Control) -> Ended {
        // What is not on the list any more has left and has nothing in flight.
        let ended = match self.leaving[..] {
            [] => self.past.unwrap_or_default(),
            _ => self.leaving.iter().map(Leaving::ended).fold(Ended::default(), Ended::and),
        };
        ended.and(control.shared.predecessor.ended(&self.key, self.generation))
    }
}
