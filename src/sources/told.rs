//! What a source has told so far, for registries that are read again and
//! again: of what is read only what is new is told.
//!
//! A few instances that are gone are told one by one, as the departures that
//! they are. Many at once are told as a list that lacks them, since a registry
//! that breaks looks like that too, and lists are believed with care.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{Feed, Found, News};
use crate::model::InstanceKey;

/// So many that are gone at once may be a fault of the registry.
pub(super) const MANY: usize = 10;

/// What a source has told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    known: HashMap<InstanceKey, Found>,
    /// Those that the registry does not have any more and may have forgotten
    /// by mistake, and until when they are told all the same.
    kept: HashMap<InstanceKey, Instant>,
}

impl Told {
    /// Goes on from what the source had before this driver began, as far as it
    /// is `meant` by the settings of today.
    pub(super) fn after(feed: &Feed, meant: impl Fn(&Found) -> bool) -> Self {
        let had = feed.take_had().into_iter().filter(|found| meant(found));
        let known = had.map(|found| (found.instance.key(), Arc::unwrap_or_clone(found)));
        Self { known: known.collect(), kept: HashMap::new() }
    }

    /// Tells `found`, which is all there is. With `keep`, what it lacks is
    /// told as well for that time: the registry may have lost it.
    pub(super) fn list(&mut self, found: Vec<Found>, keep: Option<Duration>, feed: &Feed) {
        let now = Instant::now();
        let found = found.into_iter().map(|found| (found.instance.key(), found));
        let before = std::mem::replace(&mut self.known, found.collect());
        let kept = std::mem::take(&mut self.kept);
        for (key, old) in before {
            if self.known.contains_key(&key) {
                continue;
            }
            let until = kept.get(&key).copied().or_else(|| Some(now + keep?));
            if let Some(until) = until.filter(|until| *until > now) {
                self.kept.insert(key.clone(), until);
                self.known.insert(key, old);
            }
        }
        self.tell_all(feed);
    }

    /// Tells what is new of `changed` and `gone`; that there is nothing, if
    /// so.
    pub(super) fn change(
        &mut self,
        changed: impl IntoIterator<Item = Found>,
        gone: impl IntoIterator<Item = InstanceKey>,
        feed: &Feed,
    ) {
        let mut upserted = Vec::new();
        let mut there = HashSet::new();
        for found in changed {
            let key = found.instance.key();
            self.kept.remove(&key);
            there.insert(key.clone());
            if self.known.get(&key) != Some(&found) {
                self.known.insert(key, found.clone());
                upserted.push(found);
            }
        }
        let mut removed = Vec::new();
        // What was registered anew elsewhere is not gone.
        for key in gone.into_iter().filter(|key| !there.contains(key)) {
            self.kept.remove(&key);
            if self.known.remove(&key).is_some() {
                removed.push(key);
            }
        }
        if removed.len() >= MANY {
            self.tell_all(feed);
        } else if upserted.is_empty() && removed.is_empty() {
            feed.tell(News::Unchanged);
        } else {
            upserted.into_iter().for_each(|found| feed.tell(News::Upserted(Box::new(found))));
            removed.into_iter().for_each(|key| feed.tell(News::Removed(key)));
        }
    }

    /// Until when nothing that is kept has to go.
    pub(super) fn kept_until(&self) -> Option<Instant> {
        self.kept.values().min().copied()
    }

    /// Tells that those are gone that have been kept for long enough.
    pub(super) fn let_go(&mut self, feed: &Feed) {
        let now = Instant::now();
        let over: Vec<_> = self
            .kept
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        self.change([], over, feed);
    }

    fn tell_all(&self, feed: &Feed) {
        feed.tell(News::List(self.known.values().cloned().collect()));
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Notify, mpsc};

    use super::*;
    use crate::{model::Reported, sources::SourceName};

    type Heard = mpsc::UnboundedReceiver<(SourceName, News)>;

    fn feed() -> (Feed, Heard) {
        let (sender, heard) = mpsc::unbounded_channel();
        let name = "test".parse().expect("a name");
        (Feed::new(name, sender, Arc::new(Notify::new())), heard)
    }

    fn found(id: usize) -> Found {
        let text = format!(r#"{{"service":"s","id":"i{id}","origin":"10.0.0.1:80"}}"#);
        let instance = serde_json::from_str(&text).expect("an instance");
        Found { instance, reported: Reported::Up }
    }

    fn many(count: usize) -> Vec<Found> {
        (0..count).map(found).collect()
    }

    /// What was told: `L3` a list of three, `+i1`, `-i1`, `=`.
    fn said(heard: &mut Heard) -> String {
        let mut all = Vec::new();
        while let Ok((_, news)) = heard.try_recv() {
            all.push(match news {
                News::List(list) => format!("L{}", list.len()),
                News::Upserted(found) => format!("+{}", found.instance.id),
                News::Removed(key) => format!("-{}", key.id),
                News::Unchanged => "=".to_owned(),
                other => format!("{other:?}"),
            });
        }
        all.join(" ")
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_new_is_told() {
        let ((feed, mut heard), mut told) = (feed(), Told::default());
        told.list(many(30), None, &feed);
        told.change([found(1), found(30)], [found(2).instance.key()], &feed);
        told.change([found(1)], [found(2).instance.key()], &feed);
        let mut down = found(1);
        down.reported = Reported::Down;
        told.change([down], [], &feed);
        assert_eq!(said(&mut heard), "L30 +i30 -i2 = +i1");
        told.change([], (0..13).map(|id| found(id).instance.key()), &feed);
        assert_eq!(said(&mut heard), "L18");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_had_before_is_kept_where_it_is_still_meant() {
        let (feed, mut heard) = feed();
        let feed = feed.after(many(4).into_iter().map(Arc::new).collect());
        let mut told = Told::after(&feed, |found| found.instance.id.as_str() != "i3");
        let keep = Duration::from_secs(60);
        told.list(vec![found(0)], Some(keep), &feed);
        tokio::time::advance(keep).await;
        told.let_go(&feed);
        let mut all: Vec<_> = said(&mut heard).split(' ').map(str::to_owned).collect();
        all.sort_unstable();
        assert_eq!(all, ["-i1", "-i2", "L3"]);
        // A driver that begins again does not begin from what was then.
        let mut told = Told::after(&feed, |_| true);
        told.list(Vec::new(), Some(keep), &feed);
        assert_eq!(said(&mut heard), "L0");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_registry_may_have_forgotten_is_kept_for_a_time() {
        let ((feed, mut heard), mut told) = (feed(), Told::default());
        let keep = Duration::from_secs(60);
        told.list(many(3), Some(keep), &feed);
        assert_eq!(told.kept_until(), None);
        told.list(Vec::new(), Some(keep), &feed);
        let until = told.kept_until().expect("all three");
        tokio::time::advance(keep / 2).await;
        // One is back; another full list does not begin the time anew, nor end it.
        told.change([found(0)], [], &feed);
        told.list(vec![found(0)], None, &feed);
        told.let_go(&feed);
        assert_eq!(told.kept_until(), Some(until));
        assert_eq!(said(&mut heard), "L3 L3 = L3 =");
        tokio::time::advance(keep / 2).await;
        told.let_go(&feed);
        let mut gone: Vec<_> = said(&mut heard).split(' ').map(str::to_owned).collect();
        gone.sort_unstable();
        assert_eq!(gone, ["-i1", "-i2"]);
        assert_eq!(told.kept_until(), None);
    }
}
