//! From a list to a watch to the next list.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{EtcdSettings, layout};
use crate::{
    etcd::{
        Client, Error, Heard,
        messages::{Event, EventType, KeyValue},
    },
    sources::{Feed, Found, News, entry::Telling},
};

/// All keys are read again after 4 to 6 minutes, each time another.
const RELIST: Duration = Duration::from_secs(240);

/// Reads the keys of one source and keeps what they hold.
pub(super) struct Follower {
    settings: EtcdSettings,
    client: Client,
    telling: Telling,
}

impl Follower {
    pub(super) fn new(settings: EtcdSettings, client: Client, feed: Feed) -> Self {
        Self { settings, client, telling: Telling::new(feed) }
    }

    /// Lists and watches until something is in the way.
    pub(super) async fn follow(&mut self) -> Error {
        let Err(error) = self.try_follow().await;
        self.telling.tell_departures();
        error
    }

    async fn try_follow(&mut self) -> Result<std::convert::Infallible, Error> {
        let mut listed = self.list().await?;
        let prefix = self.settings.prefix().to_owned();
        let mut watch = self.client.watch(prefix.as_bytes(), listed + 1).await?;
        let mut relist = next_list();
        loop {
            let heard = tokio::select! {
                heard = watch.next() => heard,
                () = sleep_until(relist) => {
                    listed = self.list().await?;
                    relist = next_list();
                    continue;
                }
                () = self.telling.feed().list_wanted() => {
                    listed = self.list().await?;
                    relist = next_list();
                    continue;
                }
                () = self.telling.departed() => {
                    self.telling.tell_departures();
                    continue;
                }
            };
            match heard {
                // Not told at each: only that it was heard.
                Ok(Heard::Progress(_)) => self.telling.feed().tell(News::Unchanged),
                Ok(Heard::Events(events)) => {
                    for event in &events {
                        self.happened(event, listed);
                    }
                }
                Err(error) => {
                    if error.is_of_member() {
                        self.client.leave_member_of(&watch).await;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Reads all keys and tells what they hold. Answers as of which revision.
    async fn list(&mut self) -> Result<i64, Error> {
        let listing = self.client.list(self.settings.prefix().as_bytes()).await?;
        let settings = &self.settings;
        let entries = listing.entries.iter().map(|entry| {
            let key = String::from_utf8_lossy(&entry.key).into_owned();
            let held = read(settings, entry);
            (key, held)
        });
        self.telling.list(entries);
        Ok(listing.revision)
    }

    /// Tells what an event changes, unless it is older than the list.
    fn happened(&mut self, event: &Event, listed: i64) {
        let Some(entry) = event.kv.as_ref().filter(|entry| entry.mod_revision > listed) else {
            return;
        };
        let key = String::from_utf8_lossy(&entry.key);
        match event.r#type == i32::from(EventType::Delete) {
            true => self.telling.remove(&key),
            false => self.telling.put(&key, read(&self.settings, entry)),
        }
    }
}

fn read(settings: &EtcdSettings, entry: &KeyValue) -> Result<Vec<Found>, String> {
    let key = std::str::from_utf8(&entry.key).map_err(|_| "its key is no text".to_owned())?;
    let key = key.strip_prefix(settings.prefix()).unwrap_or(key);
    layout::read(settings, key, &entry.value)
}

fn next_list() -> Instant {
    Instant::now() + RELIST.mul_f64(1.0 + fastrand::f64() / 2.0)
}
