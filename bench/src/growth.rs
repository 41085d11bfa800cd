//! How the cost of a request grows: with connections beside the peers, and with
//! routes, instances and workers beside a Portolan that has few of them.

use std::path::Path;

use anyhow::Context;

use crate::{
    Rounds,
    load::Work,
    registrar, report,
    scenario::{self, Scenario},
    slice::{self, Threads},
    target::{Kind, Place, Shape, Target},
};

const CONNECTIONS: [usize; 5] = [1, 8, 64, 512, 4096];
const ROUTES: [usize; 3] = [10, 1000, 100_000];
/// Services, of ten instances each.
const SERVICES: [usize; 3] = [10, 1000, 10_000];

/// The first scenario with more and more connections.
pub(crate) fn connections() -> anyhow::Result<Vec<Scenario>> {
    let first = first()?;
    let with = |connections: usize| Scenario {
        name: format!("{}, {connections} connections", first.name),
        work: Work { connections, ..first.work.clone() },
        ..first.clone()
    };
    Ok(CONNECTIONS.map(with).into())
}

fn first() -> anyhow::Result<Scenario> {
    scenario::all()?.into_iter().next().context("no scenario")
}

/// The first scenario with larger and larger tables, and with two workers. Only
/// worker threads count.
pub(crate) fn of_portolan(program: &Path, run: &Rounds, place: &Place<'_>) -> anyhow::Result<()> {
    let start =
        |label: &str, shape| Target::start_as(Kind::Portolan, label, Some(program), place, shape);
    let few = start("3 routes, 4 instances", Shape::default())?;
    let again = start("3 routes, 4 instances again", Shape::default())?;
    let two = start("two workers", Shape { workers: 2, ..Shape::default() })?;
    let mut grown = Vec::new();
    for routes in ROUTES {
        grown.push(start(&format!("{routes} routes"), Shape { routes, ..Shape::default() })?);
    }
    for services in SERVICES {
        let target = start(&format!("{services} services of 10"), Shape::default())?;
        registrar::crowd(target.admin, services, 10)?;
        grown.push(target);
    }
    let targets: Vec<&Target> = [&few, &again, &two].into_iter().chain(&grown).collect();
    let labels: Vec<String> = targets.iter().map(|target| target.label.clone()).collect();
    let scenario = first()?;
    let (rounds, thrown_away) =
        slice::rounds(&targets, &scenario, run.rounds, run.length(), Threads::Workers)?;
    let title = format!("{}, worker threads", scenario.name);
    print!("{}", report::table(&title, &labels, &rounds, 0, thrown_away));
    Ok(())
}
