//! What is known of the catalog, and how it is brought up to date with few
//! requests over few connections, however many services there are.
//!
//! One request would have to wait for each service to hear of each change at
//! once, and an agent takes 200 connections from one address. So two requests
//! wait for a change of anything, and when there is one, each service is asked
//! for its index, by a request whose answer has nothing else in it. Instances
//! are read of those alone whose index is another.

use std::{collections::BTreeMap, num::NonZeroU64};

use futures_util::{TryStreamExt, stream::FuturesUnordered};

use super::{
    ConsulSettings,
    api::{Api, ConsulError, Entries, Indexed, Names},
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
    told: Told,
}

/// What is known of one.
#[derive(Debug)]
struct Known {
    index: Option<NonZeroU64>,
    instances: Vec<InstanceKey>,
}

impl Catalog {
    /// The instances that were told so far, as they are kept and let go.
    pub(super) fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    /// Reads all services of `names`, and tells the list. With
    /// `may_have_forgotten`, what it lacks is kept for a time.
    pub(super) async fn read_all(
        &mut self,
        api: &Api,
        settings: &ConsulSettings,
        names: &Names,
        may_have_forgotten: bool,
        feed: &Feed,
    ) -> Result<(), ConsulError> {
        let wanted = meant(settings, names).map(|name| (name, None)).collect();
        let read = read_each(api, wanted, settings).await?;
        self.services.clear();
        let mut all = Vec::new();
        for (name, read) in read {
            all.extend(self.note(settings, name, &read, feed));
        }
        self.told.list(all, may_have_forgotten.then_some(super::KEEP), feed);
        Ok(())
    }

    /// Reads those services of `names` that have changed, and tells what is
    /// new.
    pub(super) async fn read_changed(
        &mut self,
        api: &Api,
        settings: &ConsulSettings,
        names: &Names,
        feed: &Feed,
    ) -> Result<(), ConsulError> {
        let names: Vec<_> = meant(settings, names).collect();
        let known = |name: &str| self.services.get(name).and_then(|known| known.index);
        let wanted = names.iter().map(|name| (*name, known(name))).collect();
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        for (name, read) in read_each(api, wanted, settings).await? {
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
        let instances = all.iter().map(|found| found.instance.key()).collect();
        self.services.insert(name.to_owned(), Known { index: read.index, instances });
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
