//! Snapshots: exports of the store that are made while it is in use, for the
//! day when it is damaged.
//!
//! A number in the name says which is newer, since clocks are moved. A new one
//! is whole under its name or not there, and an old one goes only after that.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep};

use super::{
    OpenError, StoreState,
    export::{Export, ExportError, glance},
    folder::{make, write_whole},
    live::Live,
    store::Reader,
};

/// Their folder, in that of the store.
pub(super) const FOLDER: &str = "snapshots";

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(5);

/// What stays free on the disk beside a snapshot, at least; a snapshot must
/// not be what fills it.
const RESERVE: u64 = 4 << 20;

/// How the snapshots are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotReport {
    /// When the newest one was taken, and how many instances it holds.
    pub newest: Option<(SystemTime, u64)>,
    /// Snapshots taken by this process.
    pub taken: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Why the last attempt failed; none if it did not.
    pub failure: Option<String>,
}

/// Why there is no new snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file, or their folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It could be what fills the disk.
    #[error("the disk has too little room: {free} bytes are free, and {needed} have to be")]
    NoRoom {
        /// Bytes that are free.
        free: u64,
        /// Bytes that have to be.
        needed: u64,
    },
}

/// The snapshots of an open store.
#[derive(Debug)]
pub(super) struct Snapshots {
    data_dir: PathBuf,
    kept: usize,
    turn: Mutex<Turn>,
    report: Mutex<SnapshotReport>,
}

/// Held by whoever makes one.
#[derive(Debug)]
struct Turn {
    /// The store may be somebody else's by now.
    closed: bool,
    /// How many commits the newest one holds.
    commits: Option<u64>,
}

impl Snapshots {
    /// Those of the store in `data_dir`, of which `kept` are kept; with 0 none
    /// are made.
    pub(super) fn of(data_dir: &Path, kept: usize) -> Self {
        let newest = list(data_dir).ok().and_then(|all| first_line(&all.last()?.1));
        let newest = newest.and_then(|line| glance(&line));
        let turn = Turn { closed: false, commits: newest.map(|(_, commits, _)| commits) };
        let newest = newest.map(|(taken, _, instances)| (taken, instances));
        let report = SnapshotReport { newest, ..SnapshotReport::default() };
        let (turn, report) = (Mutex::new(turn), Mutex::new(report));
        Self { data_dir: data_dir.to_owned(), kept, turn, report }
    }

    pub(super) fn report(&self) -> SnapshotReport {
        lock(&self.report).clone()
    }

    /// Makes one unless the newest one holds all `commits` already.
    pub(super) fn take(&self, commits: u64) {
        self.take_in(&mut lock(&self.turn), commits);
    }

    /// Makes a last one if `wanted`, and none any more.
    pub(super) fn close(&self, wanted: Option<u64>) {
        let mut turn = lock(&self.turn);
        if let Some(commits) = wanted {
            self.take_in(&mut turn, commits);
        }
        turn.closed = true;
    }

    /// Lets them be made again, now that the store is ours again.
    pub(super) fn reopen(&self) {
        lock(&self.turn).closed = false;
    }

    fn take_in(&self, turn: &mut Turn, commits: u64) {
        let has_changed = commits > 0 && turn.commits != Some(commits);
        if turn.closed || self.kept == 0 || !has_changed {
            return;
        }
        let taken = take(&self.data_dir).and_then(|export| {
            prune(&self.data_dir, self.kept)?;
            Ok(export)
        });
        let mut report = lock(&self.report);
        match taken {
            Ok(export) => {
                turn.commits = Some(export.contents.commits);
                report.newest = Some((export.taken, export.registrations().len() as u64));
                report.taken += 1;
                report.failure = None;
            }
            Err(error) => {
                let failure = error.to_string();
                tracing::warn!(%failure, "no snapshot of the registry");
                report.failed += 1;
                report.failure = Some(failure);
            }
        }
    }
}

/// Makes a snapshot soon after the store has changed, but not before `every`
/// has passed since the one before. Runs until it is aborted.
pub(super) async fn run(snapshots: Arc<Snapshots>, live: Arc<Live>, every: Duration) {
    let mut last: Option<Instant> = None;
    let mut held = lock(&snapshots.turn).commits;
    loop {
        sleep(LOOK.min(every).max(Duration::from_millis(100))).await;
        let commits = live.commits();
        let is_early = last.is_some_and(|last| last.elapsed() < every);
        if held == Some(commits) || is_early || *live.store() != StoreState::Writable {
            continue;
        }
        let taking = Arc::clone(&snapshots);
        // It goes on when this task is aborted: whoever closes waits for it.
        let taken = tokio::task::spawn_blocking(move || taking.take(commits)).await;
        last = Some(Instant::now());
        if taken.is_ok() && snapshots.report().failure.is_none() {
            held = Some(commits);
        }
    }
}

/// Writes a snapshot of the store in `data_dir` beside those that are there.
pub(super) fn take(data_dir: &Path) -> Result<Export, SnapshotError> {
    let export = Export::of(Reader::beside(data_dir)?.read()?);
    let folder = data_dir.join(FOLDER);
    make(&folder)?;
    let failed = |source| SnapshotError::File { path: folder.clone(), source };
    let number = list(data_dir).map_err(failed)?.last().map_or(1, |(number, _)| number + 1);
    let path = folder.join(format!("{number:08}.jsonl"));
    let text = export.to_text();
    let failed = |source| SnapshotError::File { path: path.clone(), source };
    let free = free(&folder).map_err(failed)?;
    let needed = 2 * text.len() as u64 + RESERVE;
    if free < needed {
        return Err(SnapshotError::NoRoom { free, needed });
    }
    write_whole(&path, text.as_bytes()).map_err(failed)?;
    Ok(export)
}

/// Removes all but the newest `kept`, and what was never finished.
fn prune(data_dir: &Path, kept: usize) -> Result<(), SnapshotError> {
    let failed = |source| SnapshotError::File { path: data_dir.join(FOLDER), source };
    let all = list(data_dir).map_err(failed)?;
    for (_, path) in all.iter().take(all.len().saturating_sub(kept)) {
        fs::remove_file(path).map_err(failed)?;
    }
    Ok(())
}

/// The snapshots of the store in `data_dir`, oldest first.
pub(super) fn list(data_dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(data_dir.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_suffix(".jsonl").and_then(|number| number.parse().ok()) {
            all.push((number, path));
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// Reads the export at `path`.
pub(super) fn read(path: &Path) -> Result<Export, ExportError> {
    let text = fs::read(path).map_err(|error| ExportError::Unreadable(error.to_string()))?;
    Export::parse(&text)
}

fn first_line(path: &Path) -> Option<String> {
    let mut line = String::new();
    let file = BufReader::new(fs::File::open(path).ok()?);
    file.take(4096).read_line(&mut line).ok()?;
    Some(line)
}

/// Bytes that may still be written to the disk of `path`.
fn free(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half changed by a panic under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
