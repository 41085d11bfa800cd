//! Runs a process in which one system call on some files fails, or is the last
//! one.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Every name that the registry uses in its folder.
const FILES: &[&str] = &[
    "",
    "lock",
    "mark",
    "probe",
    "registry.db",
    "registry.db-wal",
    "registry.db-shm",
    "registry.db.new",
    "registry.db.new-wal",
    "registry.db.new-shm",
    "snapshots",
    "snapshots/00000001.jsonl",
    "snapshots/00000001.jsonl.new",
    "damaged",
    "damaged/1",
];

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails with this error.
    Error(&'static str),
    /// The process is killed when it makes it.
    Kill,
}

/// The system calls by which a file or folder is changed, or made durable.
pub(crate) const CHANGING: &[&str] =
    &["pwrite64", "write", "ftruncate", "openat", "unlink", "rename", "mkdir"];

/// Those by which it is made durable.
pub(crate) const FLUSHING: &[&str] = &["fsync", "fdatasync"];

/// Runs `command` with `fault` at the `when`th `call` of each thread on the
/// files of the store in `data`. None if there was no such call.
pub(crate) fn run(
    command: &Command,
    data: &Path,
    call: &str,
    fault: Fault,
    when: usize,
) -> Option<Output> {
    let log = data.with_extension("strace");
    let what = match fault {
        Fault::Error(error) => format!("error={error}"),
        Fault::Kill => "signal=KILL".to_owned(),
    };
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "-o"]).arg(&log).arg(format!("--trace={call}"));
    strace.arg(format!("--inject={call}:{what}:when={when}"));
    for name in FILES {
        let path: PathBuf = if name.is_empty() { data.to_owned() } else { data.join(name) };
        strace.arg("-P").arg(path);
    }
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    let output = strace.output().expect("strace, which ./scripts/test installs");
    let log = std::fs::read_to_string(&log).expect("a log of strace");
    let happened = match fault {
        Fault::Error(_) => log.contains("(INJECTED)"),
        Fault::Kill => log.contains("killed by SIGKILL"),
    };
    let traced = output.status.code() != Some(1) || happened || !log.is_empty();
    assert!(traced, "{}", String::from_utf8_lossy(&output.stderr));
    happened.then_some(output)
}

/// Runs `test` for every `call` and every time it is made, until one is not
/// reached any more; half of them on a thread of its own. Gives the number of
/// faults.
pub(crate) fn at_every(
    calls: &[&'static str],
    faults: &[Fault],
    test: impl Fn(&'static str, Fault, usize) -> bool + Sync,
) -> usize {
    let cases: Vec<_> =
        calls.iter().flat_map(|call| faults.iter().map(move |fault| (*call, *fault))).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let lane = || {
        let mut count = 0;
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some((call, fault)) = cases.get(index) else { return count };
            let reached = (1..).take_while(|when| test(call, *fault, *when)).count();
            count += reached;
        }
    };
    std::thread::scope(|scope| {
        let lanes = [scope.spawn(lane), scope.spawn(lane)];
        lanes.into_iter().map(|lane| lane.join().expect("no loss")).sum()
    })
}
