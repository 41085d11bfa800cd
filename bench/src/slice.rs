//! One slice: a target under load for a moment, and what it cost.

use std::time::Duration;

use anyhow::Context;

use crate::{
    cpu::{self, Busy},
    load::Clients,
    report::Slice,
    scenario::Scenario,
    target::Target,
};

/// What of the machine others may take, in cores, before a slice is worth
/// nothing.
const FOREIGN: f64 = 0.15;

/// Which threads of a target are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Threads {
    All,
    /// Those that serve requests; the control plane's are told apart.
    Workers,
}

impl Threads {
    fn wanted(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Workers => name.starts_with("worker-"),
        }
    }
}

/// Sends `work` to `target` for `length`. None if there were errors or
/// somebody else was busy, which is told on standard error.
pub(crate) fn take(
    target: &Target,
    scenario: &Scenario,
    length: Duration,
    threads: Threads,
) -> anyhow::Result<Option<Slice>> {
    let label = &target.label;
    let address = target.address(scenario.way).context("it does not speak that")?;
    let mut clients = Clients::open(address, scenario.work.clone())
        .with_context(|| format!("{label} takes no connections"))?;
    clients.run(length / 4)?;
    let counted = || cpu::ran_by(target.pid(), |name| threads.wanted(name));
    let (busy, own) = (Busy::now(), cpu::ran(std::process::id()));
    let (all_before, before) = (cpu::ran(target.pid()), counted());
    let outcome = clients.run(length)?;
    let ran = counted() - before;
    let beside = (cpu::ran(target.pid()) - all_before).saturating_sub(ran);
    // Targets and origins are children of this process.
    let known = (cpu::ran(std::process::id()) - own).as_secs_f64() / length.as_secs_f64();
    let foreign = Busy::now().since(busy) - known;
    if outcome.failed > 0 || outcome.answered == 0 {
        eprintln!("{label}: {} answered, {} failed", outcome.answered, outcome.failed);
        return Ok(None);
    }
    if foreign > FOREIGN {
        eprintln!("{label}: others took {foreign:.2} cores");
        return Ok(None);
    }
    Ok(Some(Slice {
        cost: ran.as_nanos() as f64 / outcome.answered as f64,
        beside: beside.as_secs_f64() / length.as_secs_f64(),
        rate: outcome.answered as f64 / length.as_secs_f64(),
        p50: outcome.percentile(0.5),
        p99: outcome.percentile(0.99),
    }))
}

/// Rounds of a slice of each target, the first one rotating. A round with a
/// slice that is worth nothing is thrown away; the second number tells how
/// many were.
pub(crate) fn rounds(
    targets: &[&Target],
    scenario: &Scenario,
    count: usize,
    length: Duration,
    threads: Threads,
) -> anyhow::Result<(Vec<Vec<Slice>>, usize)> {
    let (mut rounds, mut thrown_away) = (Vec::new(), 0);
    while rounds.len() < count && thrown_away < count * 3 {
        let number = rounds.len() + thrown_away;
        let mut slices = vec![None; targets.len()];
        for step in 0..targets.len() {
            let index = (step + number) % targets.len();
            slices[index] = take(targets[index], scenario, length, threads)?;
            if slices[index].is_none() {
                break;
            }
        }
        match slices.into_iter().collect() {
            Some(round) => rounds.push(round),
            None => thrown_away += 1,
        }
    }
    Ok((rounds, thrown_away))
}
