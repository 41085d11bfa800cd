//! A short history of a registry, told step by step by the process that makes
//! it, and what may be found after it was broken off anywhere.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use portolan::{
    model::{Instance, InstanceKey},
    registry::{Caller, Export, Opened, Registry, RegistrySettings},
};

const FOLDER: &str = "PORTOLAN_TEST_FAULTS_FOLDER";

/// What is registered under an id: a port, and whether it is draining.
pub(crate) type Found = Option<(u16, bool)>;

/// Steps as the process tells them: id, and what it becomes.
const STEPS: &[(&str, Found)] = &[
    ("a", Some((1, false))),
    ("b", Some((2, false))),
    ("a", Some((1, true))),
    ("b", None),
    ("c", Some((3, false))),
    ("a", Some((4, false))),
];

fn instance(id: &str, port: u16) -> Instance {
    let text = format!(
        "{{\"service\": \"orders\", \"id\": \"{id}\", \"origin\": \"http://10.0.0.1:{port}\"}}"
    );
    serde_json::from_str(&text).expect("an instance")
}

fn settings(data: &Path) -> RegistrySettings {
    RegistrySettings { data_dir: data.to_owned(), ..Default::default() }
}

/// The process that makes the history. Does nothing unless a test names a
/// folder.
#[tokio::test]
async fn the_process_that_is_broken_off() {
    let Some(data) = std::env::var_os(FOLDER) else { return };
    let opened = Registry::open(&settings(&PathBuf::from(data))).await;
    let Ok(Opened { registry, events: _events, .. }) = opened else { return };
    for (number, (id, becomes)) in STEPS.iter().enumerate() {
        say(&format!("ask {number}"));
        let key: InstanceKey = format!("orders/{id}").parse().expect("a key");
        let admin = Caller::Admin(None);
        let done = match becomes {
            None => registry.deregister(&key, None, &admin).await.is_ok(),
            Some((_, true)) => registry.drain(&key, None, &admin).await.is_ok(),
            Some((port, false)) => registry.register(instance(id, *port), admin).await.is_ok(),
        };
        say(&format!("{} {number}", if done { "done" } else { "refused" }));
    }
    registry.close().await;
    say("closed 0");
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever listens may have been told to go.
    let _ = writeln!(out, "\n@{line}").and_then(|()| out.flush());
}

/// The command that makes the history in `data`.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["history::the_process_that_is_broken_off", "--exact"])
        .args(["--nocapture", "--test-threads=1"])
        .env(FOLDER, data);
    command
}

/// What a process told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) asked: Vec<usize>,
    pub(crate) done: Vec<usize>,
    pub(crate) closed: bool,
}

impl Told {
    pub(crate) fn parse(out: &[u8]) -> Self {
        let mut told = Self::default();
        for line in String::from_utf8_lossy(out).lines() {
            let Some((word, number)) = line.strip_prefix('@').and_then(|it| it.split_once(' '))
            else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            match word {
                "ask" => told.asked.push(number),
                "done" => told.done.push(number),
                "closed" => told.closed = true,
                _ => {}
            }
        }
        told
    }

    /// Every state that each id may be in: what was done is, what was asked
    /// for and not done may be.
    pub(crate) fn possible(&self) -> BTreeMap<&'static str, Vec<Found>> {
        let mut possible: BTreeMap<_, Vec<Found>> =
            STEPS.iter().map(|(id, _)| (*id, vec![None])).collect();
        for (number, (id, becomes)) in STEPS.iter().enumerate() {
            let Some(states) = possible.get_mut(id) else { continue };
            if self.done.contains(&number) {
                *states = match becomes {
                    // To drain says nothing about the port.
                    Some((_, true)) => {
                        states.iter().flatten().map(|(port, _)| Some((*port, true))).collect()
                    }
                    becomes => vec![*becomes],
                };
            } else if self.asked.contains(&number) {
                let further: Vec<_> = match becomes {
                    Some((_, true)) => {
                        states.iter().flatten().map(|(port, _)| Some((*port, true))).collect()
                    }
                    becomes => vec![*becomes],
                };
                states.extend(further);
            }
        }
        possible
    }
}

/// Opens what is left in `data`, checks it against what was told, and that it
/// takes a registration.
#[track_caller]
pub(crate) fn check(data: &Path, told: &Told, what: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let found = runtime.block_on(async {
        let opened = Registry::open(&settings(data)).await;
        let Opened { registry, events: _events, .. } =
            opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = portolan::registry::export(data).unwrap_or_else(|e| panic!("{what}: {e}"));
        let probe = registry.register(instance("probe", 9), Caller::Admin(None)).await;
        let generation = probe.unwrap_or_else(|e| panic!("{what}: {e}")).registration.generation;
        let highest = found.registrations().iter().map(|it| it.generation).max();
        assert!(Some(generation) > highest, "{what}: {generation} is given twice");
        registry.close().await;
        found
    });
    let mut found = ports(&found);
    for (id, possible) in told.possible() {
        let found = found.remove(id);
        assert!(possible.contains(&found), "{what}: {id} is {found:?} after {told:?}");
    }
    assert!(found.is_empty(), "{what}: nobody asked for {found:?}");
}

pub(crate) fn ports(export: &Export) -> BTreeMap<String, (u16, bool)> {
    let all = export.registrations().iter();
    let view = |it: &portolan::registry::Registration| {
        (it.instance.id.as_str().to_owned(), (it.instance.origin.address.port, it.draining))
    };
    all.map(view).collect()
}
