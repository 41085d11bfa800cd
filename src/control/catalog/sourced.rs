//! Instances that outside sources have.
//!
//! What a source told last stands until it tells something else: one that is
//! lost says nothing. A list that lacks so many instances that it may be
//! mistaken is held for a time, see [`Held`].

mod held;
mod state;

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;

use self::held::Held;
pub(in crate::control) use self::state::{SourceState, Sources};
use super::{Catalog, shadows};
use crate::{
    control::{
        entry::{EntryId, Lease, Source},
        fronts::ELSEWHERE,
        happening::Happening,
    },
    model::{Instance, InstanceKey, Provenance, Reported, ServiceName},
    registry,
    sources::{Found, LastKnown, News, SourceName, SourceSettings},
};

impl Catalog {
    /// Takes over what the config file says of sources. Those that it does not
    /// name any more go with all that they had.
    pub(in crate::control) fn configure_sources(
        &mut self,
        sources: &[SourceSettings],
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.sources.all);
        for (order, settings) in sources.iter().enumerate() {
            let name = settings.name();
            let kept = before.remove(&name).filter(|state| state.kind == settings.kind.word());
            let is_new = kept.is_none();
            let mut state = kept.unwrap_or_else(|| SourceState::new(settings));
            let allowed = settings.common.allow_loopback;
            let other_rule = std::mem::replace(&mut state.allow_loopback, allowed) != allowed;
            if state.order != order {
                state.order = order;
                // Who counts before whom may be another one now.
                self.touched.extend(state.instances.keys().map(|key| key.service.clone()));
            }
            let all: Vec<_> = state.instances.values().map(Arc::clone).collect();
            self.sources.all.insert(name.clone(), state);
            if is_new {
                // One of the same name may have been of another kind.
                self.forget(&name, "proxy.toml names another source", now);
            } else if other_rule {
                self.forget(&name, "other addresses are allowed now", now);
                for found in all {
                    self.place(&name, &found, false, now);
                }
            }
        }
        for name in before.into_keys() {
            self.forget(&name, "proxy.toml does not name its source any more", now);
        }
        self.project(now);
    }

    /// Fills services that mean the instances of one source, and empties those
    /// that nobody means any more.
    fn project(&mut self, now: Instant) {
        let narrow = self.services.iter().filter_map(|(name, service)| {
            let (base, source) = name.of_source()?;
            Some((name.clone(), base.to_owned(), source.parse().ok()?, service.kept))
        });
        let narrow: Vec<(ServiceName, String, SourceName, bool)> = narrow.collect();
        for (name, base, source, is_kept) in narrow {
            if !is_kept {
                let service = self.services.get(&name);
                let ids: Vec<_> = service
                    .map(|service| service.entries.keys().cloned().collect())
                    .unwrap_or_default();
                for id in ids {
                    self.take_out(&name, &id, "nothing leads to it any more", now);
                }
                continue;
            }
            let Some(state) = self.sources.all.get(&source) else { continue };
            let of_base = state.instances.values();
            let of_base = of_base.filter(|found| found.instance.service.as_str() == base);
            for found in of_base.cloned().collect::<Vec<_>>() {
                let instance = Instance { service: name.clone(), ..found.instance.clone() };
                self.put_sourced(&source, instance, found.reported, false, now);
            }
        }
    }

    /// Takes out all that a source has.
    fn forget(&mut self, source: &SourceName, why: &'static str, now: Instant) {
        let of = Source::Outside(source.clone());
        let names: Vec<_> = self.services.keys().cloned().collect();
        for name in names {
            let ids = self.services.get(&name).map(|service| shadows::of_source(service, &of));
            for id in ids.unwrap_or_default() {
                self.take_out(&name, &id, why, now);
            }
        }
    }

    /// Takes over what a source had when it was last heard, before this
    /// process began.
    pub(in crate::control) fn restore_source(&mut self, known: LastKnown, now: Instant) {
        let Some(state) = self.sources.all.get_mut(&known.source) else { return };
        if state.kind != known.kind {
            return;
        }
        state.restore(&known);
        for found in known.found {
            self.place(&known.source, &found, true, now);
        }
        self.resolve_touched();
    }

    /// Takes over what a source tells.
    pub(in crate::control) fn heard(&mut self, source: &SourceName, news: News, now: Instant) {
        let Some(state) = self.sources.all.get_mut(source) else { return };
        match news {
            News::Lost(why) => {
                let happened = state.lost(why, now);
                self.happened
                    .extend(happened.map(|detail| of_source("source_lost", source, &detail)));
                return;
            }
            News::Rejected { what, why } => return state.reject(what, why, now),
            _ => {}
        }
        if let Some(detail) = state.connected(now) {
            self.happened.push(of_source("source_back", source, &detail));
        }
        match news {
            News::List(found) => self.list(source, found, now),
            News::Upserted(found) => {
                if let Some(state) = self.sources.all.get_mut(source)
                    && let Some(held) = &mut state.held
                {
                    held.missing.remove(&found.instance.key());
                }
                self.upsert_found(source, *found, now);
            }
            News::Removed(key) => self.remove_found(source, &key, now),
            News::Unchanged | News::Lost(_) | News::Rejected { .. } => {}
        }
        self.resolve_touched();
    }

    fn list(&mut self, source: &SourceName, found: Vec<Found>, now: Instant) {
        let mut there = BTreeSet::new();
        for found in found {
            let key = found.instance.key();
            if !there.insert(key.clone()) {
                if let Some(state) = self.sources.all.get_mut(source) {
                    state.reject(key.to_string(), "it is listed twice".to_owned(), now);
                }
                continue;
            }
            self.upsert_found(source, found, now);
        }
        let Some(state) = self.sources.all.get_mut(source) else { return };
        state.listed = Some(now);
        let all = state.instances.len();
        let missing = state.instances.keys().filter(|key| !there.contains(key)).cloned();
        let missing: BTreeSet<InstanceKey> = missing.collect();
        if held::is_sudden(missing.len(), all) {
            match &mut state.held {
                Some(held) if held.is_confirmed(now) => {}
                Some(held) => {
                    held.missing = missing;
                    return;
                }
                None => {
                    let detail = format!(
                        "its list lacks {} of {all} instances; they stay until it says so again",
                        missing.len()
                    );
                    state.held = Some(Held::new(missing, now));
                    self.sources.wanted.push(source.clone());
                    self.happened.push(of_source("source_held", source, &detail));
                    return;
                }
            }
        }
        if state.held.take().is_some() {
            let detail = match missing.len() {
                0 => "all instances are back".to_owned(),
                count => format!("{count} instances are gone: its list said so again"),
            };
            self.happened.push(of_source("source_accepted", source, &detail));
        }
        for key in missing {
            self.remove_found(source, &key, now);
        }
    }

    /// Believes what is held of a source. Answers whether anything was.
    pub(in crate::control) fn accept(
        &mut self,
        source: &SourceName,
        why: &str,
        now: Instant,
    ) -> bool {
        let state = self.sources.all.get_mut(source);
        let Some(held) = state.and_then(|state| state.held.take()) else { return false };
        let detail = format!("{} instances are gone: {why}", held.missing.len());
        self.happened.push(of_source("source_accepted", source, &detail));
        for key in held.missing {
            self.remove_found(source, &key, now);
        }
        true
    }

    /// Looks after lists that are held. Answers with the sources that are to
    /// read theirs again.
    pub(in crate::control) fn tend_sources(&mut self, now: Instant) -> Vec<SourceName> {
        let mut over = Vec::new();
        for (name, state) in &mut self.sources.all {
            let is_connected = state.lost.is_none();
            let Some(held) = state.held.as_mut().filter(|_| is_connected) else { continue };
            if held.is_over(now) {
                over.push(name.clone());
            } else if held.wants_list(now) {
                self.sources.wanted.push(name.clone());
            }
        }
        for name in over {
            self.accept(&name, "no other list came", now);
        }
        std::mem::take(&mut self.sources.wanted)
    }

    fn upsert_found(&mut self, source: &SourceName, found: Found, now: Instant) {
        let Some(state) = self.sources.all.get_mut(source) else { return };
        let key = found.instance.key();
        if let Err(why) = fits(&found) {
            state.reject(key.to_string(), why, now);
            return;
        }
        if state.instances.get(&key).is_some_and(|known| **known == found) {
            return;
        }
        let found = Arc::new(found);
        state.instances.insert(key, Arc::clone(&found));
        state.changed = true;
        self.place(source, &found, false, now);
    }

    fn remove_found(&mut self, source: &SourceName, key: &InstanceKey, now: Instant) {
        let Some(state) = self.sources.all.get_mut(source) else { return };
        if let Some(held) = &mut state.held {
            held.missing.remove(key);
        }
        if state.instances.remove(key).is_none() {
            return;
        }
        state.changed = true;
        let narrow = key.service.from_source(source.as_str());
        let id: EntryId = (key.id.clone(), Source::Outside(source.clone()));
        for name in [Some(key.service.clone()), narrow].into_iter().flatten() {
            if self.take_out(&name, &id, "its source does not have it any more", now) {
                let detail = format!("{source} does not have it any more");
                self.happened.push(Happening::new("deregistered", &name, &key.id, detail));
            }
        }
    }

    /// Puts an instance of a source where it belongs.
    fn place(&mut self, source: &SourceName, found: &Found, restored: bool, now: Instant) {
        let instance = &found.instance;
        let narrow = instance.service.from_source(source.as_str());
        if let Some(service) = narrow.filter(|name| self.services.contains_key(name)) {
            let instance = Instance { service, ..instance.clone() };
            self.put_sourced(source, instance, found.reported, restored, now);
        }
        self.put_sourced(source, instance.clone(), found.reported, restored, now);
    }

    fn put_sourced(
        &mut self,
        source: &SourceName,
        instance: Instance,
        reported: Reported,
        restored: bool,
        now: Instant,
    ) {
        let allow_loopback = self.sources.all.get(source).and_then(|state| state.allow_loopback);
        let of = Source::Outside(source.clone());
        let (name, key) = (instance.service.clone(), instance.key());
        let id: EntryId = (instance.id.clone(), of.clone());
        // Where heartbeats decide, a source that says "up" is as good as one.
        let lease = Lease::Unleased { renewed: reported == Reported::Up && !restored };
        let known = self.services.get_mut(&name).and_then(|service| service.entries.get_mut(&id));
        let mut generation = 1;
        if let Some(entry) = known {
            if entry.instance.origin == instance.origin {
                if entry.reported != reported {
                    let detail = format!("{source} says {}", word(reported));
                    self.happened.push(Happening::new("reported", &name, &id.0, detail));
                } else if entry.instance != instance {
                    let detail = format!("{source} has it with other settings");
                    self.happened.push(Happening::new("updated", &name, &id.0, detail));
                }
                if entry.instance.health != instance.health {
                    self.sources.unresolved.insert(name.clone());
                }
                entry.instance = instance;
                (entry.reported, entry.lease) = (reported, lease);
                self.touched.insert(name);
                return;
            }
            generation = entry.generation + 1;
            self.take_out(&name, &id, "its source has it at another address", now);
        } else if let Some(inherited) = self.inherited.get(&(key, of.clone())) {
            generation = inherited.generation_at(&instance.origin.address).unwrap_or(1);
        }
        let kind = if restored { "restored" } else { "registered" };
        let detail = format!("at {}, from {source}", instance.origin);
        let provenance = Provenance::Sourced { allow_loopback };
        let told = self.put_in(instance, of, provenance, generation, lease, now);
        let service = self.services.get_mut(&name);
        if let Some(entry) = service.and_then(|service| service.entries.get_mut(&id)) {
            (entry.reported, entry.lease) = (reported, lease);
        }
        if !told {
            self.happened.push(Happening::new(kind, &name, &id.0, detail));
        }
    }

    /// Works out anew how instances are probed whose settings have changed.
    fn resolve_touched(&mut self) {
        for name in std::mem::take(&mut self.sources.unresolved) {
            self.resolve_checks(&name);
        }
    }
}

/// Whether `found` may come in, else why not.
fn fits(found: &Found) -> Result<(), String> {
    if found.instance.service.of_source().is_some() {
        return Err("the name of its service has an '@'".to_owned());
    }
    if let Some(source) = found.instance.metadata.get(ELSEWHERE) {
        // Two that read each other would keep it alive between them.
        return Err(format!("a Portolan has it from {source}: read it from there"));
    }
    registry::check(&found.instance).map_err(|unfit| format!("{}: {}", unfit.at, unfit.fault))
}

/// How a report is called in sentences.
pub(in crate::control) const fn word(reported: Reported) -> &'static str {
    match reported {
        Reported::Up => "UP",
        Reported::Down => "DOWN",
        Reported::OutOfService => "OUT_OF_SERVICE",
    }
}

fn of_source(kind: &'static str, source: &SourceName, detail: &str) -> Happening {
    Happening::general(kind, format!("{source}: {detail}"))
}
