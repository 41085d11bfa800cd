//! Figures: times in order, time on a processor, memory.

use std::{fs, time::Duration};

/// Times of the same thing.
#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn extend(&mut self, times: impl IntoIterator<Item = Duration>) {
        self.0.extend(times);
        self.0.sort_unstable();
    }

    /// `share` of the times are at or below this.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let index = (share * (self.0.len() - 1) as f64).round() as usize;
        self.0[index]
    }

    /// Median, 99th percentile and largest, in milliseconds.
    pub(crate) fn line(&self) -> String {
        let millis = |share| self.at(share).as_secs_f64() * 1e3;
        format!("{:9.2} {:9.2} {:9.2}", millis(0.5), millis(0.99), millis(1.0))
    }
}

/// Time that threads called `name` have spent on a processor.
pub(crate) fn time_of_threads(name: &str) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        // A thread may end while they are listed.
        let (Ok(comm), Ok(stat)) =
            (fs::read_to_string(path.join("comm")), fs::read_to_string(path.join("schedstat")))
        else {
            continue;
        };
        if comm.trim() == name {
            nanos += stat.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory of this process, in MiB.
pub(crate) fn memory() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = value.and_then(|text| text.trim().strip_suffix("kB")).unwrap_or("0");
    Ok(value.trim().parse::<u64>()? / 1024)
}
