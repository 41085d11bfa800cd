//! All instances break every connection: what they get on top of what clients
//! send is bounded by the budget for retries.

use std::time::Duration;

use tokio::time::sleep;

use super::{Context, PROBED, four};
use crate::{
    fleet::Fleet,
    generator::{Generator, Mix},
    ledger::{self, Comparison},
    proxy::Proxy,
    report::Verdict,
    tally::Cause,
};

/// The default budget: percent of the requests, …
const PERCENT: u64 = 20;

/// … and requests a second at least, …
const FLOOR: u64 = 10;

/// … over so many seconds.
const WINDOW: u64 = 10;

pub(super) async fn run(context: &Context) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::new("storm");
    let proxy = Proxy::start(&context.program, PROBED).await?;
    let mut fleet = Fleet::new(&proxy.folder())?;
    fleet.tell(&["--failing"]);
    let instances = four(&mut fleet, &proxy).await?;
    let load = Generator::start(proxy.address, context.rate(), Mix::Gets);
    let seconds = context.seconds(6, 60);
    sleep(Duration::from_secs(seconds)).await;
    let tally = load.stop().await;
    let mut got = 0;
    for instance in &instances {
        got += instance.stats().await?.requests;
    }
    let sent = tally.sent();
    let times = got as f64 / sent.max(1) as f64;
    verdict.figure(format!("{sent} sent ({} a second), {times:.2} times that", tally.rate()));
    // A floor and percents do not add up in every second; together they bound.
    let most = sent + sent * PERCENT / 100 + FLOOR * (seconds + WINDOW);
    verdict.at_most("requests at the instances", got, most);
    let answered = tally.failed(|failure| matches!(failure.cause, Cause::Refused(_, _)));
    verdict.hold("each was answered by the proxy", answered == sent && sent > 0);
    for line in tally.failures_in_words() {
        verdict.note(line);
    }
    ledger::check(&proxy, &tally, Comparison::Whole, &mut verdict).await?;
    if !verdict.passed() {
        verdict.note(proxy.log());
    }
    proxy.stop().await?;
    Ok(verdict)
}
