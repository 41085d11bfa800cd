//! What is told of a tree of entries while it is followed.
//!
//! That instances are gone is told a moment after it is seen. A lease or a
//! session that ends takes all that hung on it, and a registry that breaks may
//! end many; they go one by one, but together. Many that do are told as a list
//! that lacks them, since lists are believed with care.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    super::{Feed, Found, News, told::MANY},
    Held,
};
use crate::model::InstanceKey;

/// What goes within this time goes together.
const MOMENT: Duration = Duration::from_millis(200);

/// How long departures are gathered at most.
const LONGEST: Duration = Duration::from_secs(1);

/// What is known of the entries of a source, and what is still to be told.
#[derive(Debug)]
pub(in crate::sources) struct Telling {
    feed: Feed,
    held: Held,
    going: Option<Going>,
}

/// Instances that are gone and of which nobody was told.
#[derive(Debug)]
struct Going {
    keys: BTreeSet<InstanceKey>,
    first: Instant,
    last: Instant,
}

impl Telling {
    /// Nothing is known yet.
    pub(in crate::sources) fn new(feed: Feed) -> Self {
        Self { feed, held: Held::default(), going: None }
    }

    /// Where it is told.
    pub(in crate::sources) const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Tells what the entries hold, which are all that there are, or why that
    /// is not known.
    pub(in crate::sources) fn list(
        &mut self,
        entries: impl IntoIterator<Item = (String, Result<Vec<Found>, String>)>,
    ) {
        self.going = None;
        self.held.replace(entries).into_iter().for_each(|news| self.feed.tell(news));
    }

    /// Tells what it changes that one entry is new or another one now.
    pub(in crate::sources) fn put(&mut self, entry: &str, held: Result<Vec<Found>, String>) {
        let news = self.held.put(entry, held);
        self.tell(news);
    }

    /// Takes in that one entry is gone.
    pub(in crate::sources) fn remove(&mut self, entry: &str) {
        let news = self.held.remove(entry);
        self.tell(news);
    }

    /// The entries below that of `path`, which is one or leads to some.
    pub(in crate::sources) fn below(&self, path: &str) -> Vec<String> {
        self.held.below(path).map(str::to_owned).collect()
    }

    /// Ends when it is time to tell of departures, if there are any.
    pub(in crate::sources) async fn departed(&self) {
        match &self.going {
            Some(going) => sleep_until((going.first + LONGEST).min(going.last + MOMENT)).await,
            None => std::future::pending().await,
        }
    }

    /// Tells of departures that were not told of yet.
    pub(in crate::sources) fn tell_departures(&mut self) {
        let Some(going) = self.going.take() else { return };
        if going.keys.len() >= MANY {
            self.feed.tell(News::List(self.held.all()));
        } else {
            going.keys.into_iter().for_each(|key| self.feed.tell(News::Removed(key)));
        }
    }

    fn tell(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Removed(key) => {
                    let now = Instant::now();
                    let going = self.going.get_or_insert_with(|| Going {
                        keys: BTreeSet::new(),
                        first: now,
                        last: now,
                    });
                    going.last = now;
                    going.keys.insert(key);
                }
                News::Upserted(found) => {
                    if let Some(going) = &mut self.going {
                        going.keys.remove(&found.instance.key());
                    }
                    self.feed.tell(News::Upserted(found));
                }
                other => self.feed.tell(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Notify, mpsc};

    use super::*;
    use crate::{
        model::Scheme,
        sources::{SourceName, draft::Draft},
    };

    type Heard = mpsc::UnboundedReceiver<(SourceName, News)>;

    fn telling() -> (Telling, Heard) {
        let (sender, heard) = mpsc::unbounded_channel();
        let name = "test".parse().expect("a name");
        (Telling::new(Feed::new(name, sender, Arc::new(Notify::new()))), heard)
    }

    fn held(id: usize) -> Result<Vec<Found>, String> {
        let draft = Draft::new("s", Some(&format!("i{id}")));
        Ok(vec![draft.at(Scheme::Http, "h", 1).expect("an instance")])
    }

    /// What was told: `L3` a list of three, `+i1`, `-i1`.
    fn said(heard: &mut Heard) -> String {
        let mut all = Vec::new();
        while let Ok((_, news)) = heard.try_recv() {
            all.push(match news {
                News::List(list) => format!("L{}", list.len()),
                News::Upserted(found) => format!("+{}", found.instance.id),
                News::Removed(key) => format!("-{}", key.id),
                other => format!("{other:?}"),
            });
        }
        all.join(" ")
    }

    #[tokio::test(start_paused = true)]
    async fn few_that_go_together_are_told_one_by_one_and_many_as_a_list() {
        let (mut telling, mut heard) = telling();
        telling.list((0..20).map(|id| (id.to_string(), held(id))));
        let begun = Instant::now();
        telling.remove("1");
        telling.remove("2");
        // It was only on its way to another place.
        telling.put("1", held(1));
        assert_eq!(said(&mut heard), "L20 +i1");
        telling.departed().await;
        assert_eq!(begun.elapsed(), MOMENT);
        telling.tell_departures();
        assert_eq!(said(&mut heard), "-i2");

        let begun = Instant::now();
        for id in 3..15 {
            telling.remove(&id.to_string());
            tokio::time::advance(MOMENT / 2).await;
        }
        telling.departed().await;
        assert!(begun.elapsed() >= LONGEST, "{:?}", begun.elapsed());
        telling.tell_departures();
        telling.tell_departures();
        assert_eq!(said(&mut heard), "L7");
        // A list says who is there; nobody is told twice that others are not.
        telling.remove("0");
        telling.list([("19".to_owned(), held(19))]);
        telling.tell_departures();
        assert_eq!(said(&mut heard), "L1");
    }
}
