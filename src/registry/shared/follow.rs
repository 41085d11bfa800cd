//! Keeps the mirror what etcd holds: from a list to a watch to the next list.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Inner, away};
use crate::{
    etcd::{
        Error, Heard,
        messages::{
            Compare, CompareResult, Compared, Event, Operation, PutRequest, RangeRequest,
            TxnRequest,
        },
    },
    registry::{RegistryError, StoreFault},
};

use super::schema::FORM;

/// All keys are read again after 4 to 6 minutes, each time another: a server
/// has lost an event before.
const RELIST: Duration = Duration::from_secs(240);

/// How long it is waited between attempts: soon at first, since an election
/// takes about a second.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_millis(500);

/// How long the other proxies being told may take.
const ANNOUNCEMENT: Duration = Duration::from_secs(2);

/// Follows for ever.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut pause = SOON;
    loop {
        let begun = Instant::now();
        let error = match follow(&inner).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        inner.lost(error);
        if begun.elapsed() > LATER {
            pause = SOON;
        }
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(LATER);
    }
}

async fn follow(inner: &Inner) -> Result<Infallible, StoreFault> {
    let mut listed = begin(inner).await?;
    let prefix = inner.keys.prefix();
    let mut watch = inner.client.watch(prefix, listed + 1).await.map_err(|error| away(&error))?;
    inner.found();
    let mut relist = next_list();
    loop {
        let heard = tokio::select! {
            heard = watch.next() => heard,
            () = inner.doubt.notified() => {
                watch.doubt();
                continue;
            }
            () = inner.lagging.notified() => {
                watch.ask_progress();
                continue;
            }
            () = sleep_until(relist) => {
                listed = list(inner).await?;
                relist = next_list();
                continue;
            }
        };
        match heard {
            // No more than that: some servers say it before what it is about
            // (etcd#15220).
            Ok(Heard::Progress(revision)) => inner.progress().confirm(revision),
            Ok(Heard::Events(events)) => {
                // What is older than the list is in it.
                let at = |event: &Event| event.kv.as_ref().map_or(0, |entry| entry.mod_revision);
                let new: Vec<_> = events.iter().filter(|event| at(event) > listed).collect();
                inner.change(|mirror, out| {
                    for event in &new {
                        mirror.hear(event, Instant::now(), out);
                    }
                });
                inner.meet(|fleet| new.iter().for_each(|event| fleet.hear(event, Instant::now())));
                inner.stock(|shelf| new.iter().filter(|event| shelf.hear(event)).count() > 0);
                inner.advance(new.iter().map(|event| at(event)).max().unwrap_or(listed));
            }
            Err(error) => {
                if error.is_of_member() {
                    // At once: leaving waits for who is connecting meanwhile.
                    inner.lost(away(&error));
                    inner.client.leave_member_of(&watch).await;
                }
                return Err(away(&error));
            }
        }
    }
}

/// Makes this proxy known to the others, and only then reads what it will route
/// by. Answers as of which revision.
pub(super) async fn begin(inner: &Inner) -> Result<i64, StoreFault> {
    let announced = async {
        // Before anything is put: that would count its revision up.
        let request = RangeRequest { key: inner.keys.schema(), ..RangeRequest::default() };
        let there = inner.brisk.range(request).await.map_err(|error| away(&error))?;
        believe(inner, there.header.map_or(0, |header| header.revision)).await?;
        inner.announce().await.map_err(|error| away(&error))
    };
    match timeout(ANNOUNCEMENT, announced).await {
        Ok(announced) => announced?,
        Err(_) => {
            let text = format!("it has not answered within {ANNOUNCEMENT:?}");
            return Err(StoreFault::Away { text });
        }
    }
    list(inner).await
}

/// Reads all keys. Answers as of which revision.
async fn list(inner: &Inner) -> Result<i64, StoreFault> {
    let mut listing = inner.client.list(inner.keys.prefix()).await.map_err(|error| away(&error))?;
    believe(inner, listing.revision).await?;
    let schema = inner.keys.schema();
    match listing.entries.iter().find(|entry| entry.key == schema) {
        Some(entry) if entry.value != FORM.to_string() => {
            let text = String::from_utf8_lossy(&entry.value).into_owned();
            return Err(StoreFault::Foreign { text: format!("it has form {text:?}") });
        }
        Some(_) => {}
        None if inner.accepts(&listing) => {
            mark(inner).await.map_err(|error| away(&error))?;
            listing = inner.client.list(inner.keys.prefix()).await.map_err(|error| away(&error))?;
        }
        None => {
            let text = "it holds nothing of what was registered".to_owned();
            return Err(StoreFault::Foreign { text });
        }
    }
    let (outage, restored) = inner.is_behind();
    inner.change(|mirror, out| mirror.list(&listing, outage, restored, Instant::now(), out));
    inner.meet(|fleet| fleet.list(&listing, Instant::now()));
    inner.stock(|shelf| shelf.list(&listing));
    inner.advance(listing.revision);
    Ok(listing.revision)
}

/// An error if what stands at `revision` is older than what was heard.
async fn believe(inner: &Inner, revision: i64) -> Result<(), StoreFault> {
    let heard = inner.progress().confirmed();
    if revision >= heard {
        return Ok(());
    }
    // One member may have lost what the others have.
    inner.client.leave_member().await;
    let text = format!("it is at revision {revision}, and revision {heard} was heard before");
    Err(StoreFault::Foreign { text })
}

/// Says that there is a registry.
async fn mark(inner: &Inner) -> Result<(), Error> {
    let key = inner.keys.schema();
    let put =
        PutRequest { key: key.clone(), value: FORM.to_string().into(), ..PutRequest::default() };
    let request = TxnRequest {
        compare: vec![Compare::new(key, CompareResult::Equal, Compared::Create(0))],
        success: vec![Operation::Put(put).into()],
        failure: Vec::new(),
    };
    inner.client.txn(request).await.map(drop)
}

fn next_list() -> Instant {
    Instant::now() + RELIST.mul_f64(1.0 + fastrand::f64() / 2.0)
}

impl From<StoreFault> for RegistryError {
    fn from(reason: StoreFault) -> Self {
        Self::StoreFailed { reason }
    }
}
