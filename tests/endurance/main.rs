//! Endurance runs: the built program under load while instances, the proxy
//! itself and time misbehave. Each states what it counts on, and counts.
//!
//! Without arguments, as `cargo test` calls it, these are the short forms.
//! docs/endurance.md says what each run proves.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it needs by failing without it, and reports to a terminal"
)]

mod arguments;
mod backend;
mod content;
mod exchange;
mod fleet;
mod generator;
mod ledger;
mod proxy;
mod report;
mod runs;
mod tally;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use rustix::process::{getpid, set_child_subreaper};

use self::{
    arguments::{Arguments, Role},
    runs::{Context, RUNS},
};

fn main() -> ExitCode {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let mut arguments = Arguments::parse();
    let done = match arguments.role.take() {
        Some(Role::Backend(args)) => runtime.block_on(backend::serve(args)).map(|()| true),
        None if arguments.wants_nothing() => Ok(true),
        None => runtime.block_on(perform(arguments)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("endurance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does the runs that are wanted. False if one of them failed.
async fn perform(arguments: Arguments) -> anyhow::Result<bool> {
    // A proxy that took over is the child of one that has ended.
    set_child_subreaper(Some(getpid()))?;
    // `cargo test WORD` passes the word to every test.
    let chosen: Vec<_> = RUNS
        .iter()
        .filter(|run| {
            arguments.runs.is_empty() || arguments.runs.iter().any(|name| name == run.name)
        })
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = RUNS.iter().map(|run| run.name).collect();
        println!("no such run; there are: {}", names.join(", "));
    }
    let built = PathBuf::from(env!("CARGO_BIN_EXE_portolan"));
    let program = arguments.portolan.clone().unwrap_or(built).canonicalize()?;
    let context = Context { arguments, program };
    let mut failed = Vec::new();
    for run in chosen {
        println!("{}: {}", run.name, run.promise);
        let verdict = match (run.perform)(&context).await {
            Ok(verdict) => verdict,
            Err(error) => {
                println!("  {error:#}\nFAIL {}\n", run.name);
                failed.push(run.name);
                continue;
            }
        };
        verdict.print();
        if let Some(file) = &context.arguments.record {
            verdict.record(file, &context.version()?)?;
        }
        if !verdict.passed() {
            failed.push(verdict.run);
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}
