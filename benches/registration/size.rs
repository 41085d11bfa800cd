//! What 10,000 services with 10 instances each cost: to load, for one change,
//! at rest, in memory, to start with.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use portolan::{
    app::Running,
    control::{Control, RegisterRequest},
    model::{Instance, Weight},
    registry::Caller,
};
use tokio::{runtime::Runtime, task::JoinSet};

use super::{
    figures::{memory, time_of_threads},
    proxy,
};

const SERVICES: usize = 10_000;
const INSTANCES: usize = 10;
const CHANGES: usize = 1000;
const AT_ONCE: usize = 256;
const REST: Duration = Duration::from_secs(20);

pub(crate) fn report(runtime: &Runtime) -> anyhow::Result<()> {
    println!("\n{SERVICES} services with {INSTANCES} instances each");
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
    let running = proxy::start(folder.path(), 0)?;
    let empty = memory()?;

    let begun = Instant::now();
    runtime.block_on(load(&running.control))?;
    let took = begun.elapsed();
    let total = SERVICES * INSTANCES;
    let rate = total as f64 / took.as_secs_f64();
    println!("loaded {AT_ONCE} at a time in {took:.1?}, {rate:.0} a second");
    println!("memory: {} MiB, {empty} MiB before", memory()?);

    let one_by_one = |control: &Control| runtime.block_on(change(control));
    let cost = Cost::of(&running, runtime, CHANGES, one_by_one)?;
    println!("one change, one after the other: {cost}");
    let cost =
        Cost::of(&running, runtime, CHANGES, |control| runtime.block_on(change_at_once(control)))?;
    println!("one change, {CHANGES} at a time: {cost}");

    let (before, begun) = (time_of_threads("control")?, Instant::now());
    std::thread::sleep(REST);
    let share =
        (time_of_threads("control")? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("at rest the control plane takes {:.2} % of a core", share * 100.0);

    let begun = Instant::now();
    let status = running.control.status();
    println!("status: {:.1?}", begun.elapsed());
    anyhow::ensure!(status.instances.get("healthy") == Some(&total), "{:?}", status.instances);
    let begun = Instant::now();
    let page = runtime.block_on(running.control.metrics());
    println!("metrics: {:.1?}, {} KiB", begun.elapsed(), page.len() / 1024);
    running.stop();

    let begun = Instant::now();
    let running = proxy::start(folder.path(), 0)?;
    let took = begun.elapsed();
    let status = running.control.status();
    anyhow::ensure!(status.instances.get("healthy") == Some(&total), "{:?}", status.instances);
    println!("start with this store, until every worker routes by it: {took:.2?}");
    running.stop();
    Ok(())
}

fn request(number: usize, weight: i64) -> anyhow::Result<RegisterRequest> {
    let (service, id) = (number / INSTANCES, number % INSTANCES);
    let instance: Instance = serde_json::from_value(serde_json::json!({
        "service": format!("service-{service}"),
        "id": format!("instance-{id}"),
        "origin": format!("http://10.{}.{}.{}:80", service / 250, service % 250, id + 1),
        "health": { "kind": "none" },
        "weight": Weight::try_from(weight)?,
    }))?;
    Ok(RegisterRequest { instance, caller: Caller::Admin(None), wait: None })
}

async fn load(control: &Control) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for first in 0..AT_ONCE {
        let control = control.clone();
        tasks.spawn(async move {
            for number in (first..SERVICES * INSTANCES).step_by(AT_ONCE) {
                control.register(request(number, 100)?).await?.end().await?;
            }
            anyhow::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// A change each of so many services.
async fn change(control: &Control) -> anyhow::Result<()> {
    for turn in 0..CHANGES {
        control.register(request(turn * 97, 101)?).await?.end().await?;
    }
    Ok(())
}

async fn change_at_once(control: &Control) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for turn in 0..CHANGES {
        let (control, request) = (control.clone(), request(turn * 97, 102)?);
        tasks.spawn(async move { control.register(request).await?.end().await });
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    Ok(())
}

/// What changes cost the proxy's own threads.
struct Cost {
    changes: usize,
    control: Duration,
    registry: Duration,
    tables: f64,
    publishing: Duration,
}

impl Cost {
    fn of(
        running: &Running,
        runtime: &Runtime,
        changes: usize,
        make: impl Fn(&Control) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let published = || -> anyhow::Result<(f64, f64)> {
            let page = runtime.block_on(running.control.metrics());
            let value = |name: &str| {
                let line = page.lines().find_map(|line| line.strip_prefix(name));
                anyhow::Ok(line.unwrap_or_default().trim().parse::<f64>()?)
            };
            Ok((
                value("portolan_table_publishes_total ")?,
                value("portolan_table_publish_seconds_total ")?,
            ))
        };
        let (tables, seconds) = published()?;
        let (control, registry) = (time_of_threads("control")?, time_of_threads("registry")?);
        make(&running.control)?;
        let control = time_of_threads("control")? - control;
        let registry = time_of_threads("registry")? - registry;
        let (tables_after, seconds_after) = published()?;
        let tables = tables_after - tables;
        let publishing = Duration::from_secs_f64(seconds_after - seconds);
        Ok(Self { changes, control, registry, tables, publishing })
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.changes as f64;
        write!(
            f,
            "{:.0} µs of the control thread and {:.0} µs of the registry thread; \
             {} tables, compiled and published in {:.0} µs each",
            each(self.control),
            each(self.registry),
            self.tables,
            self.publishing.as_secs_f64() * 1e6 / self.tables
        )
    }
}
