//! Keeps the mirror what etcd holds: from a list to a watch to the next list.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{Inner, away};
use crate::{
    etcd::{
        Error, Heard,
        messages::{Compare, CompareResult, Compared, Operation, PutRequest, TxnRequest},
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
const LATER: Duration = Duration::from_secs(2);

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
    let mut listed = list(inner).await?;
    let prefix = inner.keys.prefix();
    let mut watch = inner.client.watch(prefix, listed + 1).await.map_err(|error| away(&error))?;
    inner.found();
    let mut relist = next_list();
    loop {
        let heard = tokio::select! {
            heard = watch.next() => heard,
            () = sleep_until(relist) => {
                listed = list(inner).await?;
                relist = next_list();
                continue;
            }
        };
        match heard {
            Ok(Heard::Progress(revision)) => inner.advance(revision),
            Ok(Heard::Events(events)) => {
                // What is older than the list is in it.
                let new = events.iter().filter(|event| {
                    event.kv.as_ref().is_some_and(|entry| entry.mod_revision > listed)
                });
                let mut revision = listed;
                inner.change(|mirror, out| {
                    for event in new {
                        mirror.hear(event, Instant::now(), out);
                        let at = event.kv.as_ref().map_or(0, |entry| entry.mod_revision);
                        revision = revision.max(at);
                    }
                });
                inner.advance(revision);
            }
            Err(error) => {
                if error.is_of_member() {
                    inner.client.leave_member_of(&watch).await;
                }
                return Err(away(&error));
            }
        }
    }
}

/// Reads all keys. Answers as of which revision.
pub(super) async fn list(inner: &Inner) -> Result<i64, StoreFault> {
    let mut listing = inner.client.list(inner.keys.prefix()).await.map_err(|error| away(&error))?;
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
    inner.advance(listing.revision);
    Ok(listing.revision)
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
