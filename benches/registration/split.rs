//! The time from a PUT to its answer that the instance is routed, and where
//! it goes.
//!
//! The parts are not taken apart by timestamps: the same registration is made
//! with and without a probe, and with the store on disk and in memory. What
//! is left with neither is the rest: HTTP, registry, control plane, publish,
//! acknowledgement of every worker. All of them take turns in small rounds,
//! so that they see the same machine.

use std::{
    net::SocketAddr,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use portolan::app::Running;
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinSet};

use super::{
    backend,
    client::Client,
    figures::{Times, time_of_threads},
    proxy,
    store::Store,
};

/// Services with an instance each that are there before.
const LOADED: usize = 1000;
/// Registrations measured of each kind.
const MEASURED: usize = 1000;
const ROUNDS: usize = 10;

/// One way to register.
struct Way {
    label: &'static str,
    disk: bool,
    health: &'static str,
    wait: bool,
}

const NONE: &str = r#"{"kind": "none"}"#;
const TCP: &str = r#"{"kind": "tcp"}"#;
const HTTP: &str = r#"{"path": "/up"}"#;

const WAYS: [Way; 7] = [
    Way { label: "disk, HTTP probe, routed", disk: true, health: HTTP, wait: true },
    Way { label: "disk, TCP probe, routed", disk: true, health: TCP, wait: true },
    Way { label: "disk, no probe, routed", disk: true, health: NONE, wait: true },
    Way { label: "disk, no probe, durable", disk: true, health: NONE, wait: false },
    Way { label: "memory, HTTP probe, routed", disk: false, health: HTTP, wait: true },
    Way { label: "memory, TCP probe, routed", disk: false, health: TCP, wait: true },
    Way { label: "memory, no probe, routed: the rest", disk: false, health: NONE, wait: true },
];

/// A proxy with its services loaded.
struct Loaded {
    running: Running,
    folder: TempDir,
}

impl Loaded {
    fn start(runtime: &Runtime, parent: &Path, port: u16) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(parent)
            .with_context(|| format!("no folder in {}", parent.display()))?;
        let running = proxy::start(folder.path(), MEASURED)?;
        runtime.block_on(async {
            let mut client = Client::connect(running.admin).await?;
            for number in 0..LOADED {
                let path = format!("/api/v1/services/loaded-{number}/instances/a");
                client.call("PUT", &path, body(MEASURED + number, port, NONE)).await?;
            }
            anyhow::Ok(())
        })?;
        Ok(Self { running, folder })
    }
}

/// Every instance has an address of its own, as they have in the world.
fn address(number: usize, port: u16) -> String {
    format!("127.1.{}.{}:{port}", number / 250, number % 250 + 1)
}

fn body(number: usize, port: u16, health: &str) -> String {
    let address = address(number, port);
    format!(r#"{{"address": "http://{address}", "health": {health}}}"#)
}

pub(crate) fn report(runtime: &Runtime) -> anyhow::Result<()> {
    let port = runtime.block_on(backend::start())?;
    let disk = Loaded::start(runtime, Path::new(env!("CARGO_TARGET_TMPDIR")), port)?;
    let memory = Loaded::start(runtime, Path::new("/dev/shm"), port)?;
    let mut store = Store::open(disk.folder.path())?;

    for at_once in [1, 32] {
        println!("\n{MEASURED} registrations beside {LOADED} services, {at_once} at a time");
        let columns = ["median", "p99", "max", "control µs"];
        println!(
            "{:38} {:>9} {:>9} {:>9} {:>11}",
            "milliseconds", columns[0], columns[1], columns[2], columns[3]
        );
        let mut found: Vec<_> = WAYS.iter().map(|_| (Times::default(), Duration::ZERO)).collect();
        let (mut commits, mut probes) = (Times::default(), Times::default());
        for round in 0..ROUNDS {
            for (way, (times, spent)) in WAYS.iter().zip(&mut found) {
                let proxy = if way.disk { &disk } else { &memory };
                let part = round * MEASURED / ROUNDS..(round + 1) * MEASURED / ROUNDS;
                let task = Task::of(way, &proxy.running, port);
                let (more_times, more_spent) = runtime.block_on(task.spread(part, at_once))?;
                times.extend(more_times);
                *spent += more_spent;
            }
            for number in 0..MEASURED / ROUNDS {
                commits.extend([store.write(&body(number, port, TCP))?]);
                probes.extend([runtime.block_on(probe(&address(number, port)))?]);
            }
        }
        for (way, (times, spent)) in WAYS.iter().zip(&found) {
            let spent = spent.as_secs_f64() * 1e6 / MEASURED as f64;
            println!("{:38} {} {spent:11.0}", way.label, times.line());
        }
        println!("{:38} {}", "alone: the commit of one row", commits.line());
        println!("{:38} {}", "alone: connect and GET", probes.line());
    }
    disk.running.stop();
    memory.running.stop();
    Ok(())
}

async fn probe(address: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    Client::connect(address.parse()?).await?.ask("a").await?;
    Ok(begun.elapsed())
}

/// Registrations of one kind at one proxy.
#[derive(Clone)]
struct Task {
    admin: SocketAddr,
    clients: SocketAddr,
    query: &'static str,
    port: u16,
    health: &'static str,
}

impl Task {
    fn of(way: &Way, running: &Running, port: u16) -> Self {
        let query = if way.wait { "?wait=routable&timeout=10s" } else { "" };
        let (admin, clients) = (running.admin, running.listeners[0]);
        Self { admin, clients, query, port, health: way.health }
    }

    /// Makes the registrations of `part`, `at_once` at a time, then checks and
    /// takes them back. Gives their times, and the time that the control plane
    /// spent on a processor.
    async fn spread(
        self,
        part: Range<usize>,
        at_once: usize,
    ) -> anyhow::Result<(Vec<Duration>, Duration)> {
        let shares: Vec<_> =
            (0..at_once).map(|first| part.clone().skip(first).step_by(at_once)).collect();
        let mut clients = Vec::new();
        for _ in 0..at_once {
            clients.push(Client::connect(self.admin).await?);
        }
        let before = time_of_threads("control")?;
        let mut tasks = JoinSet::new();
        for (client, share) in clients.into_iter().zip(shares.clone()) {
            tasks.spawn(self.clone().register(client, share));
        }
        let mut all = Vec::new();
        while let Some(times) = tasks.join_next().await {
            all.extend(times??);
        }
        let spent = time_of_threads("control")? - before;
        let mut tasks = JoinSet::new();
        for share in shares {
            tasks.spawn(self.clone().check(share));
        }
        while let Some(checked) = tasks.join_next().await {
            checked??;
        }
        Ok((all, spent))
    }

    async fn register(
        self,
        mut admin: Client,
        numbers: impl Iterator<Item = usize>,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::new();
        for number in numbers {
            let path = format!("{}{}", path(number), self.query);
            let body = body(number, self.port, self.health);
            let begun = Instant::now();
            admin.call("PUT", &path, body).await?;
            times.push(begun.elapsed());
        }
        Ok(times)
    }

    /// Nothing else serves these hosts: what was said to be routed is.
    async fn check(self, numbers: impl Iterator<Item = usize>) -> anyhow::Result<()> {
        let mut admin = Client::connect(self.admin).await?;
        let mut clients = Client::connect(self.clients).await?;
        for number in numbers {
            clients.ask(&format!("fresh-{number}.example")).await?;
            admin.call("DELETE", &path(number), String::new()).await?;
        }
        Ok(())
    }
}

fn path(number: usize) -> String {
    format!("/api/v1/services/fresh-{number}/instances/a")
}
