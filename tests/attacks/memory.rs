//! How much memory a process holds.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

/// What may come on top whatever the number of clients: arenas of the
/// allocator, and buffers that are kept.
pub(crate) const SLACK: u64 = 48 << 20;

/// Bytes that `process` holds in memory.
pub(crate) fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Looks at a process until it is stopped.
#[derive(Debug)]
pub(crate) struct Watch {
    task: JoinHandle<()>,
    peak: Arc<AtomicU64>,
}

impl Watch {
    pub(crate) fn start(process: u32) -> Self {
        let peak = Arc::<AtomicU64>::default();
        let seen = Arc::clone(&peak);
        let task = tokio::spawn(async move {
            loop {
                seen.fetch_max(resident(process), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { task, peak }
    }

    /// The most it has seen.
    pub(crate) async fn stop(self) -> u64 {
        self.task.abort();
        let _ = self.task.await;
        self.peak.load(Ordering::Relaxed)
    }
}
