//! A fault at every write and every flush of a short history: nothing that was
//! acknowledged is lost, nothing is made up, and what is left opens.

use std::{collections::HashMap, fs, process::Command};

use crate::{
    history::{Told, check, command},
    strace::{self, CHANGING, FLUSHING, Fault},
};

/// Runs the history with one fault; false if it is not reached.
fn survives(call: &'static str, fault: Fault, when: usize) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let Some(output) = strace::run(&command(&data), &data, call, fault, when) else {
        return false;
    };
    let told = Told::parse(&output.stdout);
    let what = format!("{call} {fault:?} {when}");
    check(&data, &told, &what);
    // Only the end of the process, or a fault, keeps from telling all.
    assert!(fault == Fault::Kill || told.done.len() < 6 || told.closed, "{what}: {told:?}");
    true
}

#[test]
fn killed_at_every_call() {
    let calls = [CHANGING, FLUSHING].concat();
    let count = strace::at_every(&calls, &[Fault::Kill], survives);
    println!("killed at {count} calls");
    assert!(count > 50, "{count}");
}

#[test]
fn an_error_at_every_call() {
    let calls = [CHANGING, FLUSHING].concat();
    let count = strace::at_every(&calls, &[Fault::Error("EIO")], survives);
    println!("{count} calls failed");
    assert!(count > 50, "{count}");
}

#[test]
fn no_room_at_every_write() {
    let calls = ["pwrite64", "write", "ftruncate", "openat", "mkdir"];
    let count = strace::at_every(&calls, &[Fault::Error("ENOSPC")], survives);
    println!("{count} calls found no room");
    assert!(count > 30, "{count}");
}

/// After a flush that failed nothing is acknowledged, and no flush is tried.
#[test]
fn a_failed_flush_is_the_last_one() {
    let mut refused = 0;
    for when in 1.. {
        let flushing = ["fdatasync", "fsync"].map(|call| {
            let folder = tempfile::tempdir().expect("a folder");
            let data = folder.path().join("data");
            strace::run(&command(&data), &data, call, Fault::Error("EIO"), when).map(|output| {
                let log = fs::read_to_string(data.with_extension("strace")).expect("a log");
                (Told::parse(&output.stdout), log)
            })
        });
        if flushing.iter().all(Option::is_none) {
            break;
        }
        for (told, log) in flushing.into_iter().flatten() {
            let Some((_, after)) = log.rsplit_once("(INJECTED)") else { continue };
            let first_refused = told.asked.iter().find(|step| !told.done.contains(step));
            if let Some(first) = first_refused {
                refused += 1;
                // The fourth takes out what may not be there, and then writes
                // nothing.
                let in_order = |done: &usize| done < first || *done == 3;
                assert!(told.done.iter().all(in_order), "{told:?}\n{log}");
                let again = after.lines().filter(|line| line.contains("sync(")).count();
                assert_eq!(again, 0, "it was tried again:\n{log}");
            }
        }
    }
    assert!(refused > 3, "{refused}");
}

/// Reads along: when a step is said to be done, everything that was written to
/// the log has been flushed.
#[test]
fn nothing_is_acknowledged_before_it_is_flushed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let log = folder.path().join("log");
    let history = command(&data);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "-y", "-o"]).arg(&log);
    strace.arg("--trace=pwrite64,fsync,fdatasync,write").arg(history.get_program());
    strace.args(history.get_args());
    for (name, value) in history.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    let output = strace.output().expect("strace, which ./scripts/test installs");
    let told = Told::parse(&output.stdout);
    assert!(told.closed && told.done.len() == 6, "{told:?}");
    let log = fs::read_to_string(log).expect("a log of strace");
    let mut unflushed = false;
    let (mut flushes, mut acknowledged) = (0, 0);
    // What a thread began and strace tells the end of later.
    let mut begun: HashMap<&str, bool> = HashMap::new();
    for line in log.lines() {
        let (thread, call) = line.split_once(' ').expect("a thread");
        let call = call.trim_start();
        let of_log = call.contains("registry.db-wal>");
        if call.starts_with("pwrite64(") && of_log {
            unflushed = true;
        } else if call.starts_with("fsync(") || call.starts_with("fdatasync(") {
            if call.contains("<unfinished") {
                begun.insert(thread, of_log);
            } else if of_log && call.ends_with("= 0") {
                unflushed = false;
                flushes += 1;
            }
        } else if call.contains("sync resumed>") && call.ends_with("= 0") {
            if begun.remove(thread) == Some(true) {
                unflushed = false;
                flushes += 1;
            }
        } else if call.starts_with("write(1<") && call.contains("@done") {
            acknowledged += 1;
            assert!(!unflushed, "acknowledged too early:\n{log}");
        }
    }
    assert_eq!(acknowledged, 6);
    assert!(flushes >= 6, "{flushes}");
}
