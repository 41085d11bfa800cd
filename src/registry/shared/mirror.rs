//! What etcd holds, as this proxy has heard it.
//!
//! Pure: lists, events of the watch, heartbeats and the time come in, events
//! of the registry go out. Nothing enters that etcd has not said, so what one
//! proxy routes by is what all others hear too; but for what `deferred.rs` is
//! about, where that is asked for.
//!
//! Nothing expires by the clock of this proxy: a renewal makes no event, and
//! who did not see it would take out an instance that lives. Only a deletion
//! by etcd itself, one without a farewell, says that a lease is over.

mod deferred;
mod leases;

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use self::deferred::Beneath;
pub(super) use self::deferred::Deferred;
use super::{
    entry::{Due, Entry, Standing},
    schema::{Farewell, Keys, Kind, Read, Record},
};
use crate::{
    etcd::{
        Listing,
        messages::{Event, EventType, KeyValue},
    },
    model::{InstanceKey, ServiceName},
    registry::{Caller, Registration, RegistryError, RegistryEvent, Removal, Renewed, judge},
};

/// All registrations.
#[derive(Debug)]
pub(super) struct Mirror {
    keys: Keys,
    forget_after: Duration,
    entries: HashMap<InstanceKey, Entry>,
    /// Deletions carry no value.
    names: HashMap<Bytes, InstanceKey>,
    services: HashMap<ServiceName, u32>,
    /// Farewells of the current revision: they come before the deletions.
    farewells: HashMap<InstanceKey, (i64, u64, Removal)>,
    /// When an outage ended: a lease that is over since may be one that could
    /// not be renewed.
    back: Option<Instant>,
    /// What lies beneath what was accepted without etcd.
    beneath: HashMap<InstanceKey, Beneath>,
    /// Whether other ones are than are on disk.
    unsaved: bool,
}

