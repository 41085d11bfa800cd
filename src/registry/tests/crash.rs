//! `kill -9` at any moment: what was acknowledged is there afterwards, and
//! nothing is that nobody asked for.
//!
//! The test runs itself as the process that is killed.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use super::{anyone, instance, key, open, settings};
use crate::registry::{Opened, Registry, RegistryEvent};

const FOLDER: &str = "PORTOLAN_TEST_CRASH_FOLDER";
const ROUNDS: u32 = 8;
const WRITERS: usize = 8;

/// Registers and deregisters, and says each before and after, until killed.
/// Does nothing unless it is run by the test below, which names a folder.
#[tokio::test]
async fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let Opened { registry, events: _events, .. } = open(&PathBuf::from(folder)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let registry = registry.clone();
        tasks.spawn(async move {
            for n in 1_u16.. {
                let id = format!("orders/{writer}-{}", n % 5);
                say(&format!("ask {id} {n}"));
                if n % 3 == 0 {
                    registry.deregister(&key(&id), None, &anyone()).await.expect("deregistered");
                } else {
                    let instance = instance(&id, &format!("10.0.0.1:{n}"));
                    registry.register(instance, anyone()).await.expect("registered");
                }
                say(&format!("done {id} {n}"));
            }
        });
    }
    tasks.join_all().await;
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{line}").and_then(|()| out.flush()).expect("a reader");
}

/// What may be found under one id: the last acknowledged port (0 for none),
/// and the one that was asked for but not acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Allowed {
    acknowledged: u16,
    asked: Option<u16>,
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut allowed: BTreeMap<String, Allowed> = BTreeMap::new();
    let mut highest = 0;
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["registry::tests::crash::the_process_that_is_killed", "--exact"])
            .args(["--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let wanted = u64::from(20 + round * 37);
        let mut seen = 0;
        for line in out.lines() {
            let line = line.expect("text");
            let mut words = line.strip_prefix('@').unwrap_or_default().split(' ');
            let (Some(word), Some(id), Some(n)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let n: u16 = n.parse().expect("a number");
            let port = if n.is_multiple_of(3) { 0 } else { n };
            let entry = allowed.entry(id.to_owned()).or_default();
            match word {
                "ask" => entry.asked = Some(port),
                _ => {
                    *entry = Allowed { acknowledged: port, asked: None };
                    seen += 1;
                }
            }
            if seen == wanted {
                // What it says from here on is read too: it may still
                // acknowledge until the signal is there.
                child.kill().expect("killed");
            }
        }
        child.wait().expect("ended");
        acknowledged += seen;
        assert!(seen >= wanted, "it wrote until it was killed");

        let Opened { registry, mut events, restored } =
            Registry::open(&settings(folder.path())).await.expect("opens after a kill");
        let mut found = BTreeMap::new();
        for _ in 0..restored {
            let event = events.recv().await.expect("restored");
            let RegistryEvent::Upserted { registration, .. } = event else { panic!("{event:?}") };
            highest = highest.max(registration.generation);
            let address = &registration.instance.origin.address;
            found.insert(registration.instance.key().to_string(), address.port);
        }
        for (id, allowed) in &mut allowed {
            let port = found.remove(id).unwrap_or(0);
            let fine = port == allowed.acknowledged || Some(port) == allowed.asked;
            assert!(fine, "round {round}: {id} has {port}, {allowed:?}");
            *allowed = Allowed { acknowledged: port, asked: None };
        }
        assert!(found.is_empty(), "nobody asked for {found:?}");
        let probe = registry.register(instance("probe/p", "10.0.0.1:80"), anyone()).await;
        let generation = probe.expect("registered").registration.generation;
        assert!(generation > highest, "never used before");
        highest = generation;
        registry.deregister(&key("probe/p"), None, &anyone()).await.expect("deregistered");
        tokio::time::timeout(Duration::from_secs(30), registry.close()).await.expect("closes");
    }
    println!("{ROUNDS} kills, {acknowledged} acknowledged operations, none lost");
}
