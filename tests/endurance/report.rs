//! What a run found: a few lines, what was expected, and a row for the record.

use std::{fs, io::Write, path::Path, thread::available_parallelism};

use crate::tally::Tally;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The run.
    pub(crate) run: &'static str,
    figures: Vec<String>,
    faults: Vec<String>,
    notes: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(run: &'static str) -> Self {
        let (figures, faults, notes) = (Vec::new(), Vec::new(), Vec::new());
        Self { run, figures, faults, notes }
    }

    /// A figure, for the record too.
    pub(crate) fn figure(&mut self, text: impl Into<String>) {
        self.figures.push(text.into());
    }

    /// What helps to find out, if it failed.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// A count that has to be `expected`.
    pub(crate) fn expect(&mut self, what: &str, found: u64, expected: u64) {
        self.figure(format!("{found} {what}"));
        if found != expected {
            self.faults.push(format!("{found} {what}, expected {expected}"));
        }
    }

    /// A count that has to be at most `most`.
    pub(crate) fn at_most(&mut self, what: &str, found: u64, most: u64) {
        self.figure(format!("{found} {what} (at most {most})"));
        if found > most {
            self.faults.push(format!("{found} {what}, expected at most {most}"));
        }
    }

    /// What has to hold.
    pub(crate) fn hold(&mut self, what: impl Into<String>, holds: bool) {
        if !holds {
            self.faults.push(format!("not so: {}", what.into()));
        }
    }

    /// The load of the run, and that there was some.
    pub(crate) fn load(&mut self, tally: &Tally) {
        self.figure(tally.to_string());
        self.hold("there was load", tally.ok() > 0);
        for line in tally.failures_in_words() {
            self.note(line);
        }
    }

    /// Whether everything was as expected.
    pub(crate) fn passed(&self) -> bool {
        self.faults.is_empty()
    }

    fn word(&self) -> &'static str {
        if self.passed() { "PASS" } else { "FAIL" }
    }

    /// Tells it.
    pub(crate) fn print(&self) {
        for figure in &self.figures {
            println!("  {figure}");
        }
        for note in self.notes.iter().take(30) {
            println!("  - {note}");
        }
        for fault in &self.faults {
            println!("  FAULT: {fault}");
        }
        println!("{} {}\n", self.word(), self.run);
    }

    /// Appends it to the table in `file`.
    pub(crate) fn record(&self, file: &Path, version: &str) -> std::io::Result<()> {
        let figures = self.figures.join("; ").replace('|', "\\|");
        let (today, machine) = (today(), machine());
        let mut file = fs::OpenOptions::new().append(true).create(true).open(file)?;
        writeln!(
            file,
            "| {today} | {machine} | {version} | {} | {figures} | {} |",
            self.run,
            self.word()
        )
    }
}

/// The date, in UTC.
fn today() -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// What kind of machine this is.
fn machine() -> String {
    let cores = available_parallelism().map_or(0, Into::into);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim().split('.').take(2).collect::<Vec<_>>().join(".");
    let memory = read("/proc/meminfo");
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib: u64 = memory
        .and_then(|memory| memory.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    format!("{cores} cores, Linux {kernel}, {} GiB", kib.div_ceil(1 << 20))
}
