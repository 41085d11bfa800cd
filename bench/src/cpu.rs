//! What the scheduler says a tree of processes has run, and where they run.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_setaffinity},
};

/// Keeps this thread, and what it starts from now on, on these cores.
pub(crate) fn stay_on(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None::<Pid>, &set)?)
}

/// Time that the process `root` and its descendants have run on a core, all
/// threads: the first number of `/proc/PID/task/TID/schedstat`, nanoseconds.
pub(crate) fn ran(root: u32) -> Duration {
    ran_by(root, |_| true)
}

/// As [`ran`], of the threads whose name `wanted` accepts.
pub(crate) fn ran_by(root: u32, wanted: impl Fn(&str) -> bool + Copy) -> Duration {
    let mut total = Duration::ZERO;
    let tasks = format!("/proc/{root}/task");
    for task in fs::read_dir(tasks).into_iter().flatten().flatten() {
        let path = task.path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        if wanted(name.trim())
            && let Ok(text) = fs::read_to_string(path.join("schedstat"))
            && let Some(nanos) = text.split(' ').next().and_then(|nanos| nanos.parse().ok())
        {
            total += Duration::from_nanos(nanos);
        }
        let children = fs::read_to_string(path.join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            total += ran_by(child, wanted);
        }
    }
    total
}

/// How busy the machine's cores were, all processes together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    at: Instant,
    ran: Duration,
}

impl Busy {
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        // user, nice, system, irq, softirq; not idle and not waiting. Steal is
        // other people's work, which is what is looked for.
        let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|index| ticks.get(*index)).sum();
        Self { at: Instant::now(), ran: Duration::from_millis(busy * 10) }
    }

    /// Cores that were busy since `before`, as a number of cores.
    pub(crate) fn since(self, before: Self) -> f64 {
        let ran = self.ran.saturating_sub(before.ran).as_secs_f64();
        ran / self.at.duration_since(before.at).as_secs_f64().max(1e-3)
    }
}
