//! What is known of the catalog, and how it is brought up to date with few
//! requests over few connections, however many services there are.
//!
//! One request would have to wait for each service to hear of each change at
//! once, and an agent takes 200 connections from one address. So two requests
//! wait for a change of anything, and when there is one, each service is asked
//! for its index, by a request whose answer has nothing else in it. Instances
//! are read of those alone whose index is another.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU64,
};

use futures_util::{TryStreamExt, stream::FuturesUnordered};

use super::{
    ConsulSettings,
    api::{self, Api, ConsulError, Entries, Indexed, Names},
    entry::has,
};
use crate::{
    model::{InstanceKey, Reported},
    sources::{Feed, Found, News, pattern::is_meant, told::Told},
};

/// Services that are read; those beyond it would only fill memory.
const MOST_SERVICES: usize = 50_000;

/// What is known of all services.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    services: BTreeMap<String, Known>,
    /// Whether the names of all services were seen.
    is_complete: bool,
    told: Told,
    /// Whether all of it was read by this driver.
    is_read: bool,
}

/// What is known of one.
#[derive(Debug)]
struct Known {
    index: Option<NonZeroU64>,
    /// Whether all its instances were seen.
    is_complete: bool,
    instances: Vec<InstanceKey>,
}

impl Catalog {
    /// Goes on from what the source had before, as far as the settings of today
    /// mean that. What Consul alone can choose is not known before it is read.
    pub(super) fn after(settings: &ConsulSettings, feed: &Feed) -> Self {
        let can_tell = settings.filter.is_none() && !settings.passing_only;
        let meant = |found: &Found| {
            let Found { instance, .. } = found;
            let service = instance.service.as_str();
            can_tell
                && is_meant(&settings.services, &settings.exclude, service)
                && settings.tags.iter().all(|tag| instance.tags.contains(tag))
                && has(&settings.metadata, |key| instance.metadata.get(key).map(String::as_str))
        };
        Self { told: Told::after(feed, meant), ..Self::default() }
    }

    /// The instances that were told so far, as they are kept and let go.
    pub(super) fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    /// Reads all services of `names`, and tells the list. With
    /// `may_have_forgotten`, and the first time, what it lacks is kept for a
    /// time: of which state what is known from before is, nobody can tell.
    pub(super) async fn read_all(
        &mut self,
        api: &Api,
        settings: &ConsulSettings,
        names: &Indexed<Names>,
        may_have_forgotten: bool,
        feed: &Feed,
    ) -> Result<(), ConsulError> {
        let names = self.seen(settings, names, feed)?;
        let wanted = meant(settings, names).map(|name| (name, None)).collect();
        let read = read_each(api, wanted, settings).await?;
        self.are_seen(&read)?;
        self.services.clear();
        let mut all = Vec::new();
        for (name, read) in read {
            all.extend(self.note(settings, name, &read, feed));
        }
        let is_first = !std::mem::replace(&mut self.is_read, true);
        let keep = (may_have_forgotten || is_first).then_some(super::KEEP);
        self.told.list(all, keep, feed);
        Ok(())
    }

    /// Reads those services of `names` that have changed, and tells what is
    /// new.
    pub(super) async fn read_changed(
        &mut self,
        api: &Api,
        settings: &ConsulSettings,
        names: &Indexed<Names>,
        feed: &Feed,
    ) -> Result<(), ConsulError> {
        let names = self.seen(settings, names, feed)?;
        let names: Vec<_> = meant(settings, names).collect();
        let known = |name: &str| self.services.get(name).and_then(|known| known.index);
        let wanted = names.iter().map(|name| (*name, known(name))).collect();
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        let read = read_each(api, wanted, settings).await?;
        self.are_seen(&read)?;
        for (name, read) in read {
            let before = self.services.remove(name).map(|known| known.instances);
            changed.extend(self.note(settings, name, &read, feed));
            let now = self.services.get(name).map_or(&[][..], |known| &known.instances);
            gone.extend(before.into_iter().flatten().filter(|key| !now.contains(key)));
        }
        let mut names = names.into_iter().peekable();
        self.services.retain(|name, known| {
            // Both are in order.
            while names.next_if(|meant| **meant < **name).is_some() {}
            let stays = names.peek() == Some(&name.as_str());
            if !stays {
                gone.append(&mut known.instances);
            }
            stays
        });
        self.told.change(changed, gone, feed);
        Ok(())
    }

