//! What fronts ask: instances as they stand, those that registered here or all
//! that are known.
//!
//! Where all are shown, each address of a service is one instance, however many
//! sources have it, and one that did not register here says so in its metadata
//! ([`ELSEWHERE`]): a Portolan that reads a front takes no such instance, so
//! that two that read each other keep none alive between them.

use std::{
    collections::{HashMap, HashSet},
    sync::PoisonError,
    time::Duration,
};

use tokio::sync::broadcast;

use super::{
    Control,
    catalog::word,
    entry::{Entry, ServiceEntry, Source},
    view::{EventView, FrontView},
};
use crate::{
    model::{Address, Instance, InstanceKey, InstanceState, Probe, Reported, ServiceName},
    sources::draft::instance_id,
    telemetry::FrontMetrics,
};

/// The key in the metadata of an instance that names the source it is of.
pub(super) const ELSEWHERE: &str = "portolan-source";

/// Which instances a front shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Those that registered here.
    Registered,
    /// Those of sources and of the config file too.
    All,
}

/// An instance as it stands.
#[derive(Clone, Debug)]
pub struct Resident {
    /// As registered, or as its source has it.
    pub instance: Instance,
    /// Which registration this is.
    pub generation: u64,
    /// What its client says of it, or its source.
    pub reported: Reported,
    /// Its state.
    pub state: InstanceState,
    /// Why it is in that state, in words for a person. The same words as long
    /// as nothing changes: without counts and ages.
    pub why: String,
    /// Time left of its lease; zero once expired, none without a TTL.
    pub lease_left: Option<Duration>,
}

impl Control {
    fn resident(&self, entry: &Entry) -> Resident {
        let lease = || self.registry.lease_left(&entry.instance.key()).flatten();
        let mut instance = entry.instance.clone();
        if entry.source != Source::Registry {
            let source = entry.source.as_str().to_owned();
            instance.metadata.insert(ELSEWHERE.to_owned(), source);
        }
        Resident {
            instance,
            generation: entry.generation,
            reported: entry.reported,
            state: entry.state,
            why: Self::standing(entry),
            lease_left: (entry.source == Source::Registry).then(lease).flatten(),
        }
    }

    /// Why an instance is in its state, for those who compare: as
    /// [`Control::why`], less what changes all the time.
    fn standing(entry: &Entry) -> String {
        if entry.reported != Reported::Up {
            return format!("{} says {}", entry.source.as_str(), word(entry.reported));
        }
        let text = match (entry.state, &entry.check.probe) {
            (InstanceState::Draining, _) => "leaving",
            (InstanceState::Suspect, _) => "lease expired, but probes pass",
            (InstanceState::Unhealthy, _) if entry.is_expired() => "lease expired",
            (InstanceState::Unhealthy, _) => "probes fail; `portolan services` shows how",
            (InstanceState::Starting, Probe::Ttl) => "waiting for the first heartbeat",
            (InstanceState::Starting, _) => "waiting for a probe that passes",
            (InstanceState::Healthy, Probe::Ttl) => "heartbeats come",
            (InstanceState::Healthy, Probe::None) => "not probed",
            (InstanceState::Healthy, _) => "probes pass",
        };
        text.to_owned()
    }

    /// Those of `service` that are shown.
    fn shown(&self, service: &ServiceEntry, extent: Extent) -> Vec<Resident> {
        let entries = service.entries.values();
        if extent == Extent::Registered {
            let entries = entries.filter(|entry| entry.source == Source::Registry);
            return entries.map(|entry| self.resident(entry)).collect();
        }
        let mut ids = HashSet::new();
        let mut all = Vec::new();
        for entry in one_of_each_address(entries) {
            let mut resident = self.resident(entry);
            // To clients an id is one instance; two sources may have it twice.
            if !ids.insert(resident.instance.id.clone()) {
                let other = format!("{}@{}", resident.instance.id, entry.source.as_str());
                let Ok(other) = instance_id(&other) else { continue };
                resident.instance.id = other;
            }
            all.push(resident);
        }
        all
    }

    /// An instance that registered here.
    #[must_use]
    pub fn registered(&self, key: &InstanceKey) -> Option<Resident> {
        let catalog = self.shared.catalog();
        let service = catalog.services.get(&key.service)?;
        let entry = service.entries.get(&(key.id.clone(), Source::Registry))?;
        Some(self.resident(entry))
    }

    /// Every instance of `extent`, by service and id.
    #[must_use]
    pub fn residents(&self, extent: Extent) -> Vec<Resident> {
        let catalog = self.shared.catalog();
        // Services that mean one source have instances that are shown already.
        let services = catalog.services.iter().filter(|(name, _)| name.of_source().is_none());
        services.flat_map(|(_, service)| self.shown(service, extent)).collect()
    }

    /// The instances of one service.
    #[must_use]
    pub fn residents_of(&self, extent: Extent, service: &ServiceName) -> Vec<Resident> {
        let catalog = self.shared.catalog();
        let service = catalog.services.get(service).filter(|_| service.of_source().is_none());
        service.map(|service| self.shown(service, extent)).unwrap_or_default()
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

/// Of the instances at each address one, that which is in use if one is: one
/// that has only just come to a stronger source lets the other go on, which is
/// not in its shadow yet.
fn one_of_each_address<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<&'a Entry> {
    let mut places: HashMap<&Address, usize> = HashMap::new();
    let mut all: Vec<&Entry> = Vec::new();
    for entry in entries.filter(|entry| entry.shadowed_by.is_none()) {
        match places.get(&entry.endpoint.address) {
            Some(place) => {
                let other = &mut all[*place];
                if entry.state.is_routable() && !other.state.is_routable() {
                    *other = entry;
                }
            }
            None => {
                places.insert(&entry.endpoint.address, all.len());
                all.push(entry);
            }
        }
    }
    all
}
