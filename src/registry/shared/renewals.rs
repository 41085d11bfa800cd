//! Passes on to etcd what heartbeats have said: leases that go on, several in
//! one call and each at most three times a TTL, and what etcd has lost and a
//! heartbeat has come for.

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
        let mut due = Vec::new();
        inner.change(|mirror, out| due = mirror.due(now, out));
        let (mut renewals, mut writes) = (Vec::new(), Vec::new());
        for due in due {
            match due {
                Due::Renew { key, lease } => renewals.push((key, lease)),
                Due::Write(entry) => writes.push(entry),
            }
        }
        // What fails is due again.
        let written = stream::iter(writes).map(|entry| write(&inner, entry));
        let written = written.buffer_unordered(WRITTEN_AT_ONCE).for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "etcd was not told of a heartbeat");
            }
        });
        let renewed = async {
            for some in renewals.chunks(RENEWED_AT_ONCE) {
                if let Err(error) = renew(&inner, some, now).await {
                    tracing::debug!(%error, "leases were not renewed");
                }
            }
        };
        tokio::join!(written, renewed);
    }
}

async fn renew(inner: &Inner, some: &[(InstanceKey, i64)], now: Instant) -> Result<(), Error> {
    let ids: Vec<_> = some.iter().map(|(_, lease)| *lease).collect();
    let ttls = inner.client.keep_alive(&ids).await?;
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
async fn write(inner: &Inner, entry: Box<Entry>) -> Result<(), Error> {
    let ttl = entry.registration.instance.ttl.map(Duration::from);
    let lease = match (entry.lease, ttl) {
        (0, Some(ttl)) => inner.client.grant(lease_seconds(ttl)).await?.id,
        (lease, _) => lease,
    };
    match operations::rewrite(&inner.keys, &entry, lease) {
        Ok(transaction) => inner.client.txn(transaction).await.map(drop),
        Err(error) => {
            tracing::error!(%error, "a registration cannot be written as JSON");
            Ok(())
        }
    }
}
