//! All instances of all sources, merged: the single source of truth.
//!
//! Plain data. What happens is applied to it ([`Catalog::upsert`] and its
//! siblings), which marks services as touched; [`Catalog::refresh`] then works
//! out the states of their instances and compiles the services anew. What has
//! to be done outside (probes to begin and to end, news to tell) is collected
//! for the reconciler to carry out.

mod configured;
mod departures;
mod findings;
mod inherited;
mod leases;
mod leaving;
mod outliers;
mod registered;
mod shadows;
mod sourced;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

pub(super) use self::{
    departures::Departure,
    leaving::Leaving,
    sourced::{SourceState, Sources, word},
};
use self::{departures::Departures, outliers::Watch};
use super::{
    entry::{Entry, EntryId, Findings, Lease, ServiceEntry, Source},
    happening::Happening,
    inheritance::Inherited,
};
use crate::{
    health::{LastProbe, Standing, Target, Window},
    model::{
        Address, Ended, Endpoint, EndpointId, HealthCheck, Instance, InstanceKey, InstanceState,
        Origin, Provenance, ServiceName, ServiceSettings,
    },
    routing::{Service, ServiceState, Slot, Slots},
    tls::Connectors,
};

/// What a change asks of the prober.
#[derive(Debug)]
pub(super) enum ProbeChange {
    Watch(Target),
    /// Go on from the last probe that another process made; the second is
    /// whether any had ever passed.
    Resume(Target, LastProbe, bool),
    Unwatch(EndpointId),
    /// It refused a connection that a request wanted.
    Refused(EndpointId),
}

/// The catalog.
#[derive(Debug)]
pub(super) struct Catalog {
    workers: usize,
    suspect_for: Duration,
    defaults: ServiceSettings,
    slots: Slots,
    pub(super) services: BTreeMap<ServiceName, ServiceEntry>,
    endpoints: HashMap<EndpointId, (ServiceName, EntryId)>,
    /// The registrations at each address.
    tenants: HashMap<Address, BTreeSet<(ServiceName, EntryId)>>,
    /// Instances whose state changes by the mere passing of time, and since
    /// when their leases have expired.
    suspects: BTreeMap<(ServiceName, EntryId), Instant>,
    leaving: Vec<Leaving>,
    inherited: Inherited,
    pub(super) departures: Departures,
    watch: Watch,
    pub(super) sources: Sources,
    touched: BTreeSet<ServiceName>,
    /// Whether routes with `{service}` may lead to any service.
    pub(super) templated: bool,
    /// Whether services have come or gone.
    pub(super) renamed: bool,
    probes: Vec<ProbeChange>,
    happened: Vec<Happening>,
    /// How TLS is spoken to instances.
    pub(super) connectors: Connectors,
}

/// A slot of the table and what belongs there now.
pub(super) type Placed = (Slot, Option<Arc<Service>>);

impl Catalog {
    /// An empty catalog for a data plane of `workers` threads. Endpoints ring
    /// `bell` when requests fail on them.
    #[must_use]
    pub(super) fn new(workers: usize, bell: mpsc::Sender<EndpointId>) -> Self {
        Self {
            workers,
            suspect_for: Duration::from_secs(60),
            defaults: ServiceSettings::default(),
            slots: Slots::default(),
            services: BTreeMap::new(),
            endpoints: HashMap::new(),
            tenants: HashMap::new(),
            suspects: BTreeMap::new(),
            leaving: Vec::new(),
            inherited: Inherited::new(),
            departures: Departures::default(),
            watch: Watch::new(bell),
            sources: Sources::default(),
            touched: BTreeSet::new(),
            renamed: false,
            templated: false,
            probes: Vec::new(),
            happened: Vec::new(),
            connectors: Connectors::default(),
        }
    }

    /// The service called `name`, made if it is not there.
    fn service(&mut self, name: &ServiceName) -> &mut ServiceEntry {
        self.touched.insert(name.clone());
        self.renamed |= !self.services.contains_key(name);
        self.services.entry(name.clone()).or_insert_with(|| {
            let settings = ServiceSettings::default();
            let policy = settings.resolve(&self.defaults);
            let state = ServiceState::new(name.clone(), &policy, self.workers);
            ServiceEntry {
                slot: self.slots.take(),
                settings,
                policy: Arc::new(policy),
                state: Arc::new(state),
                entries: BTreeMap::new(),
                published: None,
                panic: false,
                ejections: Default::default(),
                opened: 0,
                is_resting: false,
                kept: false,
                empty_since: None,
            }
        })
    }

    /// The slot of the service called `name`, made if it is not there.
    pub(super) fn slot(&mut self, name: &ServiceName) -> Slot {
        self.service(name).slot
    }

    /// Puts in an instance. Answers whether the process before knew it.
    fn put_in(
        &mut self,
        instance: Instance,
        source: Source,
        provenance: Provenance,
        generation: u64,
        lease: Lease,
        now: Instant,
    ) -> bool {
        let (name, id) = (instance.service.clone(), (instance.id.clone(), source.clone()));
        let defaults_health = self.defaults.health.clone();
        let service = self.service(&name);
        let layers = [&instance.health, &service.settings.health, &defaults_health];
        let check = HealthCheck::resolve(&layers).greeting(service.policy.proxy_protocol);
        let check = check.declared(instance.declared_probes());
        let Origin { address, scheme } = instance.origin.clone();
        let endpoint = Endpoint::new(instance.key(), generation, address, provenance);
        let endpoint = Arc::new(endpoint.speaking(scheme));
        let tls = self.connector(&name, scheme);
        let reported = registered::reported(&instance);
        let mut entry = Entry {
            instance,
            source,
            generation,
            owner: None,
            endpoint: Arc::clone(&endpoint),
            tls,
            check,
            findings: Findings::default(),
            lease,
            draining: false,
            reported,
            shadowed_by: None,
            state: InstanceState::Starting,
            since: now,
            registered: None,
            well: Ended::default(),
            fall: None,
            routable: false,
            serving_since: None,
            standing: Standing::default(),
            window: Window::default(),
        };
        let policy = Arc::clone(&self.service(&name).policy);
        self.watch.begin(&endpoint, &policy);
        let known = self.carry_on(&mut entry, now);
        self.service(&name).entries.insert(id.clone(), entry);
        if provenance == Provenance::Registered {
            let tenants = self.tenants.entry(endpoint.address.clone()).or_default();
            tenants.insert((name.clone(), id.clone()));
            self.touch_tenants(&endpoint.address);
        }
        self.endpoints.insert(endpoint.id, (name, id));
        known
    }

