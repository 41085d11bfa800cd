//! How many instructions a worker runs for a request, outside of the kernel.
//!
//! Unlike times they hardly depend on the machine and on what else it does, so
//! that they are held to what is recorded, with a margin for another compiler.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};

use crate::{
    load::{Clients, Protocol, Work},
    scenario,
    target::{Kind, Place, Target},
};

/// What is counted: those where neither cryptography nor copying, which differ
/// with the processor, is most of the work.
const SCENARIOS: [&str; 8] = [
    "small",
    "heads",
    "16 KiB",
    "POST 16 KiB",
    "chunked both ways",
    "WebSocket",
    "h2c",
    "gRPC unary",
];

/// How far a count may be from what is recorded, as a share of it.
const MARGIN: f64 = 0.04;

/// Enough requests for what happens once a second not to matter, on a
/// processor that valgrind makes fifty times as slow.
const LONG: Duration = Duration::from_secs(3);

/// Counts with `program`, and fails if a request costs more than in the file
/// `recorded`, or so much less that the file should say so.
pub(crate) fn gate(
    program: &Path,
    recorded: &Path,
    record: bool,
    keep: Option<&Path>,
    place: &Place<'_>,
) -> anyhow::Result<()> {
    let target = Target::start(Kind::Counted, Kind::Counted.name(), Some(program), place)?;
    let known = if record { BTreeMap::new() } else { read(recorded)? };
    let (mut counts, mut off) = (String::new(), Vec::new());
    println!("| instructions of a request | counted | recorded |\n| --- | --- | --- |");
    for name in SCENARIOS {
        let scenarios = scenario::all()?;
        let scenario = scenarios.iter().find(|scenario| scenario.name == name);
        let count = count(&target, scenario.context("no such scenario")?)?;
        counts += &format!("{name}: {count:.0}\n");
        if let Some(keep) = keep {
            fs::create_dir_all(keep)?;
            fs::copy(busiest(&target)?.1, keep.join(name.replace(' ', "-")))?;
        }
        let Some(known) = known.get(name).copied() else {
            println!("| {name} | {count:.0} | |");
            continue;
        };
        println!("| {name} | {count:.0} | {known:.0} |");
        if (count / known - 1.0).abs() > MARGIN {
            off.push(name);
        }
    }
    if record {
        fs::write(recorded, counts)?;
    } else if !off.is_empty() {
        bail!(
            "more than {:.0} % from what is recorded: {}; make it cheaper, or say in the change \
             why not and record it (--record)",
            MARGIN * 100.0,
            off.join(", ")
        );
    }
    Ok(())
}

fn read(recorded: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let text = fs::read_to_string(recorded).with_context(|| recorded.display().to_string())?;
    text.lines()
        .map(|line| {
            let (name, count) = line.split_once(": ").context("NAME: COUNT is expected")?;
            Ok((name.to_owned(), count.parse()?))
        })
        .collect()
}

/// Instructions of the busiest thread for each request of `scenario`, asked
/// one after the other over one connection.
fn count(target: &Target, scenario: &scenario::Scenario) -> anyhow::Result<f64> {
    let address = target.address(scenario.way).context("it does not speak that")?;
    let protocol = match scenario.work.protocol {
        Protocol::Http1 => Protocol::Http1,
        Protocol::Http2(_) => Protocol::Http2(1),
        Protocol::Grpc(_) => Protocol::Grpc(1),
        Protocol::WebSocket => Protocol::WebSocket,
    };
    let work = Work { connections: 1, protocol, ..scenario.work.clone() };
    let mut clients = Clients::open(address, work)?;
    clients.run(LONG / 2)?;
    ask(target, "zero")?;
    let outcome = clients.run(LONG)?;
    forget(target)?;
    ask(target, "dump")?;
    anyhow::ensure!(outcome.failed == 0 && outcome.answered > 0, "{outcome:?}");
    Ok(busiest(target)?.0 as f64 / outcome.answered as f64)
}

/// Has valgrind do what `order` says.
fn ask(target: &Target, order: &str) -> anyhow::Result<()> {
    let pid = format!("--pid={}", target.pid());
    let done = Command::new("vgdb").args([&pid, order]).output().context("cannot run vgdb")?;
    anyhow::ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// Removes what was counted before.
fn forget(target: &Target) -> anyhow::Result<()> {
    for file in files(target)? {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn files(target: &Target) -> anyhow::Result<Vec<PathBuf>> {
    let counted = target.counted();
    let (folder, name) = (counted.parent(), counted.file_name());
    let (folder, name) = (folder.context("no folder")?, name.context("no name")?);
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let name = name.to_string_lossy();
    let ours = entries.iter().filter(|each| each.file_name().to_string_lossy().starts_with(&*name));
    Ok(ours.map(fs::DirEntry::path).collect())
}

/// The instructions of the thread that ran most of them, and its file: each
/// thread has one, with a line of its total.
fn busiest(target: &Target) -> anyhow::Result<(u64, PathBuf)> {
    let mut totals = Vec::new();
    for file in files(target)? {
        let text = fs::read_to_string(&file)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        totals.extend(total.map(|total| total.trim().parse()).transpose()?.map(|n: u64| (n, file)));
    }
    totals.into_iter().max().context("valgrind counted nothing")
}
