//! All instances of all sources, merged: the single source of truth.
//!
//! Plain data. What happens is applied to it ([`Catalog::upsert`] and its
//! siblings), which marks services as touched; [`Catalog::refresh`] then works
//! out the states of their instances and compiles the services anew. What has
//! to be done outside (probes to begin and to end, news to tell) is collected
//! for the reconciler to carry out.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    compile::{self, Candidate},
    happening::Happening,
};
use crate::{
    balance::{Gate, Memory},
    health::{ProbeReport, Target},
    model::{
        Endpoint, EndpointId, HealthCheck, Instance, InstanceId, InstanceKey, InstanceState,
        LeaseStatus, Probe, ServiceName, ServicePolicy, ServiceSettings, Verdict,
    },
    registry::Registration,
    routing::{Service, ServiceState, Slot, Slots},
    telemetry::ServiceMetrics,
};

/// Where an instance came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    /// `endpoints` in the config file.
    File,
    /// It registered here.
    Registry,
}

impl Source {
    /// How the source is called.
    #[must_use]
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::File => "proxy.toml",
            Self::Registry => "registry",
        }
    }
}

/// Tells the instances of one service apart, whatever their sources.
pub(super) type EntryId = (InstanceId, Source);

/// Where the lease of an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lease {
    Unleased,
    Live { renewed: bool },
    Expired { at: Instant },
}

/// What probes have found.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) verdict: Verdict,
    /// Whether a probe has ever passed.
    pub(super) once_passed: bool,
    /// Since when the verdict has been a failure.
    pub(super) failing_since: Option<Instant>,
    /// Whether the last failure was a refused connection.
    pub(super) refused: bool,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) instance: Instance,
    pub(super) source: Source,
    pub(super) generation: u64,
    pub(super) owner: Option<String>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) check: HealthCheck,
    pub(super) findings: Findings,
    pub(super) lease: Lease,
    pub(super) draining: bool,
    /// Another registration has taken over the address.
    pub(super) claimed: bool,
    pub(super) state: InstanceState,
    pub(super) since: Instant,
    pub(super) routable: bool,
}

impl Entry {
    fn lease_status(&self, now: Instant) -> LeaseStatus {
        match self.lease {
            Lease::Unleased => LeaseStatus::Unleased,
            Lease::Live { renewed } => LeaseStatus::Live { renewed },
            Lease::Expired { .. } if self.claimed => LeaseStatus::Expired(Duration::MAX),
            Lease::Expired { at } => LeaseStatus::Expired(now.duration_since(at)),
        }
    }

    const fn is_probed(&self) -> bool {
        matches!(self.check.probe, Probe::Http { .. } | Probe::Tcp)
    }

    fn target(&self) -> Target {
        Target {
            endpoint: self.endpoint.id,
            address: self.endpoint.address.clone(),
            checked: self.endpoint.checked,
            check: self.check.clone(),
        }
    }
}

/// One service.
#[derive(Debug)]
pub(super) struct ServiceEntry {
    pub(super) slot: Slot,
    settings: ServiceSettings,
    pub(super) policy: Arc<ServicePolicy>,
    pub(super) state: Arc<ServiceState>,
    pub(super) entries: BTreeMap<EntryId, Entry>,
    pub(super) published: Option<Arc<Service>>,
    pub(super) panic: bool,
    /// Routes and sections of the config file need it, instances or not.
    kept: bool,
}

/// What a change asks of the prober.
#[derive(Debug)]
pub(super) enum ProbeChange {
    Watch(Target),
    Unwatch(EndpointId),
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
    /// Instances whose state changes by the mere passing of time.
    suspects: BTreeSet<(ServiceName, EntryId)>,
    touched: BTreeSet<ServiceName>,
    probes: Vec<ProbeChange>,
    happened: Vec<Happening>,
}

/// A slot of the table and what belongs there now.
pub(super) type Placed = (Slot, Option<Arc<Service>>);