impl Mirror {
    pub(super) fn new(keys: Keys, forget_after: Duration) -> Self {
        Self {
            keys,
            forget_after,
            entries: HashMap::new(),
            names: HashMap::new(),
            services: HashMap::new(),
            farewells: HashMap::new(),
            back: None,
            beneath: HashMap::new(),
            unsaved: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many are not in etcd and are not given up.
    pub(super) fn pending(&self) -> usize {
        let is_pending = |entry: &&Entry| matches!(entry.standing, Standing::Missing { .. });
        self.entries.values().filter(is_pending).count() + self.deferred_count()
    }

    pub(super) fn entry(&self, key: &InstanceKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// What etcd holds.
    pub(super) fn registrations(&self) -> Vec<Registration> {
        let held = self.entries.keys().filter_map(|key| self.beneath(key));
        held.map(|entry| entry.registration.clone()).collect()
    }

    /// How many services there are, and how many instances `service` has.
    pub(super) fn count(&self, service: &ServiceName) -> (usize, u32) {
        (self.services.len(), self.services.get(service).copied().unwrap_or(0))
    }

    /// Begins with what was known before, as far as nothing is known yet.
    pub(super) fn remember(&mut self, known: Vec<Registration>, out: &mut Vec<RegistryEvent>) {
        for registration in known {
            let renewed = registration.instance.ttl.is_some();
            let entry = Entry {
                seen: 1,
                lease: 0,
                renewed,
                noted: true,
                heard: None,
                passed: None,
                standing: Standing::Held,
                newer: None,
                registration,
            };
            self.enter(entry, true, out);
        }
    }

    /// Whether `listing` can be what has become of what is known: without its
    /// own mark it is another etcd, or one that has lost everything.
    pub(super) fn accepts(&self, listing: &Listing) -> bool {
        let schema = self.keys.schema();
        let held = self.entries.keys().any(|key| self.beneath(key).is_some());
        !held || listing.entries.iter().any(|entry| entry.key == schema)
    }

    /// Takes over everything that there is. After an `outage`, what is missing
    /// may be missing because its heartbeats could not be passed on.
    pub(super) fn list(
        &mut self,
        listing: &Listing,
        outage: bool,
        restored: bool,
        now: Instant,
        out: &mut Vec<RegistryEvent>,
    ) {
        if outage {
            self.back = Some(now);
        }
        self.farewells.clear();
        let (mut there, mut gone) = (HashMap::new(), HashMap::new());
        for entry in &listing.entries {
            match self.keys.kind(&entry.key) {
                Kind::Instance => {
                    there.insert(entry.key.clone(), ());
                    self.put(entry, restored, out);
                }
                Kind::Gone => {
                    if let Some(farewell) = self.farewell(entry) {
                        gone.insert(farewell.key.clone(), (entry.mod_revision, farewell));
                    }
                }
                Kind::Schema | Kind::Other => {}
            }
        }
        let absent: Vec<_> = self
            .entries
            .keys()
            .filter(|key| !there.contains_key(&self.keys.instance(key)))
            .cloned()
            .collect();
        for key in absent {
            let farewell = gone.get(&key);
            if self.sinks(&key, farewell.map(|(_, it)| (it.generation, it.why())), out) {
                continue;
            }
            let Some(entry) = self.entries.get(&key) else { continue };
            // Said since it was heard of, by whichever process came after it.
            let has_left = |(revision, it): &&(i64, Farewell)| match entry.seen {
                0 => it.generation >= entry.registration.generation,
                seen => *revision > seen,
            };
            match farewell.filter(has_left).map(|(_, it)| it) {
                Some(farewell) => self.take_out(&key, farewell.why(), out),
                None if entry.seen != 0 => self.lost(&key, now, out),
                None => {}
            }
        }
    }

    /// Takes over one event of the watch.
    pub(super) fn hear(&mut self, event: &Event, now: Instant, out: &mut Vec<RegistryEvent>) {
        let Some(entry) = &event.kv else { return };
        let deleted = event.r#type == i32::from(EventType::Delete);
        match (self.keys.kind(&entry.key), deleted) {
            (Kind::Instance, false) => self.put(entry, false, out),
            (Kind::Instance, true) => {
                let Some(key) = self.names.get(&entry.key).cloned() else { return };
                let said = self.farewells.remove(&key);
                let said = said.filter(|(revision, ..)| *revision == entry.mod_revision);
                let said = said.map(|(_, generation, why)| (generation, why));
                if self.sinks(&key, said, out) {
                    return;
                }
                match said {
                    Some((_, why)) => self.take_out(&key, why, out),
                    None => self.lost(&key, now, out),
                }
            }
            (Kind::Gone, false) => {
                let Some(farewell) = self.farewell(entry) else { return };
                let Some(there) = self.entries.get(&farewell.key) else { return };
                if there.seen != 0 || self.is_deferred(&farewell.key) {
                    let said = (entry.mod_revision, farewell.generation, farewell.why());
                    self.farewells.insert(farewell.key, said);
                } else if there.registration.generation <= farewell.generation {
                    self.take_out(&farewell.key, farewell.why(), out);
                }
            }
            (Kind::Gone, true) | (Kind::Schema | Kind::Other, _) => {}
        }
    }

    /// A heartbeat that came here.
    pub(super) fn heartbeat(
        &mut self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
        now: Instant,
        out: &mut Vec<RegistryEvent>,
    ) -> Result<Renewed, RegistryError> {
        let found = self.entries.get(key).map(|entry| &entry.registration);
        let registration = judge::meant(found, key, generation, caller)?;
        let renewed = Renewed {
            generation: registration.generation,
            draining: registration.draining,
            ttl: registration.instance.ttl.map(Duration::from),
        };
        self.touch(key, true, now, out);
        Ok(renewed)
    }

    /// A sign of life, by a heartbeat or by registering again.
    pub(super) fn touch(
        &mut self,
        key: &InstanceKey,
        heartbeat: bool,
        now: Instant,
        out: &mut Vec<RegistryEvent>,
    ) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.heard = Some(now);
        let expired = matches!(entry.standing, Standing::Expired { .. });
        if let (true, Some(ttl)) = (expired, entry.ttl()) {
            entry.standing = Standing::Missing { until: now + ttl };
        }
        let first = heartbeat && !std::mem::replace(&mut entry.renewed, true);
        if expired || first {
            let generation = entry.registration.generation;
            out.push(RegistryEvent::LeaseRenewed { key: key.clone(), generation });
        }
    }

    /// What has come due: what etcd is to be told, and what nobody waits for
    /// any more. Only to be asked while etcd answers.
    pub(super) fn due(&mut self, now: Instant, out: &mut Vec<RegistryEvent>) -> Vec<Due> {
        let (mut due, mut forgotten) = (Vec::new(), Vec::new());
        for (key, entry) in &mut self.entries {
            if self.beneath.contains_key(key) {
                continue;
            }
            let generation = entry.registration.generation;
            match entry.standing {
                Standing::Held => {
                    let ttl = entry.ttl();
                    if entry.renewed && !entry.noted {
                        due.push(Due::Write(Box::new(entry.clone())));
                    }
                    let waits = |ttl: Duration| {
                        entry.heard > entry.passed
                            && entry
                                .passed
                                .is_none_or(|at| now.saturating_duration_since(at) >= ttl / 3)
                    };
                    if entry.lease != 0 && ttl.is_some_and(waits) {
                        due.push(Due::Renew { key: key.clone(), lease: entry.lease });
                    }
                }
                Standing::Missing { .. } if entry.is_alive(now) => {
                    due.push(Due::Write(Box::new(entry.clone())));
                }
                Standing::Missing { until } if until <= now => {
                    entry.standing = Standing::Expired { until: now + self.forget_after };
                    out.push(RegistryEvent::LeaseExpired { key: key.clone(), generation });
                }
                Standing::Expired { until } if until <= now => forgotten.push(key.clone()),
                Standing::Missing { .. } | Standing::Expired { .. } => {}
            }
        }
        for key in forgotten {
            self.take_out(&key, Removal::Forgotten, out);
        }
        due.extend(self.replays(out));
        due
    }

    /// Notes that etcd was told of all heartbeats until `at`.
    pub(super) fn passed(&mut self, key: &InstanceKey, lease: i64, at: Instant) {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.lease == lease) {
            entry.passed = Some(at);
        }
    }

    fn farewell(&self, entry: &KeyValue) -> Option<Farewell> {
        Farewell::read(&self.keys, entry).map_err(|why| rejected(entry, &why)).ok()
    }

    fn put(&mut self, entry: &KeyValue, restored: bool, out: &mut Vec<RegistryEvent>) {
        let Read { registration, renewed, newer } = match Record::read(&self.keys, entry) {
            Ok(read) => read,
            // What is known of it stays, and its heartbeats go on with it.
            Err(why) => {
                let key = self.names.get(&entry.key);
                if let Some(known) = key.and_then(|key| self.entries.get_mut(key)) {
                    (known.lease, known.passed) = (entry.lease, None);
                }
                return rejected(entry, &why);
            }
        };
        let entry = Entry {
            registration,
            seen: entry.mod_revision,
            lease: entry.lease,
            renewed,
            noted: renewed,
            heard: None,
            passed: None,
            standing: Standing::Held,
            newer,
        };
        if let Some(entry) = self.surfaces(entry) {
            self.enter(entry, restored, out);
        }
    }

    /// Takes over what is in etcd, and tells what is new in it.
    fn enter(&mut self, mut entry: Entry, restored: bool, out: &mut Vec<RegistryEvent>) {
        let (key, generation) = (entry.registration.instance.key(), entry.registration.generation);
        let before = self.entries.get(&key);
        let before = before.filter(|before| before.registration.generation == generation);
        let (mut told, mut renewed, mut draining) = (true, entry.renewed, false);
        if let Some(before) = before {
            let (old, new) = (&before.registration, &entry.registration);
            told = old.instance != new.instance || old.owner != new.owner;
            draining = new.draining && !old.draining;
            let expired = matches!(before.standing, Standing::Expired { .. });
            let began = old.instance.ttl.is_some() != new.instance.ttl.is_some();
            renewed = expired || (entry.renewed && (!before.renewed || began));
            entry.renewed |= before.renewed && !began;
            entry.heard = before.heard;
            if before.lease == entry.lease {
                entry.passed = before.passed;
            }
        }
        if told {
            let registration = entry.registration.clone();
            out.push(RegistryEvent::Upserted { registration, restored });
        }
        if draining {
            out.push(RegistryEvent::Draining { key: key.clone(), generation });
        }
        if renewed {
            out.push(RegistryEvent::LeaseRenewed { key: key.clone(), generation });
        }
        if self.entries.insert(key.clone(), entry).is_none() {
            *self.services.entry(key.service.clone()).or_default() += 1;
            self.names.insert(self.keys.instance(&key), key);
        }
    }

    fn take_out(&mut self, key: &InstanceKey, why: Removal, out: &mut Vec<RegistryEvent>) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.names.remove(&self.keys.instance(key));
        if let Some(count) = self.services.get_mut(&key.service) {
            *count -= 1;
            if *count == 0 {
                self.services.remove(&key.service);
            }
        }
        let generation = entry.registration.generation;
        out.push(RegistryEvent::Removed { key: key.clone(), generation, why });
    }
}

fn rejected(entry: &KeyValue, why: &str) {
    let key = String::from_utf8_lossy(&entry.key);
    tracing::warn!(%key, why, "a key of the registry cannot be read and is left as it was");
}
