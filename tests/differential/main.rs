//! The same hostile bytes to Portolan and to servers of other make.
//!
//! Each case goes through Portolan to an origin, and to that origin alone.
//! Between the two a tap writes down every byte. Whatever Portolan lets
//! through has to be one message to everybody: to a strict reader of the tap,
//! to the origin, which says what it has read, and to Portolan's own log; and
//! a request that follows on the same connection gets its own answer.
//!
//! `./scripts/test` installs the origins; without one of them this fails.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says what it needs by failing without it, and reports to a terminal"
)]

mod cases;
mod messages;
mod origin;
mod report;
mod run;
#[allow(unused_imports, reason = "these tests use a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod tap;

use std::{process::ExitCode, thread};

use self::{origin::Origin, run::Outcome};

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    // What `cargo test` says to the other tests.
    if words.iter().any(|word| word == "--list" || word == "--ignored") {
        return ExitCode::SUCCESS;
    }
    words.retain(|word| !word.starts_with('-'));
    let mut cases = cases::all();
    let mut names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
    names.sort_unstable();
    let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "two cases with one name: {twice:?}");
    cases.retain(|case| words.is_empty() || words.iter().any(|word| case.name.contains(word)));
    let origins: Vec<Origin> = Origin::all();
    let outcomes: Vec<Vec<Outcome>> = thread::scope(|scope| {
        let running: Vec<_> =
            origins.iter().map(|origin| scope.spawn(|| run::all(origin, &cases))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    if report::print(&origins, &cases, &outcomes, !words.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
