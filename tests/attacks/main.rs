//! Attacks on the built program, each with figures: its resident memory
//! before, at the peak and after, and what other clients see meanwhile. A run
//! fails when memory goes over its bound or another client is not served;
//! never because something took long.
//!
//! Without arguments, as `cargo test` calls it, these are the short forms.
//! docs/security-testing.md tells what each does, and what was measured.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says what it needs by failing without it, and reports to a terminal"
)]

mod bystanders;
mod http1;
mod http2;
mod memory;
mod origin;
mod pressure;
#[allow(unused_imports, reason = "these tests use a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod tls;

use std::{process::ExitCode, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::{
    bystanders::{Bystanders, NAME},
    memory::{Watch, mib, resident},
    pressure::{Attack, Pressure},
    support::{Portolan, tls::Authority},
};

/// Every attack.
fn attacks() -> Vec<Attack> {
    [http1::attacks(), http2::attacks(), tls::attacks()].into_iter().flatten().collect()
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    // What `cargo test` says to the other tests.
    if words.iter().any(|word| word == "--list" || word == "--ignored") {
        return ExitCode::SUCCESS;
    }
    let full = words.iter().any(|word| word == "--full");
    words.retain(|word| !word.starts_with('-'));
    let limits = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits });
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    println!(
        "| attack | clients | turned away | before | peak | after | bound | others: p99 before | during | failed |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut failed = Vec::new();
    let chosen = attacks()
        .into_iter()
        .filter(|attack| words.is_empty() || words.iter().any(|word| attack.name.contains(word)));
    for attack in chosen {
        if !runtime.block_on(run(&attack, full)) {
            failed.push(attack.name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\nfailed: {}", failed.join(", "));
    ExitCode::FAILURE
}

/// One attack on a proxy of its own. False if it did harm.
async fn run(attack: &Attack, full: bool) -> bool {
    let (clients, time) =
        if full { (attack.clients, 20) } else { ((attack.clients / 20).max(8), 2) };
    let settled = Duration::from_millis(if full { 3000 } else { 500 });
    let origin = origin::start();
    let authority = attack.tls.then(Authority::new);
    let certificate = authority.as_ref().map_or_else(String::new, |authority| {
        format!("tls = {{ certificates = [{{ {} }}] }}", authority.issue("a", &[NAME]))
    });
    // A handshake of another client takes its time on a busy machine.
    let patience = if attack.tls { "10s" } else { "2s" };
    let config = format!(
        "[[listener]]\nhead_timeout = '{patience}'\nidle_timeout = '2s'\n{}\n{certificate}\n\
         [service.app]\nendpoints = ['{origin}']\ntimeouts = {{ idle = '2s' }}\n\
         [[route]]\nservice = 'app'\n\
         [telemetry]\naccess_log = {{ mode = 'off' }}\n",
        attack.listener
    );
    let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(65_536).min(65_536);
    let descriptors = u32::try_from(descriptors).unwrap_or(u32::MAX);
    let portolan = tokio::task::spawn_blocking(move || Portolan::apart(&config, descriptors));
    let portolan = portolan.await.expect("no panic");
    let (address, process) = (portolan.address(), portolan.process());
    let client = authority.as_ref().map(|authority| authority.client().0);
    let quiet = Bystanders::start(address, attack.greeting, client.as_ref());
    tokio::time::sleep(settled).await;
    let quiet = quiet.stop().await;
    let before = resident(process);
    let watch = Watch::start(process);
    let others = Bystanders::start(address, attack.greeting, client.as_ref());
    let pressure = Pressure::start(address, clients);
    let turned_away = (attack.perform)(pressure, Duration::from_secs(time)).await;
    let others = others.stop().await;
    let peak = watch.stop().await.max(before);
    // In full long enough for every timeout. What the allocator keeps, it keeps.
    tokio::time::sleep(settled).await;
    let after = resident(process);
    let bound = before + memory::SLACK + attack.each * clients as u64;
    println!(
        "| {} | {clients} | {turned_away} | {} | {} | {} | {} | {:.1} ms | {:.1} ms | {} of {} |",
        attack.name,
        mib(before),
        mib(peak),
        mib(after),
        mib(bound),
        quiet.p99().as_secs_f64() * 1e3,
        others.p99().as_secs_f64() * 1e3,
        others.failed.len() + quiet.failed.len(),
        others.took.len() + quiet.took.len(),
    );
    for failure in others.failed.iter().chain(&quiet.failed).take(5) {
        println!("    another client: {failure}");
    }
    let served = others.failed.is_empty() && quiet.failed.is_empty() && !others.took.is_empty();
    // It blocks, which a thread of a runtime must not.
    tokio::task::spawn_blocking(move || drop(portolan)).await.expect("no panic");
    served && peak <= bound
}
