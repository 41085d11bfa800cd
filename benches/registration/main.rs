//! What a registration costs, and what the control plane costs at size.
//!
//! `cargo bench --bench registration` starts the real proxy in this process,
//! on port 0 and a folder of its own, and prints a report. It judges nothing:
//! what to look for stands in `docs/performance.md`.

#![allow(clippy::print_stdout, reason = "printing is what this is for")]

mod backend;
mod client;
mod figures;
mod proxy;
mod size;
mod split;
mod store;

use tokio::runtime::Builder;
use tracing_subscriber::fmt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    // Log lines are made, as they are in production, and then thrown away.
    fmt().compact().with_target(false).with_writer(std::io::sink).init();
    let runtime =
        Builder::new_multi_thread().worker_threads(2).thread_name("bench").enable_all().build()?;
    split::report(&runtime)?;
    size::report(&runtime)
}
