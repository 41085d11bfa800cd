//! Deploys: each of four instances is replaced, again and again. A new one is
//! started and routed to, an old one leaves and is killed as soon as it is
//! said to be safe to exit.

use anyhow::Context as _;

use super::{Context, PROBED, flawless, four};
use crate::{
    fleet::{Fleet, Instance},
    generator::{Generator, Mix},
    ledger::{self, Comparison},
    proxy::Proxy,
    report::Verdict,
};

/// Who registers the instances and has them drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// This run, by the calls that a service would make.
    Handshake,
    /// `portolan exec`, which gets SIGTERM.
    Exec,
}

/// Starts another instance and lets the oldest one go.
async fn replace(
    instances: &mut Vec<Instance>,
    by: By,
    fleet: &mut Fleet,
    proxy: &Proxy,
    context: &Context,
) -> anyhow::Result<()> {
    let old = instances.remove(0);
    match by {
        By::Handshake => {
            let new = fleet.start().await?;
            new.register(proxy, serde_json::json!({})).await?;
            old.leave(proxy).await?;
            instances.push(new);
        }
        By::Exec => {
            let new = fleet.exec(&context.program, proxy).await?;
            old.terminate().await?;
            instances.push(new);
        }
    }
    Ok(())
}

pub(super) async fn run(context: &Context, by: By) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::new(if by == By::Exec { "rolling-exec" } else { "rolling" });
    let proxy = Proxy::start(&context.program, PROBED).await?;
    let mut fleet = Fleet::new(&proxy.folder())?;
    let mut instances = match by {
        By::Handshake => four(&mut fleet, &proxy).await?,
        By::Exec => {
            let mut instances = Vec::new();
            for _ in 0..4 {
                instances.push(fleet.exec(&context.program, &proxy).await?);
            }
            instances
        }
    };
    let load = Generator::start(proxy.address, context.rate(), Mix::All);
    let rounds = context.arguments.rounds.unwrap_or_else(|| context.arguments.length(5, 100));
    for _ in 0..rounds * 4 {
        let replaced = replace(&mut instances, by, &mut fleet, &proxy, context).await;
        replaced.with_context(|| proxy.log())?;
    }
    let tally = load.stop().await;
    verdict.figure(format!("{rounds} rolling replacements of 4 instances"));
    flawless(&fleet, &tally, &mut verdict)?;
    for instance in &instances {
        verdict.hold("every one still there was used", instance.stats().await?.requests > 0);
    }
    ledger::check(&proxy, &tally, Comparison::Whole, &mut verdict).await?;
    if !verdict.passed() {
        verdict.note(proxy.log());
    }
    proxy.stop().await?;
    Ok(verdict)
}
