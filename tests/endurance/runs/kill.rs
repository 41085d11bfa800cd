//! Crashes: one of four instances is killed every two seconds, started anew at
//! its address and registered again.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Context, PROBED, four, once};
use crate::{
    fleet::Fleet,
    generator::{Generator, Mix},
    ledger::{self, Comparison},
    proxy::{PATIENCE, POLL, Proxy},
    report::Verdict,
    tally::{Failure, Kind, Tally},
};

/// From one kill to the next.
const CADENCE: Duration = Duration::from_secs(2);

/// For how long an instance that is out is seen to get nothing.
const WATCH: Duration = Duration::from_millis(300);

/// What the proxy may still have to learn of after a process is gone: the ends
/// of its connections.
const AFTERMATH: Duration = Duration::from_millis(100);

/// One kill.
#[derive(Debug)]
struct Kill {
    from: Instant,
    to: Instant,
    /// The instance.
    id: String,
}

pub(super) async fn run(context: &Context) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::new("kill");
    let proxy = Proxy::start(&context.program, PROBED).await?;
    let mut fleet = Fleet::new(&proxy.folder())?;
    let mut instances = four(&mut fleet, &proxy).await?;
    let load = Generator::start(proxy.address, context.rate(), Mix::All);
    let (begun, mut kills) = (Instant::now(), Vec::new());
    let (mut early, mut while_out, mut longest) = (0, 0, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(context.seconds(12, 60)) {
        let next = sleep(CADENCE);
        let mut victim = instances.remove(0);
        early += victim.stats().await?.early;
        let from = Instant::now();
        victim.kill().await?;
        sleep(AFTERMATH).await;
        kills.push(Kill { from, to: Instant::now(), id: victim.id.clone() });
        let out = Instant::now();
        while proxy.instance(&victim.id).await?["routable"] == true {
            anyhow::ensure!(out.elapsed() < PATIENCE, "it is not noticed that one is dead");
            sleep(POLL).await;
        }
        // A pick that was made by the table before may be under way.
        sleep(WATCH).await;
        let before = proxy.instance(&victim.id).await?;
        sleep(WATCH).await;
        let after = proxy.instance(&victim.id).await?;
        let requests = |view: &serde_json::Value| view["requests"].as_u64().unwrap_or_default();
        while_out += requests(&after) - requests(&before);
        let restarted = fleet.start_as(Some(&victim)).await?;
        restarted.register(&proxy, serde_json::json!({})).await?;
        longest = longest.max(out.elapsed());
        instances.push(restarted);
        next.await;
    }
    let tally = load.stop().await;
    for instance in &instances {
        early += instance.stats().await?.early;
    }
    let millis = longest.as_millis();
    verdict.figure(format!("{} kills, at most {millis} ms until it was back", kills.len()));
    judge(&proxy, &tally, &kills, &mut verdict).await;
    verdict.expect("requests to one that was out", while_out, 0);
    verdict.expect("requests to one that had passed no probe", early, 0);
    once(&fleet, &tally, &mut verdict)?;
    ledger::check(&proxy, &tally, Comparison::Whole, &mut verdict).await?;
    if !verdict.passed() {
        verdict.note(proxy.log());
    }
    proxy.stop().await?;
    Ok(verdict)
}

async fn judge(proxy: &Proxy, tally: &Tally, kills: &[Kill], verdict: &mut Verdict) {
    verdict.load(tally);
    let is_get = |failure: &Failure| matches!(failure.kind, Kind::Get | Kind::Stream);
    let without_head = tally.failed(|failure| is_get(failure) && !failure.head_was_forwarded());
    verdict.expect("GETs failed before the head of a response", without_head, 0);
    let cut = tally.failed(|failure| is_get(failure) && failure.head_was_forwarded());
    verdict.figure(format!("{cut} GETs and streams cut after it"));
    let websockets = tally.failed(|failure| failure.kind == Kind::WebSocket);
    verdict.figure(format!("{websockets} WebSockets cut"));
    let posts = tally.failed(|failure| failure.kind == Kind::Post);
    verdict.figure(format!("{posts} POSTs failed"));
    let mut astray = 0;
    for failure in &tally.failures {
        if !was_killed_with(failure, proxy, kills).await {
            astray += 1;
            verdict.note(format!("without a reason: {failure:?}"));
        }
    }
    verdict.expect("failed that were not in flight on the one that was killed", astray, 0);
}

/// Whether it failed since the instance that had it was killed.
async fn was_killed_with(failure: &Failure, proxy: &Proxy, kills: &[Kill]) -> bool {
    let mut kills = kills.iter().filter(|kill| failure.overlaps(kill.from, kill.to));
    let path = match failure.kind {
        Kind::Get => "get",
        Kind::Post => "post",
        Kind::Stream => "stream",
        // Its end is not logged: a tunnel may end at any time.
        Kind::WebSocket => return kills.next().is_some(),
    };
    let at = proxy.failed_at(&format!("/{path}/{}", failure.number)).await;
    kills.any(|kill| at.as_ref() == Some(&kill.id))
}
