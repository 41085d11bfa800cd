//! Registrations that were accepted while etcd was away.
//!
//! Such an entry is routed by here and nowhere else, and lies over what etcd
//! holds under its key. As soon as etcd answers it is written there, unless
//! that has become somebody else's meanwhile: what is in etcd was promised by
//! all proxies, what lies over it by one.

use serde::{Deserialize, Serialize};

use super::Mirror;
use crate::{
    model::{Instance, InstanceKey},
    registry::{
        Caller, Registration, RegistryError, RegistryEvent, Removal,
        judge::{self, Verdict},
        ledger::{Change, Outcome},
        shared::{
            entry::{Due, Entry, Standing},
            schema::Record,
        },
    },
};

/// One of them, as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry::shared) struct Deferred {
    /// The generation that it comes after; 0 if it comes after none.
    after: u64,
    record: Record,
}

/// What lies beneath such an entry.
#[derive(Debug)]
pub(super) struct Beneath {
    after: u64,
    /// What etcd holds.
    there: Option<Entry>,
    /// Whether etcd may have been told.
    tried: bool,
}

impl Deferred {
    pub(in crate::registry::shared) fn key(&self) -> InstanceKey {
        self.record.instance.key()
    }
}

impl Mirror {
    /// All of them.
    pub(in crate::registry::shared) fn deferred(&self) -> Vec<Deferred> {
        let deferred = |(key, beneath): (_, &Beneath)| {
            let entry = self.entries.get(key)?;
            Some(Deferred { after: beneath.after, record: entry.record() })
        };
        self.beneath.iter().filter_map(deferred).collect()
    }

    pub(in crate::registry::shared) fn is_deferred(&self, key: &InstanceKey) -> bool {
        self.beneath.contains_key(key)
    }

    /// Whether other ones are deferred than when it was last asked.
    pub(in crate::registry::shared) fn is_unsaved(&mut self) -> bool {
        std::mem::take(&mut self.unsaved)
    }

    /// Judges the registration of `instance`: what it comes to, and what is to
    /// be deferred, if anything. A new process is given the generation `fresh`.
    pub(in crate::registry::shared) fn judge(
        &self,
        instance: &Instance,
        caller: &Caller,
        fresh: u64,
    ) -> Result<(Outcome, Option<Deferred>), RegistryError> {
        let key = instance.key();
        let old = self.entries.get(&key);
        let verdict = judge::register(old.map(|entry| &entry.registration), instance, caller)?;
        let Verdict::Entered { owner, generation, change } = verdict else {
            let entry = old.ok_or(RegistryError::NotFound { key })?;
            let registration = entry.registration.clone();
            return Ok((Outcome { registration, change: None }, None));
        };
        let registration = Registration {
            instance: instance.clone(),
            generation: generation.unwrap_or(fresh),
            draining: false,
            owner,
        };
        let same = old.filter(|_| change == Change::Updated);
        let renewed = same.is_some_and(|entry| {
            entry.renewed && entry.registration.instance.ttl.is_some() == instance.ttl.is_some()
        });
        let after = match self.beneath.get(&key) {
            Some(beneath) => beneath.after,
            None => old.map_or(0, |entry| entry.registration.generation),
        };
        let deferred = Deferred { after, record: Record::of(&registration, renewed) };
        Ok((Outcome { registration, change: Some(change) }, Some(deferred)))
    }

    /// Routes by `deferred` until etcd is told. What is `restored` may have been
    /// told by the process before.
    pub(in crate::registry::shared) fn defer(
        &mut self,
        deferred: Deferred,
        restored: bool,
        out: &mut Vec<RegistryEvent>,
    ) {
        let Deferred {
            after,
            record: Record { generation, draining, renewed, owner, instance, .. },
        } = deferred;
        let generation = generation.unwrap_or_default();
        let registration = Registration { instance, generation, draining, owner };
        let key = registration.instance.key();
        let there = self.entries.get(&key).cloned();
        self.beneath.entry(key).or_insert(Beneath { after, there, tried: restored });
        let entry = Entry {
            registration,
            seen: 0,
            lease: 0,
            renewed,
            noted: renewed,
            heard: None,
            passed: None,
            standing: Standing::Held,
            newer: None,
        };
        self.enter(entry, restored, out);
    }

