//! Upgrades: the process of the proxy is replaced by a new one under load.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::time::sleep;

use super::{Context, PROBED, flawless, four};
use crate::{
    fleet::Fleet,
    generator::{Generator, Mix},
    ledger::{self, Comparison},
    proxy::{PATIENCE, POLL, Proxy},
    report::Verdict,
    tally::Cause,
};

/// From one upgrade to the next.
const CADENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(context: &Context) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::new("upgrade");
    let mut proxy = Proxy::start(&context.program, PROBED).await?;
    let mut fleet = Fleet::new(&proxy.folder())?;
    let instances = four(&mut fleet, &proxy).await?;
    let load = Generator::start(proxy.address, context.rate(), Mix::All);
    let upgrades = context.seconds(10, 60) / CADENCE.as_secs();
    for _ in 0..upgrades {
        let next = sleep(CADENCE);
        let before = proxy.pid().context("it does not run")?;
        proxy.signal(Signal::USR2)?;
        let begun = Instant::now();
        let pid = loop {
            // In between nobody may answer who knows.
            let pid = proxy.status().await.ok().and_then(|status| status["pid"].as_u64());
            match pid.and_then(|pid| u32::try_from(pid).ok()) {
                Some(pid) if pid != before => break pid,
                _ if begun.elapsed() > PATIENCE => {
                    anyhow::bail!("no process took over:\n{}", proxy.log())
                }
                _ => sleep(POLL).await,
            }
        };
        proxy.took_over(pid);
        next.await;
    }
    let tally = load.stop().await;
    let begun = Instant::now();
    while proxy.processes() > 1 && begun.elapsed() < PATIENCE {
        sleep(POLL).await;
    }
    verdict.figure(format!("{upgrades} upgrades"));
    let refused = tally.failed(|failure| matches!(failure.cause, Cause::Connect(_)));
    verdict.expect("connections refused", refused, 0);
    flawless(&fleet, &tally, &mut verdict)?;
    verdict.expect("processes left", proxy.processes() as u64, 1);
    for instance in &instances {
        let routable = proxy.instance(&instance.id).await?["routable"] == true;
        verdict.hold(format!("{} is routed to", instance.id), routable);
    }
    ledger::check(&proxy, &tally, Comparison::Parts, &mut verdict).await?;
    if !verdict.passed() {
        verdict.note(proxy.log());
    }
    proxy.stop().await?;
    Ok(verdict)
}
