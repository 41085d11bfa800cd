//! What an idle connection holds: resident memory of a target before and
//! after some thousand clients have each asked once and stayed.

use std::{fs, time::Duration};

use anyhow::Context;

use crate::{
    load::{Clients, Work},
    scenario::Scenario,
    target::Target,
};

/// First requests a second, on connections that are open, and on those that
/// have to shake hands as well.
const REQUESTS: u32 = 5000;
const HANDSHAKES: u32 = 500;

/// Connections opened at once: thousands that wait with their handshake are
/// taken for an attack.
const AT_ONCE: usize = 1000;

/// Resident bytes of the process `root` and its descendants.
fn resident(root: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{root}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 =
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default();
    let children = fs::read_to_string(format!("/proc/{root}/task/{root}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    kib * 1024 + children.map(resident).sum::<u64>()
}

/// KiB that `target` holds for each of `count` connections, each of which has
/// had one answer to `request`.
pub(crate) fn cost(target: &Target, scenario: &Scenario, count: usize) -> anyhow::Result<f64> {
    let address = target.address(scenario.way).context("it does not speak that")?;
    let rate = if scenario.work.tls.is_some() { HANDSHAKES } else { REQUESTS };
    let work = |connections| Work { connections, rate: Some(rate), ..scenario.work.clone() };
    // What is allocated once, for the first requests, is not a connection's.
    Clients::open(address, work(64))?.run(Duration::from_secs(1))?;
    std::thread::sleep(Duration::from_secs(2));
    let before = resident(target.pid());
    let mut open = Vec::new();
    for begun in (0..count).step_by(AT_ONCE) {
        let some = AT_ONCE.min(count - begun);
        let mut clients = Clients::open(address, work(some))?;
        // At a fixed rate every connection has its turn: first in, first out.
        let turn = Duration::from_secs_f64(some as f64 / f64::from(rate) * 1.2);
        let outcome = clients.run(turn)?;
        anyhow::ensure!(outcome.failed == 0, "{}: {} failed", target.label, outcome.failed);
        open.push(clients);
    }
    std::thread::sleep(Duration::from_secs(3));
    let after = resident(target.pid());
    drop(open);
    Ok((after as f64 - before as f64) / 1024.0 / count as f64)
}
