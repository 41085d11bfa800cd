//! Passes on to etcd what heartbeats have said: leases that go on, several in
//! one call and each at most three times a TTL, and what etcd has lost and a
//! heartbeat has come for. What was accepted without etcd goes the same way.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Inner,
    entry::{Due, Entry},
    operations,
    writing::lease_seconds,
};
use crate::{etcd::Error, model::InstanceKey};

const TICK: Duration = Duration::from_millis(200);

/// Leases of one call, and writes at a time.
const RENEWED_AT_ONCE: usize = 500;
const WRITTEN_AT_ONCE: usize = 16;

/// Runs for ever.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if !inner.is_connected() {
            continue;
        }
        let now = Instant::now();
        // Before what is due, which may be newer and never older.
        let heard = *inner.heard.borrow();
        let mut due = Vec::new();
        inner.change(|mirror, out| due = mirror.due(now, out));
        let (mut renewals, mut writes) = (Vec::new(), Vec::new());
        for due in due {
            match due {
                Due::Renew { key, lease } => renewals.push((key, lease)),
                Due::Write(entry) => writes.push((entry, Told::Heartbeat)),
                Due::Replay(entry) => writes.push((entry, Told::Registration)),
            }
        }
        // What fails is due again.
        let written = stream::iter(writes).map(|(entry, told)| write(&inner, entry, heard, told));
        let written = written.buffer_unordered(WRITTEN_AT_ONCE).for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "etcd was not told of a heartbeat");
            }
        });
        let renewed = async {
            for some in renewals.chunks(RENEWED_AT_ONCE) {
                if let Err(error) = renew(&inner, some, now).await {
                    tracing::debug!(%error, "leases were not renewed");
                    inner.doubts(&error);
                }
            }
        };
        tokio::join!(written, renewed);
        let mut is_unsaved = false;
        inner.change(|mirror, _| is_unsaved = mirror.is_unsaved());
        if is_unsaved {
            inner.forget_told().await;
            // Somebody may wait for it that was given up.
            inner.heard.send_modify(|_| {});
        }
    }
}

/// Why an entry is written.
#[derive(Clone, Copy)]
enum Told {
    Heartbeat,
    Registration,
}

async fn renew(inner: &Inner, some: &[(InstanceKey, i64)], now: Instant) -> Result<(), Error> {
    let ids: Vec<_> = some.iter().map(|(_, lease)| *lease).collect();
    let ttls = inner.renewing.keep_alive(&ids).await?;
    inner.change(|mirror, _| {
        for ((key, lease), ttl) in some.iter().zip(ttls) {
            // A lease that is over says so by the deletion of its key.
            if ttl > 0 {
                mirror.passed(key, *lease, now);
            }
        }
    });
    Ok(())
}

/// Tells of one entry. If it has changed meanwhile, nothing happens.
async fn write(inner: &Inner, entry: Box<Entry>, heard: i64, told: Told) -> Result<(), Error> {
    let ttl = entry.registration.instance.ttl.map(Duration::from);
    let (lease, is_fresh) = match (entry.lease, ttl) {
        (0, Some(ttl)) => (inner.brisk.grant(lease_seconds(ttl)).await?.id, true),
        (lease, _) => (lease, false),
    };
    let transaction = match told {
        Told::Heartbeat => operations::rewrite(&inner.keys, &entry, heard, lease),
        Told::Registration => operations::replay(&inner.keys, &entry, heard, lease),
    };
    match transaction {
        Ok(transaction) => {
            let answer = inner.brisk.txn(transaction).await?;
            // It is due again, with another one: they would pile up.
            if is_fresh && !answer.succeeded {
                inner.brisk.revoke(lease).await?;
            }
            Ok(())
        }
        Err(error) => {
            tracing::error!(%error, "a registration cannot be written as JSON");
            Ok(())
        }
    }
}
