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
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use portolan::app::Running;
use tempfile::TempDir;
use tokio::{net::TcpStream, runtime::Runtime, task::JoinSet};

use super::{backend, client::Client, figures::Times, proxy, store::Store};

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
    fn start(runtime: &Runtime, parent: &Path, backend: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(parent)
            .with_context(|| format!("no folder in {}", parent.display()))?;
        let running = proxy::start(folder.path(), MEASURED)?;
        let body = body(backend, NONE);
        runtime.block_on(async {
            let mut client = Client::connect(running.admin).await?;
            for index in 0..LOADED {
                let path = format!("/api/v1/services/loaded-{index}/instances/a");
                client.call("PUT", &path, body.clone()).await?;
            }
            anyhow::Ok(())
        })?;
        Ok(Self { running, folder })
    }
}

fn body(backend: SocketAddr, health: &str) -> String {
    format!(r#"{{"address": "http://{backend}", "health": {health}}}"#)
}

pub(crate) fn report(runtime: &Runtime) -> anyhow::Result<()> {
    let backend = runtime.block_on(backend::start())?;
    let disk = Loaded::start(runtime, Path::new(env!("CARGO_TARGET_TMPDIR")), backend)?;
    let memory = Loaded::start(runtime, Path::new("/dev/shm"), backend)?;
    let mut store = Store::open(disk.folder.path())?;

    for at_once in [1, 32] {
        println!("\n{MEASURED} registrations beside {LOADED} services, {at_once} at a time");
        println!("{:38} {:>9} {:>9} {:>9}", "milliseconds", "median", "p99", "max");
        let mut times: Vec<Times> = WAYS.iter().map(|_| Times::default()).collect();
        let (mut commits, mut probes) = (Times::default(), Times::default());
        for round in 0..ROUNDS {
            for (way, times) in WAYS.iter().zip(&mut times) {
                let proxy = if way.disk { &disk } else { &memory };
                let part = round * MEASURED / ROUNDS..(round + 1) * MEASURED / ROUNDS;
                let task = Task::of(way, &proxy.running, backend);
                times.extend(runtime.block_on(task.spread(part, at_once))?);
            }
            for _ in 0..MEASURED / ROUNDS {
                commits.extend([store.write(&body(backend, TCP))?]);
                probes.extend([runtime.block_on(probe(backend))?]);
            }
        }
        for (way, times) in WAYS.iter().zip(&times) {
            println!("{:38} {}", way.label, times.line());
        }
        println!("{:38} {}", "alone: the commit of one row", commits.line());
        println!("{:38} {}", "alone: connect and GET", probes.line());
    }
    disk.running.stop();
    memory.running.stop();
    Ok(())
}

async fn probe(backend: SocketAddr) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let stream = TcpStream::connect(backend).await?;
    drop(stream);
    Client::connect(backend).await?.ask("a").await?;
    Ok(begun.elapsed())
}

/// Registrations of one kind at one proxy.
#[derive(Clone)]
struct Task {
    admin: SocketAddr,
    clients: SocketAddr,
    query: &'static str,
    body: String,
}

impl Task {
    fn of(way: &Way, running: &Running, backend: SocketAddr) -> Self {
        let query = if way.wait { "?wait=routable&timeout=10s" } else { "" };
        let (admin, clients) = (running.admin, running.listeners[0]);
        Self { admin, clients, query, body: body(backend, way.health) }
    }

    /// Makes the registrations of `part`, `at_once` at a time.
    async fn spread(
        self,
        part: std::ops::Range<usize>,
        at_once: usize,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut tasks = JoinSet::new();
        for first in 0..at_once {
            let numbers = part.clone().skip(first).step_by(at_once);
            tasks.spawn(self.clone().run(numbers));
        }
        let mut all = Vec::new();
        while let Some(times) = tasks.join_next().await {
            all.extend(times??);
        }
        Ok(all)
    }

    async fn run(self, numbers: impl Iterator<Item = usize>) -> anyhow::Result<Vec<Duration>> {
        let mut admin = Client::connect(self.admin).await?;
        let mut clients = Client::connect(self.clients).await?;
        let mut times = Vec::new();
        for number in numbers {
            let path = format!("/api/v1/services/fresh-{number}/instances/a");
            let query = self.query;
            let begun = Instant::now();
            admin.call("PUT", &format!("{path}{query}"), self.body.clone()).await?;
            times.push(begun.elapsed());
            if !query.is_empty() {
                // Nothing else serves this host: it was said, and it is so.
                clients.ask(&format!("fresh-{number}.example")).await?;
            }
            admin.call("DELETE", &path, String::new()).await?;
        }
        Ok(times)
    }
}
