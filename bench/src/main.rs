//! Portolan beside other proxies, on the same work, in one run.
//!
//! Every target runs on one core, load and origins on another. Targets take
//! turns in short slices; the first of a round rotates. What counts is the
//! processor time of a target's processes for each request, as a ratio to the
//! baseline in the same round: the machine drifts, the ratio does not. A
//! second baseline shows how far two equals seem apart.

mod cpu;
mod load;
mod message;
mod origin;
mod poll;
mod relay;
mod report;
mod scenario;
mod target;

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use clap::Parser;

use cpu::Busy;
use load::Clients;
use report::Slice;
use target::{Kind, Target, free_address};

const TARGET_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// What of the machine others may take, in cores, before a round is thrown
/// away.
const FOREIGN: f64 = 0.15;

#[derive(Debug, Parser)]
enum Cli {
    /// Measure the targets side by side
    Run(Run),
    /// Serve as the origins (started by run)
    Origin { addresses: Vec<SocketAddr> },
    /// Serve as the byte relay (started by run)
    Relay { address: SocketAddr, origins: Vec<SocketAddr> },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The program to measure; give several to compare them
    #[arg(long)]
    portolan: Vec<PathBuf>,
    /// The targets beside it
    #[arg(long, value_delimiter = ',', default_value = "relay,nginx,haproxy")]
    peers: Vec<Kind>,
    /// Scenarios whose name contains one of these; all if none is given
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each scenario
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Milliseconds of a slice
    #[arg(long, default_value_t = 600)]
    slice: u64,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse() {
        Cli::Run(run) => measure(&run),
        Cli::Origin { addresses } => Ok(origin::serve(&addresses)?),
        Cli::Relay { address, origins } => Ok(relay::serve(address, &origins)?),
    }
}

fn measure(run: &Run) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("portolan-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let origins: Vec<SocketAddr> = (0..4).map(|_| free_address()).collect::<Result<_, _>>()?;
    cpu::stay_on(LOAD_CORE)?;
    let mut origin = Command::new(std::env::current_exe()?)
        .arg("origin")
        .args(origins.iter().map(ToString::to_string))
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start the origins")?;
    let targets = start(run, &folder, &origins);
    cpu::stay_on(LOAD_CORE)?;
    let outcome = targets.and_then(|targets| measure_all(run, &targets));
    let _ = origin.kill();
    let _ = origin.wait();
    outcome
}

fn start(
    run: &Run,
    folder: &std::path::Path,
    origins: &[SocketAddr],
) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for kind in &run.peers {
        targets.push(Target::start(*kind, kind.name(), None, folder, origins, TARGET_CORE)?);
    }
    // A second one of the same, to see how far equals seem apart.
    if let Some(kind) = run.peers.iter().find(|kind| **kind == Kind::Nginx) {
        targets.push(Target::start(*kind, "nginx again", None, folder, origins, TARGET_CORE)?);
    }
    for (index, program) in run.portolan.iter().enumerate() {
        let label =
            if index == 0 { "portolan".to_owned() } else { format!("portolan {}", index + 1) };
        let program = Some(program.as_path());
        targets.push(Target::start(Kind::Portolan, &label, program, folder, origins, TARGET_CORE)?);
    }
    Ok(targets)
}

fn measure_all(run: &Run, targets: &[Target]) -> anyhow::Result<()> {
    let labels: Vec<String> = targets.iter().map(|target| target.label.clone()).collect();
    let baseline = targets.iter().position(|target| target.kind == Kind::Nginx).unwrap_or(0);
    for scenario in scenario::all() {
        let chosen = |word: &String| scenario.name.contains(word.as_str());
        if !run.only.is_empty() && !run.only.iter().any(chosen) {
            continue;
        }
        let mut rounds = Vec::new();
        let mut thrown_away = 0;
        while rounds.len() < run.rounds && thrown_away < run.rounds * 3 {
            match round(run, targets, &scenario, rounds.len() + thrown_away)? {
                Some(slices) => rounds.push(slices),
                None => thrown_away += 1,
            }
        }
        print!("{}", report::table(scenario.name, &labels, &rounds, baseline));
        if thrown_away > 0 {
            println!("\n{thrown_away} rounds were thrown away: errors, or others were busy.");
        }
    }
    Ok(())
}

/// A slice of each target, the first one rotating; none if one of them had
/// errors or somebody else was busy.
fn round(
    run: &Run,
    targets: &[Target],
    scenario: &scenario::Scenario,
    number: usize,
) -> anyhow::Result<Option<Vec<Slice>>> {
    let mut slices = vec![None; targets.len()];
    for step in 0..targets.len() {
        let index = (step + number) % targets.len();
        let target = &targets[index];
        let mut clients = Clients::open(target.address, scenario.work.clone())?;
        clients.run(Duration::from_millis(run.slice / 4))?;
        let (before, own_before) = (Busy::now(), cpu::ran(std::process::id()));
        let ran_before = cpu::ran(target.pid());
        let outcome = clients.run(Duration::from_millis(run.slice))?;
        let ran = cpu::ran(target.pid()) - ran_before;
        let elapsed = Duration::from_millis(run.slice).as_secs_f64();
        // Targets and origins are children of this process.
        let known = (cpu::ran(std::process::id()) - own_before).as_secs_f64() / elapsed;
        let foreign = Busy::now().since(before) - known;
        if outcome.failed > 0 || outcome.answered == 0 {
            eprintln!(
                "{}, {}: {} answered, {} failed",
                scenario.name, target.label, outcome.answered, outcome.failed
            );
            return Ok(None);
        }
        let cost = ran.as_nanos() as f64 / outcome.answered as f64;
        let (p50, p99) = (outcome.percentile(0.5), outcome.percentile(0.99));
        let rate = outcome.answered as f64 / elapsed;
        slices[index] = Some(Slice { cost, rate, p50, p99 });
        if foreign > FOREIGN {
            eprintln!("{}, {}: others took {foreign:.2} cores", scenario.name, target.label);
            return Ok(None);
        }
    }
    Ok(slices.into_iter().collect())
}
