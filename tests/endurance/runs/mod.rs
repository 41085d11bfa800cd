//! The runs: one file for each, and what they have in common.

mod kill;
mod rolling;
mod slow;
mod stall;
mod storm;
mod upgrade;

use std::{path::PathBuf, pin::Pin, process::Command};

use crate::{
    arguments::Arguments,
    fleet::{Fleet, Instance},
    proxy::Proxy,
    report::Verdict,
    tally::{Kind, Tally},
};

/// The health checks of an instance that is to be found out soon.
const PROBED: &str = "health = { path = '/healthz', interval = '250ms', timeout = '5s' }";

/// What a run has to work with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) arguments: Arguments,
    /// The program to test.
    pub(crate) program: PathBuf,
}

impl Context {
    /// Exchanges a second: what was asked for, or what a debug build of proxy
    /// and generator holds on two cores beside other work.
    fn rate(&self) -> u64 {
        self.arguments.rate.unwrap_or_else(|| self.arguments.length(1000, 2000))
    }

    /// Seconds: what was asked for, or the length of this run.
    fn seconds(&self, short: u64, full: u64) -> u64 {
        self.arguments.seconds.unwrap_or_else(|| self.arguments.length(short, full))
    }

    /// The version of the program to test.
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        let said = Command::new(&self.program).arg("--version").output()?.stdout;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }
}

type Performed<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Verdict>> + 'a>>;

/// A run that can be chosen.
pub(crate) struct Run {
    pub(crate) name: &'static str,
    /// What it holds the proxy to.
    pub(crate) promise: &'static str,
    pub(crate) perform: fn(&Context) -> Performed<'_>,
}

/// All of them, in the order in which they are done.
pub(crate) const RUNS: &[Run] = &[
    Run {
        name: "rolling",
        promise: "instances are replaced one after the other, and nobody notices",
        perform: |context| Box::pin(rolling::run(context, rolling::By::Handshake)),
    },
    Run {
        name: "rolling-exec",
        promise: "the same with servers that know nothing, inside portolan exec",
        perform: |context| Box::pin(rolling::run(context, rolling::By::Exec)),
    },
    Run {
        name: "kill",
        promise: "an instance that is killed costs no GET, and no POST is processed twice",
        perform: |context| Box::pin(kill::run(context)),
    },
    Run {
        name: "upgrade",
        promise: "the program is replaced, and nobody notices",
        perform: |context| Box::pin(upgrade::run(context)),
    },
    Run {
        name: "slow",
        promise: "an instance that is slow is found out and taken out",
        perform: |context| Box::pin(slow::run(context)),
    },
    Run {
        name: "storm",
        promise: "instances that fail are not burdened with retries",
        perform: |context| Box::pin(storm::run(context)),
    },
    Run {
        name: "stall",
        promise: "a proxy that stood still does not take its instances for dead",
        perform: |context| Box::pin(stall::run(context)),
    },
];

/// Four instances that are routed to.
async fn four(fleet: &mut Fleet, proxy: &Proxy) -> anyhow::Result<Vec<Instance>> {
    let mut instances = Vec::new();
    for _ in 0..4 {
        let instance = fleet.start().await?;
        instance.register(proxy, serde_json::json!({})).await?;
        instances.push(instance);
    }
    Ok(instances)
}

/// Nothing failed and nothing broke off, and each POST was processed once.
fn flawless(fleet: &Fleet, tally: &Tally, verdict: &mut Verdict) -> anyhow::Result<()> {
    verdict.load(tally);
    verdict.expect("failed", tally.failures.len() as u64, 0);
    verdict.expect("cut", tally.cut(), 0);
    once(fleet, tally, verdict)
}

/// No POST was processed twice, and none that went well was not.
fn once(fleet: &Fleet, tally: &Tally, verdict: &mut Verdict) -> anyhow::Result<()> {
    let processed = fleet.processed()?;
    let twice = processed.values().filter(|count| **count > 1).count();
    verdict.expect("POSTs processed twice", twice as u64, 0);
    let ok = tally.ok.get(&Kind::Post).copied().unwrap_or_default();
    let failed = tally.failures.iter().filter(|failure| failure.kind == Kind::Post);
    let of_failed = failed.filter(|failure| processed.contains_key(&failure.number)).count();
    let answered = (processed.len() - of_failed) as u64;
    verdict.hold(format!("{ok} POSTs went well, {answered} were processed"), ok == answered);
    Ok(())
}