impl Catalog {
    /// An empty catalog for a data plane of `workers` threads.
    #[must_use]
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers,
            suspect_for: Duration::from_secs(60),
            defaults: ServiceSettings::default(),
            slots: Slots::default(),
            services: BTreeMap::new(),
            endpoints: HashMap::new(),
            suspects: BTreeSet::new(),
            touched: BTreeSet::new(),
            probes: Vec::new(),
            happened: Vec::new(),
        }
    }

    /// The service called `name`, made if it is not there.
    fn service(&mut self, name: &ServiceName) -> &mut ServiceEntry {
        self.touched.insert(name.clone());
        self.services.entry(name.clone()).or_insert_with(|| {
            let settings = ServiceSettings::default();
            let policy = settings.resolve(&self.defaults);
            let state = ServiceState {
                gate: Arc::new(Gate::new(policy.concurrency, policy.queue)),
                memory: Memory::default(),
                metrics: ServiceMetrics::new(self.workers),
            };
            ServiceEntry {
                slot: self.slots.take(),
                settings,
                policy: Arc::new(policy),
                state: Arc::new(state),
                entries: BTreeMap::new(),
                published: None,
                panic: false,
                kept: false,
            }
        })
    }

    /// The slot of the service called `name`, made if it is not there.
    pub(super) fn slot(&mut self, name: &ServiceName) -> Slot {
        self.service(name).slot
    }

    /// Takes over what the config file says of services. `needed` are those
    /// that its routes lead to.
    pub(super) fn configure(
        &mut self,
        suspect_for: Duration,
        defaults: &ServiceSettings,
        sections: &BTreeMap<ServiceName, ServiceSettings>,
        needed: &BTreeSet<ServiceName>,
        now: Instant,
    ) {
        self.suspect_for = suspect_for;
        self.defaults = defaults.clone();
        for name in sections.keys().chain(needed) {
            self.service(name);
        }
        let names: Vec<ServiceName> = self.services.keys().cloned().collect();
        for name in names {
            let settings = sections.get(&name).cloned().unwrap_or_default();
            let service = self.service(&name);
            service.kept = sections.contains_key(&name) || needed.contains(&name);
            let policy = settings.resolve(defaults);
            if policy != *service.policy {
                service.state.gate.configure(policy.concurrency, policy.queue);
                service.policy = Arc::new(policy);
            }
            service.settings = settings;
            self.configure_endpoints(&name, now);
            self.resolve_checks(&name);
        }
    }

    /// Makes the instances from the file those that it names now.
    fn configure_endpoints(&mut self, name: &ServiceName, now: Instant) {
        let Some(service) = self.services.get(name) else { return };
        let mut named = BTreeMap::new();
        for origin in &service.settings.endpoints {
            let text = origin.address.to_string().replace(['[', ']'], "");
            if let Ok(id) = text.parse::<InstanceId>() {
                named.insert(id, origin.clone());
            }
        }
        let gone: Vec<EntryId> = service
            .entries
            .keys()
            .filter(|(id, source)| *source == Source::File && !named.contains_key(id))
            .cloned()
            .collect();
        for id in gone {
            self.take_out(name, &id);
        }
        for (id, origin) in named {
            let entry_id = (id.clone(), Source::File);
            if self.services.get(name).is_some_and(|s| s.entries.contains_key(&entry_id)) {
                continue;
            }
            let instance = Instance {
                service: name.clone(),
                id,
                origin,
                weight: crate::model::Weight::default(),
                zone: None,
                version: None,
                tags: Vec::new(),
                metadata: BTreeMap::new(),
                ttl: None,
                health: crate::model::HealthSettings::default(),
            };
            self.put_in(instance, Source::File, 0, None, Lease::Unleased, now);
        }
    }

    /// Works out anew how the instances of a service are probed.
    fn resolve_checks(&mut self, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else { return };
        for entry in service.entries.values_mut() {
            let layers = [&entry.instance.health, &service.settings.health, &self.defaults.health];
            let check = HealthCheck::resolve(&layers);
            if check == entry.check {
                continue;
            }
            let was_probed = entry.is_probed();
            entry.check = check;
            if entry.is_probed() {
                self.probes.push(ProbeChange::Watch(entry.target()));
            } else if was_probed {
                self.probes.push(ProbeChange::Unwatch(entry.endpoint.id));
            }
        }
    }

    /// Takes over a registration.
    pub(super) fn upsert(&mut self, registration: Registration, restored: bool, now: Instant) {
        let Registration { instance, generation, draining, owner } = registration;
        let (name, id) = (instance.service.clone(), (instance.id.clone(), Source::Registry));
        let leased = instance.ttl.is_some();
        self.claim(&instance);
        let entry = self.services.get_mut(&name).and_then(|service| service.entries.get_mut(&id));
        if let Some(entry) = entry.filter(|entry| entry.generation == generation) {
            entry.lease = match entry.lease {
                _ if !leased => Lease::Unleased,
                Lease::Unleased | Lease::Expired { .. } => Lease::Live { renewed: false },
                live @ Lease::Live { .. } => live,
            };
            entry.instance = instance;
            entry.owner = owner;
            entry.draining = draining;
            self.happened.push(Happening::new("updated", &name, &id.0, "its registration changed"));
            self.touched.insert(name.clone());
            self.resolve_checks(&name);
            return;
        }
        self.take_out(&name, &id);
        let kind = if restored { "restored" } else { "registered" };
        let detail = format!("at {}, generation {generation}", instance.origin);
        self.happened.push(Happening::new(kind, &name, &id.0, detail));
        let lease = if leased { Lease::Live { renewed: false } } else { Lease::Unleased };
        self.put_in(instance, Source::Registry, generation, owner, lease, now);
        if draining {
            self.drain(&InstanceKey { service: name, id: id.0 }, generation);
        }
    }

    fn put_in(
        &mut self,
        instance: Instance,
        source: Source,
        generation: u64,
        owner: Option<String>,
        lease: Lease,
        now: Instant,
    ) {
        let (name, id) = (instance.service.clone(), (instance.id.clone(), source));
        let defaults_health = self.defaults.health.clone();
        let service = self.service(&name);
        let layers = [&instance.health, &service.settings.health, &defaults_health];
        let check = HealthCheck::resolve(&layers);
        let address = instance.origin.address.clone();
        let checked = source != Source::File;
        let endpoint = Arc::new(Endpoint::new(instance.key(), generation, address, checked));
        let entry = Entry {
            instance,
            source,
            generation,
            owner,
            endpoint: Arc::clone(&endpoint),
            check,
            findings: Findings::default(),
            lease,
            draining: false,
            claimed: false,
            state: InstanceState::Starting,
            since: now,
            routable: false,
        };
        let watch = entry.is_probed().then(|| ProbeChange::Watch(entry.target()));
        service.entries.insert(id.clone(), entry);
        self.probes.extend(watch);
        self.endpoints.insert(endpoint.id, (name, id));
    }

    fn take_out(&mut self, name: &ServiceName, id: &EntryId) -> bool {
        let Some(service) = self.services.get_mut(name) else { return false };
        let Some(entry) = service.entries.remove(id) else { return false };
        entry.endpoint.retire();
        self.touched.insert(name.clone());
        self.endpoints.remove(&entry.endpoint.id);
        self.suspects.remove(&(name.clone(), id.clone()));
        if entry.is_probed() {
            self.probes.push(ProbeChange::Unwatch(entry.endpoint.id));
        }
        true
    }

    /// Ends the grace of those whose address `instance` takes over.
    fn claim(&mut self, instance: &Instance) {
        for (name, id) in &self.suspects {
            let service = self.services.get_mut(name);
            let Some(entry) = service.and_then(|s| s.entries.get_mut(id)) else { continue };
            let same = *name == instance.service && id.0 == instance.id;
            if !same && entry.instance.origin.address == instance.origin.address {
                entry.claimed = true;
                self.touched.insert(name.clone());
            }
        }
    }

    fn registered(&mut self, key: &InstanceKey, generation: u64) -> Option<&mut Entry> {
        let service = self.services.get_mut(&key.service)?;
        let entry = service.entries.get_mut(&(key.id.clone(), Source::Registry))?;
        (entry.generation == generation).then(|| {
            self.touched.insert(key.service.clone());
            entry
        })
    }

    /// Marks a registration as leaving.
    pub(super) fn drain(&mut self, key: &InstanceKey, generation: u64) {
        if let Some(entry) = self.registered(key, generation) {
            entry.draining = true;
            entry.endpoint.retire();
            let detail = format!("{} in flight", entry.endpoint.in_flight());
            self.happened.push(Happening::new("draining", &key.service, &key.id, detail));
        }
    }

    /// Forgets a registration.
    pub(super) fn remove(&mut self, key: &InstanceKey, generation: u64, why: &'static str) {
        if self.registered(key, generation).is_some() {
            self.take_out(&key.service, &(key.id.clone(), Source::Registry));
            self.happened.push(Happening::new("deregistered", &key.service, &key.id, why));
        }
    }

    /// Notes the first heartbeat, or one that revives.
    pub(super) fn lease_renewed(&mut self, key: &InstanceKey, generation: u64) {
        if let Some(entry) = self.registered(key, generation) {
            let revived = matches!(entry.lease, Lease::Expired { .. });
            entry.lease = Lease::Live { renewed: true };
            entry.claimed = false;
            if revived {
                let detail = "a heartbeat came after all";
                self.happened.push(Happening::new("lease_renewed", &key.service, &key.id, detail));
            }
        }
    }

    /// Notes that the lease ran out.
    pub(super) fn lease_expired(&mut self, key: &InstanceKey, generation: u64, now: Instant) {
        if let Some(entry) = self.registered(key, generation) {
            entry.lease = Lease::Expired { at: now };
            let detail = "no heartbeat within its ttl";
            self.happened.push(Happening::new("lease_expired", &key.service, &key.id, detail));
        }
    }

    /// Takes over what a probe found.
    pub(super) fn probed(&mut self, report: &ProbeReport, now: Instant) {
        let Some((name, id)) = self.endpoints.get(&report.endpoint) else { return };
        let service = self.services.get_mut(name);
        let Some(entry) = service.and_then(|s| s.entries.get_mut(id)) else { return };
        let findings = &mut entry.findings;
        findings.once_passed |= report.outcome.passed;
        findings.refused = report.outcome.refused;
        findings.failing_since = match report.verdict {
            Verdict::Failing => Some(findings.failing_since.unwrap_or(now)),
            Verdict::Passing | Verdict::Unknown => None,
        };
        if findings.verdict != report.verdict || report.outcome.refused {
            findings.verdict = report.verdict;
            self.touched.insert(name.clone());
        }
    }

    /// Touches the services of instances whose state depends on the time.
    pub(super) fn touch_suspects(&mut self) {
        self.touched.extend(self.suspects.iter().map(|(name, _)| name.clone()));
    }

    /// Registrations without a lease that have failed for longer than
    /// `bound`.
    pub(super) fn given_up(&self, bound: Duration, now: Instant) -> Vec<(InstanceKey, u64)> {
        let failing = |entry: &&Entry| {
            entry.source == Source::Registry
                && entry.lease == Lease::Unleased
                && entry.findings.failing_since.is_some_and(|at| now.duration_since(at) > bound)
        };
        let entries = self.services.values().flat_map(|service| service.entries.values());
        entries.filter(failing).map(|entry| (entry.instance.key(), entry.generation)).collect()
    }

    /// Works out states and compiles what was touched. Answers with what
    /// changed in the table.
    pub(super) fn refresh(&mut self, now: Instant) -> Vec<Placed> {
        let mut placed = Vec::new();
        for name in std::mem::take(&mut self.touched) {
            let Some(service) = self.services.get_mut(&name) else { continue };
            if service.entries.is_empty() && !service.kept {
                let slot = service.slot;
                self.services.remove(&name);
                self.slots.give_back(slot);
                placed.push((slot, None));
                continue;
            }
            for (id, entry) in &mut service.entries {
                let state = InstanceState::of(
                    &entry.check.probe,
                    entry.findings.verdict,
                    entry.lease_status(now),
                    entry.draining,
                    self.suspect_for,
                );
                if state == entry.state {
                    continue;
                }
                if state == InstanceState::Suspect {
                    self.suspects.insert((name.clone(), id.clone()));
                } else if entry.state == InstanceState::Suspect {
                    self.suspects.remove(&(name.clone(), id.clone()));
                }
                self.happened.push(Happening::state(&name, &id.0, entry.state, state));
                (entry.state, entry.since) = (state, now);
            }
            if let Some(compiled) = Self::compile(&name, service) {
                if service.panic != compiled.panic {
                    service.panic = compiled.panic;
                    self.happened.push(Happening::panic(&name, compiled.panic));
                }
                let compiled = Arc::new(compiled);
                service.published = Some(Arc::clone(&compiled));
                placed.push((service.slot, Some(compiled)));
            }
        }
        placed
    }

    /// The service as the table should have it, unless it has it already.
    fn compile(name: &ServiceName, service: &mut ServiceEntry) -> Option<Service> {
        let candidates = service.entries.values().map(|entry| Candidate {
            endpoint: &entry.endpoint,
            weight: entry.instance.weight,
            state: entry.state,
            once_passed: entry.findings.once_passed,
            failing_since: entry.findings.failing_since,
            refused: entry.findings.refused,
            expired: matches!(entry.lease, Lease::Expired { .. }),
        });
        let candidates: Vec<Candidate<'_>> = candidates.collect();
        let compiled = compile::compile(&candidates, service.policy.panic);
        let picked: BTreeSet<EndpointId> =
            compiled.targets.iter().map(|target| target.endpoint.id).collect();
        for entry in service.entries.values_mut() {
            entry.routable = picked.contains(&entry.endpoint.id);
        }
        let same = service.published.as_ref().is_some_and(|old| {
            Arc::ptr_eq(&old.policy, &service.policy)
                && old.panic == compiled.panic
                && compile::same_targets(old.balancer.targets(), &compiled.targets)
        });
        (!same).then(|| compile::service(name, &service.policy, &service.state, compiled))
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
        of(Source::Registry).or_else(|| of(Source::File))
    }
}
