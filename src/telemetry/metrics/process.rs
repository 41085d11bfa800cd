//! The metrics that Prometheus expects of every process.
//!
//! What the system does not tell (no `/proc`) is left out, not shown as 0.

use std::{fs, sync::OnceLock, time::Duration};

use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// Clock ticks a second in `/proc/*/stat`: USER_HZ, which is 100 on every
/// architecture that this runs on.
const USER_HZ: f64 = 100.0;

/// It does not change, and `/proc/stat` is slow to read on large machines.
static START_TIME: OnceLock<Option<f64>> = OnceLock::new();

/// This process as it stands.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// Time on a processor, user and system.
    pub(super) cpu: Duration,
    /// In bytes.
    pub(super) resident_memory: Option<u64>,
    pub(super) open_fds: Option<u64>,
    /// None if there is no limit.
    pub(super) max_fds: Option<u64>,
    /// In seconds since 1970.
    pub(super) start_time: Option<f64>,
}

impl Process {
    pub(super) fn read() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            cpu: Duration::new(
                cpu.tv_sec.try_into().unwrap_or_default(),
                cpu.tv_nsec.try_into().unwrap_or_default(),
            ),
            resident_memory: resident_memory(),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
            start_time: *START_TIME.get_or_init(start_time),
        }
    }
}

fn resident_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn open_fds() -> Option<u64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing itself holds one of them open.
    u64::try_from(count).ok()?.checked_sub(1)
}

fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets and may hold
    // anything; the start is the 22nd, the 20th after the last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + ticks / USER_HZ)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_plausible() {
        let process = Process::read();
        assert!(process.cpu > Duration::ZERO);
        assert!(process.resident_memory > Some(1 << 20), "{process:?}");
        assert!(process.open_fds >= Some(3), "{process:?}");
        assert!(process.max_fds.is_none_or(|max| Some(max) >= process.open_fds), "{process:?}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let age = now - process.start_time.expect("on Linux");
        assert!((-2.0..86_400.0).contains(&age), "{age} s old");
    }
}
