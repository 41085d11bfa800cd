//! Instances from DNS: the addresses of a name, or its SRV records.
//!
//! Only an answer counts. That a name does not exist is one, and means that
//! there are no instances; that the server fails, or is silent, says nothing.
//! Each name is asked for again when its records have lived their time.

mod lookup;
mod settings;

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

pub use settings::{DnsQuestion, DnsSettings, ParseDnsQuestionError};

use self::lookup::{Answer, Resolver};
use super::{Backoff, Feed, Found, News};
use crate::model::{InstanceKey, ServiceName};

/// Records that live for less are kept for this long all the same.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is known of one name.
#[derive(Debug, Default)]
struct Known {
    /// The last answer; none before the first.
    found: Option<Vec<Found>>,
    /// When it is asked for again.
    due: Option<Instant>,
    backoff: Backoff,
    /// Why the last attempt brought no answer, if it did not.
    failure: Option<String>,
}

type All = BTreeMap<InstanceKey, Found>;

/// Tells what the names stand for, and when that changes.
pub async fn run(settings: DnsSettings, feed: Feed) {
    let mut backoff = Backoff::default();
    let mut resolver = loop {
        match Resolver::new(&settings) {
            Ok(resolver) => break resolver,
            Err(error) => {
                feed.tell(News::Lost(format!("no server to ask: {error}")));
                sleep(backoff.failed()).await;
            }
        }
    };
    let names = settings.services.keys().map(|service| (service.clone(), Known::default()));
    let mut names: BTreeMap<ServiceName, Known> = names.collect();
    let mut told = All::new();
    let mut is_wanted = true;
    loop {
        let now = Instant::now();
        let due = names
            .iter_mut()
            .filter(|(_, known)| is_wanted || known.due.is_none_or(|due| due <= now));
        let asked = due.map(|(service, known)| ask(&settings, &resolver, service, known));
        futures_util::future::join_all(asked).await;
        let found = names.values().filter_map(|known| known.found.as_ref()).flatten();
        let all: All = found.map(|found| (found.instance.key(), found.clone())).collect();
        tell(&names, &all, &told, is_wanted, &feed);
        told = all;
        // The servers of the system may be others by now.
        if names.values().any(|known| known.failure.is_some())
            && settings.servers.is_empty()
            && let Ok(new) = Resolver::new(&settings)
        {
            resolver = new;
        }
        let next = names.values().filter_map(|known| known.due).min();
        let next = next.unwrap_or_else(|| Instant::now() + settings.interval.0);
        is_wanted = tokio::select! {
            () = sleep_until(next) => false,
            () = feed.list_wanted() => true,
        };
    }
}

async fn ask(
    settings: &DnsSettings,
    resolver: &Resolver,
    service: &ServiceName,
    known: &mut Known,
) {
    let Some(question) = settings.services.get(service) else { return };
    let now = Instant::now();
    match resolver.ask(service, question).await {
        Ok(Answer { found, ttl }) => {
            let ttl = ttl.max(SHORTEST).min(settings.interval.0);
            (known.found, known.failure, known.due) = (Some(found), None, Some(now + ttl));
        }
        Err(error) => {
            known.failure = Some(format!("{question}: {error}"));
            known.due = Some(now + known.backoff.failed().max(SHORTEST));
        }
    }
}

/// Tells what has changed. As a list once each name was answered: of one that
/// is not now, the last answer stands in it. Before that, one by one.
fn tell(names: &BTreeMap<ServiceName, Known>, all: &All, told: &All, is_wanted: bool, feed: &Feed) {
    let failures: Vec<_> = names.values().filter_map(|known| known.failure.as_deref()).collect();
    let is_news = is_wanted || all != told;
    if names.values().all(|known| known.found.is_some()) {
        if is_news {
            feed.tell(News::List(all.values().cloned().collect()));
        } else if failures.is_empty() {
            feed.tell(News::Unchanged);
        }
    } else {
        for (key, found) in all {
            if told.get(key) != Some(found) {
                feed.tell(News::Upserted(Box::new(found.clone())));
            }
        }
        for key in told.keys().filter(|key| !all.contains_key(key)) {
            feed.tell(News::Removed(key.clone()));
        }
    }
    if !failures.is_empty() {
        feed.tell(News::Lost(failures.join("; ")));
    }
}

#[cfg(test)]
mod tests;