    fn take_out(
        &mut self,
        name: &ServiceName,
        id: &EntryId,
        why: &'static str,
        now: Instant,
    ) -> bool {
        let Some(service) = self.services.get_mut(name) else { return false };
        let Some(entry) = service.entries.remove(id) else { return false };
        let place = (name.clone(), id.clone());
        entry.endpoint.retire();
        self.touched.insert(name.clone());
        self.endpoints.remove(&entry.endpoint.id);
        self.suspects.remove(&place);
        self.watch.forget(&place);
        self.touch_tenants(&entry.endpoint.address);
        if let Some(tenants) = self.tenants.get_mut(&entry.endpoint.address) {
            tenants.remove(&place);
            if tenants.is_empty() {
                self.tenants.remove(&entry.endpoint.address);
            }
        }
        if entry.is_probed() {
            self.probes.push(ProbeChange::Unwatch(entry.endpoint.id));
        }
        if !entry.draining {
            self.leave(&entry.endpoint, entry.fall, why, now);
        }
        true
    }

    /// Works out states and compiles what was touched. Answers with what
    /// changed in the table.
    pub(super) fn refresh(&mut self, now: Instant) -> Vec<Placed> {
        let mut placed = Vec::new();
        let (mut fallen, mut risen) = (Vec::new(), Vec::new());
        for name in std::mem::take(&mut self.touched) {
            let Some(service) = self.services.get_mut(&name) else { continue };
            if service.is_over(self.templated, now) {
                let slot = service.slot;
                self.renamed = true;
                self.services.remove(&name);
                self.watch.growing.remove(&name);
                self.slots.give_back(slot);
                placed.push((slot, None));
                continue;
            }
            let Some(service) = self.services.get(&name) else { continue };
            // Asked once for each address: many may have expired at one.
            let mut holders: HashMap<&Address, u64> = HashMap::new();
            let state_of = |entry: &Entry| {
                let claimed = entry.is_expired() && {
                    let address = &entry.endpoint.address;
                    let youngest = self.tenants.get_key_value(address).map_or(0, |(address, _)| {
                        *holders.entry(address).or_insert_with(|| self.youngest_holder(address))
                    });
                    youngest > entry.generation
                };
                entry.state_at(now, claimed, self.suspect_for)
            };
            let states: Vec<InstanceState> = service.entries.values().map(state_of).collect();
            let Some(service) = self.services.get_mut(&name) else { continue };
            for ((id, entry), state) in service.entries.iter_mut().zip(states) {
                if state == entry.state {
                    continue;
                }
                if let (InstanceState::Suspect, Lease::Expired { at }) = (state, entry.lease) {
                    self.suspects.insert((name.clone(), id.clone()), at);
                } else if entry.state == InstanceState::Suspect {
                    self.suspects.remove(&(name.clone(), id.clone()));
                }
                if state.is_routable() && !entry.state.is_routable() {
                    entry.endpoint.outcomes.forget_rows();
                    risen.push(entry.endpoint.id);
                } else if state == InstanceState::Unhealthy && entry.state.is_routable() {
                    fallen.push(entry.endpoint.id);
                }
                self.happened.push(Happening::state(&name, &id.0, entry.state, state));
                (entry.state, entry.since) = (state, now);
            }
            self.happened.extend(shadows::cast(&name, service, &self.sources));
            let (compiled, next_step) = service.compile(now);
            match next_step {
                Some(at) => self.watch.growing.insert(name.clone(), at),
                None => self.watch.growing.remove(&name),
            };
            if let Some(compiled) = compiled {
                if service.panic != compiled.panic {
                    service.panic = compiled.panic;
                    self.happened.push(Happening::panic(&name, compiled.panic));
                }
                let compiled = Arc::new(compiled);
                service.published = Some(Arc::clone(&compiled));
                placed.push((service.slot, Some(compiled)));
            }
        }
        self.rise(&risen);
        self.fall(&fallen, now);
        placed
    }

    /// What the prober is to do.
    pub(super) fn take_probe_changes(&mut self) -> Vec<ProbeChange> {
        std::mem::take(&mut self.probes)
    }

    /// What is to be told.
    pub(super) fn take_happened(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happened)
    }

    /// The entry of a registration, or of the file if nothing registered under
    /// this id.
    pub(super) fn entry(&self, key: &InstanceKey) -> Option<&Entry> {
        let entries = &self.services.get(&key.service)?.entries;
        let of = |source| entries.get(&(key.id.clone(), source));
        let outside = || {
            let first = (key.id.clone(), Source::File);
            let same = entries.range(first..).take_while(|((id, _), _)| *id == key.id);
            same.map(|(_, entry)| entry).last()
        };
        of(Source::Registry).or_else(|| of(Source::File)).or_else(outside)
    }
}
