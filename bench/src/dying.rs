//! What it costs that an origin dies every second and is back half a second
//! later: each target beside itself with origins that live.

use std::{
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    cpu,
    load::Clients,
    report::Spread,
    scenario::{self, Scenario},
    target::{Kind, Place, Target, free_address},
};

/// How long it is dead, and then alive.
const HALF: Duration = Duration::from_millis(500);

/// How long a slice takes: some deaths.
const LENGTH: Duration = Duration::from_secs(4);

/// What a slice came to.
struct Slice {
    /// Nanoseconds of processor time for each request.
    cost: f64,
    answered: u64,
    failed: u64,
    p99: f64,
}

/// Measures `program` and `peers`, `rounds` times each.
pub(crate) fn measure(
    program: &std::path::Path,
    peers: &[Kind],
    rounds: usize,
    place: &Place<'_>,
) -> anyhow::Result<()> {
    let mortal = free_address()?;
    let mut origin = alive(mortal)?;
    let origins = [&place.origins[..3], &[mortal]].concat();
    let place = Place { origins: &origins, ..*place };
    let mut targets = Vec::new();
    for kind in peers {
        targets.push(Target::start(*kind, kind.name(), None, &place)?);
    }
    targets.push(Target::start(Kind::Portolan, "portolan", Some(program), &place)?);
    let scenarios = scenario::all()?;
    let scenario = scenarios.first().context("no scenario")?;
    println!(
        "\n## {}, one of four origins dying every second: {rounds} rounds\n\n\
         | | CPU beside itself with all alive | failed of a million | p99 µs, all alive | p99 µs |\n\
         | --- | --- | --- | --- | --- |",
        scenario.name
    );
    for target in &targets {
        let (mut ratios, mut calm, mut dying) = (Vec::new(), Vec::new(), Vec::new());
        let (mut answered, mut failed) = (0, 0);
        for _ in 0..rounds {
            let whole = take(target, scenario)?;
            let ends = Arc::new(AtomicBool::new(false));
            let told = Arc::clone(&ends);
            let reaper = thread::spawn(move || reap(origin, mortal, &told));
            let broken = take(target, scenario);
            ends.store(true, Relaxed);
            origin = reaper.join().map_err(|_| anyhow::anyhow!("the reaper broke off"))??;
            let broken = broken?;
            ratios.push(broken.cost / whole.cost);
            calm.push(whole.p99);
            dying.push(broken.p99);
            answered += broken.answered;
            failed += broken.failed;
        }
        println!(
            "| {} | {:.2} | {:.0} | {:.0} | {:.0} |",
            target.label,
            Spread::of(ratios).median,
            failed as f64 * 1e6 / (answered + failed).max(1) as f64,
            Spread::of(calm).median,
            Spread::of(dying).median,
        );
    }
    origin.kill()?;
    origin.wait()?;
    Ok(())
}

fn take(target: &Target, scenario: &Scenario) -> anyhow::Result<Slice> {
    let address = target.address(scenario.way).context("it does not speak that")?;
    let mut clients = Clients::open(address, scenario.work.clone())?;
    clients.run(LENGTH / 8)?;
    let before = cpu::ran(target.pid());
    let outcome = clients.run(LENGTH)?;
    let ran = cpu::ran(target.pid()) - before;
    Ok(Slice {
        cost: ran.as_nanos() as f64 / outcome.answered.max(1) as f64,
        answered: outcome.answered,
        failed: outcome.failed,
        p99: outcome.percentile(0.99).into(),
    })
}

/// Kills `origin` and starts another one at its place until `ends`; gives the
/// last one, alive.
fn reap(mut origin: Child, address: SocketAddr, ends: &AtomicBool) -> anyhow::Result<Child> {
    while !ends.load(Relaxed) {
        origin.kill()?;
        origin.wait()?;
        thread::sleep(HALF);
        origin = alive(address)?;
        thread::sleep(HALF);
    }
    Ok(origin)
}

/// An origin of its own at `address`.
fn alive(address: SocketAddr) -> anyhow::Result<Child> {
    let origin = Command::new(std::env::current_exe()?)
        .arg("origin")
        .arg(address.to_string())
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start an origin")?;
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(10), "{address} does not listen");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(origin)
}