    /// The names, if none is missing only because the token may not see it any
    /// more.
    fn seen<'n>(
        &mut self,
        settings: &ConsulSettings,
        names: &'n Indexed<Names>,
        feed: &Feed,
    ) -> Result<&'n Names, ConsulError> {
        let lacks = |name: &String| !names.value.contains_key(name);
        if names.is_filtered && self.is_complete && self.services.keys().any(lacks) {
            return Err(ConsulError::Hidden { path: api::NAMES.to_owned() });
        }
        self.is_complete = !names.is_filtered;
        if names.is_filtered && settings.services.is_empty() {
            let why = "Consul leaves out services that the token may not see".to_owned();
            feed.tell(News::Rejected { what: api::NAMES.to_owned(), why });
        }
        Ok(&names.value)
    }

    /// Fails if instances are missing only because the token may not see them
    /// any more.
    fn are_seen(&self, read: &[Read<'_>]) -> Result<(), ConsulError> {
        let is_hidden = |(name, read): &&Read<'_>| {
            let known = self.services.get(*name).filter(|known| known.is_complete);
            let Some(known) = known.filter(|_| read.is_filtered) else { return false };
            let there = read.value.0.iter().filter_map(|entry| entry.wanted()?.found().ok());
            let there: HashSet<_> = there.map(|found| found.instance.key()).collect();
            known.instances.iter().any(|key| !there.contains(key))
        };
        match read.iter().find(is_hidden) {
            Some((name, _)) => Err(ConsulError::Hidden { path: (*name).to_owned() }),
            None => Ok(()),
        }
    }

    /// Notes what was read of the service `name`, and answers with its
    /// instances.
    fn note(
        &mut self,
        settings: &ConsulSettings,
        name: &str,
        read: &Indexed<Entries>,
        feed: &Feed,
    ) -> Vec<Found> {
        let mut all = Vec::with_capacity(read.value.0.len());
        for entry in &read.value.0 {
            let Some(entry) = entry.wanted() else {
                let why = "it is not of the form of an instance".to_owned();
                feed.tell(News::Rejected { what: name.to_owned(), why });
                continue;
            };
            match entry.found() {
                _ if !entry.has(&settings.metadata) => {}
                Ok(found) if settings.passing_only && found.reported != Reported::Up => {}
                Ok(found) => all.push(found),
                Err(why) => feed.tell(News::Rejected { what: entry.name(), why }),
            }
        }
        if read.is_filtered {
            let why = "Consul leaves out instances that the token may not see".to_owned();
            feed.tell(News::Rejected { what: name.to_owned(), why });
        }
        let known = Known {
            index: read.index,
            is_complete: !read.is_filtered,
            instances: all.iter().map(|found| found.instance.key()).collect(),
        };
        self.services.insert(name.to_owned(), known);
        all
    }
}

/// A service, and what was read of it.
type Read<'a> = (&'a str, Indexed<Entries>);

/// The instances of each service whose index is another than the one that
/// stands beside it.
async fn read_each<'a>(
    api: &Api,
    wanted: Vec<(&'a str, Option<NonZeroU64>)>,
    settings: &ConsulSettings,
) -> Result<Vec<Read<'a>>, ConsulError> {
    let mut wanted = wanted.into_iter();
    let mut reading = FuturesUnordered::new();
    for (name, known) in wanted.by_ref().take(settings.max_requests.get() as usize) {
        reading.push(read(api, name, known));
    }
    let mut all = Vec::new();
    while let Some(read_one) = reading.try_next().await? {
        all.extend(read_one);
        if let Some((name, known)) = wanted.next() {
            reading.push(read(api, name, known));
        }
    }
    Ok(all)
}

async fn read<'a>(
    api: &Api,
    name: &'a str,
    known: Option<NonZeroU64>,
) -> Result<Option<Read<'a>>, ConsulError> {
    if known.is_some() && api.service_index(name).await? == known {
        return Ok(None);
    }
    Ok(Some((name, api.service(name).await?)))
}

/// Those of `names` that are meant, in order.
fn meant<'a>(settings: &'a ConsulSettings, names: &'a Names) -> impl Iterator<Item = &'a str> {
    let fits = |(name, tags): &(&String, &super::Tags)| {
        is_meant(&settings.services, &settings.exclude, name)
            && settings.tags.iter().all(|tag| tags.0.iter().any(|one| one.as_str() == tag))
    };
    names.iter().filter(fits).map(|(name, _)| name.as_str()).take(MOST_SERVICES)
}