    /// Takes back the deferred registration `key`. None if etcd holds something
    /// under it or may have been told: then others know of it.
    pub(in crate::registry::shared) fn withdraw(
        &mut self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
        out: &mut Vec<RegistryEvent>,
    ) -> Result<Option<Registration>, RegistryError> {
        let found = self.entries.get(key).map(|entry| &entry.registration);
        let registration = judge::meant(found, key, generation, caller)?.clone();
        let is_known = |beneath: &Beneath| beneath.tried || beneath.there.is_some();
        if self.beneath.get(key).is_none_or(is_known) {
            return Ok(None);
        }
        self.beneath.remove(key);
        self.take_out(key, Removal::Deregistered, out);
        Ok(Some(registration))
    }

    /// `entry` as far as it is to be seen: not if one that is deferred lies
    /// over it.
    pub(super) fn surfaces(&mut self, entry: Entry) -> Option<Entry> {
        let key = entry.registration.instance.key();
        let Some(beneath) = self.beneath.get_mut(&key) else { return Some(entry) };
        let over = self.entries.get(&key).map(|over| &over.registration);
        if over.is_some_and(|over| *over == entry.registration) {
            // It was told.
            self.beneath.remove(&key);
            self.unsaved = true;
            return Some(entry);
        }
        beneath.there = Some(entry);
        None
    }

    /// Notes that etcd does not hold `key` any more; whether one that is
    /// deferred lies over it. That goes too if the farewell was its own.
    pub(super) fn sinks(
        &mut self,
        key: &InstanceKey,
        farewell: Option<(u64, Removal)>,
        out: &mut Vec<RegistryEvent>,
    ) -> bool {
        let Some(beneath) = self.beneath.get_mut(key) else { return false };
        beneath.there = None;
        let over = self.entries.get(key).map(|over| over.registration.generation);
        if let Some((generation, why)) = farewell
            && over == Some(generation)
        {
            self.beneath.remove(key);
            self.unsaved = true;
            self.take_out(key, why, out);
        }
        true
    }

    /// What etcd is to be told of those that are deferred. Those whose id has
    /// become somebody else's are given up.
    pub(super) fn replays(&mut self, out: &mut Vec<RegistryEvent>) -> Vec<Due> {
        let (mut due, mut lost) = (Vec::new(), Vec::new());
        for (key, beneath) in &mut self.beneath {
            let Some(over) = self.entries.get(key) else { continue };
            let mine = &over.registration;
            let is_mine = |there: &Entry| {
                let Registration { owner, generation, .. } = &there.registration;
                *owner == mine.owner && [mine.generation, beneath.after].contains(generation)
            };
            if beneath.there.as_ref().is_none_or(is_mine) {
                beneath.tried = true;
                let seen = beneath.there.as_ref().map_or(0, |there| there.seen);
                due.push(Due::Replay(Box::new(Entry { seen, ..over.clone() })));
            } else {
                lost.push(key.clone());
            }
        }
        for key in lost {
            self.unsaved = true;
            let there = self.beneath.remove(&key).and_then(|beneath| beneath.there);
            let Some(there) = there else { continue };
            tracing::warn!(
                instance = %key,
                generation = there.registration.generation,
                "what was registered here while etcd was away gives way to what was registered \
                 by another proxy"
            );
            self.enter(there, false, out);
        }
        due
    }

    /// What etcd holds, as far as it is known, whatever lies over it.
    pub(super) fn beneath(&self, key: &InstanceKey) -> Option<&Entry> {
        match self.beneath.get(key) {
            Some(beneath) => beneath.there.as_ref(),
            None => self.entries.get(key),
        }
    }

    /// How many are deferred and not gone.
    pub(super) fn deferred_count(&self) -> usize {
        self.beneath.len()
    }
}
