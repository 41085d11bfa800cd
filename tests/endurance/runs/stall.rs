//! The proxy stands still for longer than the leases last, and goes on: no
//! instance may be taken for dead because nobody heard its heartbeats.

use std::{sync::Arc, time::Duration};

use rustix::process::Signal;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Context, PROBED};
use crate::{
    fleet::{Fleet, Instance},
    generator::{Generator, Mix},
    ledger::{self, Comparison},
    proxy::Proxy,
    report::Verdict,
};

/// How long a lease lasts: the proxy stands still for longer.
const TTL: Duration = Duration::from_secs(3);

/// How many instances there are: half of them are alive by heartbeats alone.
const INSTANCES: usize = 8;

/// What is sent meanwhile: all of it waits for the proxy.
const RATE: u64 = 20;

pub(super) async fn run(context: &Context) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::new("stall");
    let proxy = Arc::new(Proxy::start(&context.program, PROBED).await?);
    let mut fleet = Fleet::new(&proxy.folder())?;
    let over = CancellationToken::new();
    let (mut instances, mut hearts) = (Vec::new(), Vec::new());
    for nth in 0..INSTANCES {
        let instance = Arc::new(fleet.start().await?);
        hearts.push(tokio::spawn(beat(Arc::clone(&instance), Arc::clone(&proxy), over.clone())));
        let ttl = format!("{}s", TTL.as_secs());
        let more = match nth % 2 {
            0 => serde_json::json!({ "ttl": ttl }),
            _ => serde_json::json!({ "ttl": ttl, "health": { "kind": "ttl" } }),
        };
        instance.register(&proxy, more).await?;
        instances.push(instance);
    }
    let load = Generator::start(proxy.address, RATE, Mix::Gets);
    sleep(TTL).await;
    let seconds = context.seconds(5, 60);
    proxy.signal(Signal::STOP)?;
    sleep(Duration::from_secs(seconds)).await;
    proxy.signal(Signal::CONT)?;
    // What would be taken out wrongly would be by then.
    sleep(2 * TTL).await;
    let tally = load.stop().await;
    let mut routable = 0;
    for instance in &instances {
        let view = proxy.instance(&instance.id).await?;
        routable += u64::from(view["routable"] == true);
    }
    let events = proxy.events().await?;
    over.cancel();
    for heart in hearts {
        heart.await?;
    }
    verdict.figure(format!("{seconds} s, leases of {} s", TTL.as_secs()));
    verdict.expect("instances routed to", routable, INSTANCES as u64);
    let count = |kind: &str| events.iter().filter(|event| event.0 == kind).count() as u64;
    verdict.expect("leases expired", count("lease_expired"), 0);
    verdict.hold("there are events", count("registered") >= INSTANCES as u64);
    verdict.load(&tally);
    ledger::check(&proxy, &tally, Comparison::Whole, &mut verdict).await?;
    if !verdict.passed() {
        verdict.note(format!("{events:?}"));
        verdict.note(proxy.log());
    }
    let proxy = Arc::into_inner(proxy);
    proxy.expect("the hearts have stopped").stop().await?;
    Ok(verdict)
}

/// Renews the lease of `instance` at a third of its length, as it would itself.
async fn beat(instance: Arc<Instance>, proxy: Arc<Proxy>, over: CancellationToken) {
    while over.run_until_cancelled(sleep(TTL / 3)).await.is_some() {
        // One that comes to nothing is followed by the next.
        let beat = tokio::time::timeout(TTL / 3, instance.heartbeat(&proxy));
        over.run_until_cancelled(beat).await;
    }
}
