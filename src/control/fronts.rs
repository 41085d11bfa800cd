//! What fronts ask: instances that registered here, as they stand.

use std::{sync::PoisonError, time::Duration};

use tokio::sync::broadcast;

use super::{
    Control,
    entry::{Entry, Source},
    view::{EventView, FrontView},
};
use crate::{
    model::{Instance, InstanceKey, InstanceState},
    telemetry::FrontMetrics,
};

/// An instance that registered here, as it stands.
#[derive(Clone, Debug)]
pub struct Resident {
    /// As registered.
    pub instance: Instance,
    /// Which registration this is.
    pub generation: u64,
    /// Its state.
    pub state: InstanceState,
    /// Why it is in that state, in words for a person.
    pub why: String,
    /// Time left of its lease; zero once expired, none without a TTL.
    pub lease_left: Option<Duration>,
}

impl Control {
    fn resident(&self, entry: &Entry) -> Resident {
        Resident {
            instance: entry.instance.clone(),
            generation: entry.generation,
            state: entry.state,
            why: self.why(entry),
            lease_left: self.registry.lease_left(&entry.instance.key()).flatten(),
        }
    }

    /// An instance that registered here.
    #[must_use]
    pub fn registered(&self, key: &InstanceKey) -> Option<Resident> {
        let catalog = self.shared.catalog();
        let service = catalog.services.get(&key.service)?;
        let entry = service.entries.get(&(key.id.clone(), Source::Registry))?;
        Some(self.resident(entry))
    }

    /// Those that registered here and are `wanted`, by service and id.
    #[must_use]
    pub fn residents(&self, wanted: impl Fn(&Instance) -> bool) -> Vec<Resident> {
        let catalog = self.shared.catalog();
        let entries = catalog.services.values().flat_map(|service| service.entries.values());
        let entries = entries.filter(|entry| entry.source == Source::Registry);
        let entries = entries.filter(|entry| wanted(&entry.instance));
        entries.map(|entry| self.resident(entry)).collect()
    }

    /// Tells which fronts are open.
    pub fn has_fronts(&self, fronts: Vec<FrontView>) {
        *self.shared.fronts.write().unwrap_or_else(PoisonError::into_inner) = fronts;
    }

    /// The fronts that are open.
    pub(super) fn fronts(&self) -> Vec<FrontView> {
        self.shared.fronts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the last thing that happened.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        self.shared.events.last()
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<EventView> {
        self.shared.events.live()
    }

    /// Where calls of fronts are counted.
    #[must_use]
    pub fn front_metrics(&self) -> &FrontMetrics {
        self.shared.metrics.fronts()
    }
}
