//! Notices that a file has changed, once it is whole.
//!
//! The folder is watched, since editors put a new file in the place of the
//! old one. A file that is open for writing is not read: its beginning alone
//! may be a sound file that says less. Whoever changes it without a pause is
//! waited for.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

/// A file that has not changed for this long has been changed.
const STILL: Duration = Duration::from_millis(40);

/// How late the system may tell of a change, where it does not tell of our own
/// reading: a link leads to a file in a folder that is not watched.
const DELAY: Duration = Duration::from_millis(250);

/// A file that is open for writing, and is not written to for this long, is
/// read all the same; so is one that is empty.
const ABANDONED: Duration = Duration::from_secs(5);

/// Whether the system tells when a file that was written to is closed.
const TELLS_CLOSE: bool = cfg!(target_os = "linux");

/// Watches one file.
#[derive(Debug)]
pub struct FileWatch {
    path: PathBuf,
    shared: Arc<Shared>,
    /// The changes that were answered for.
    handled: u64,
    _watcher: Option<RecommendedWatcher>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    told: Notify,
}

#[derive(Clone, Copy, Debug)]
struct State {
    changes: u64,
    /// Times that it was opened, by us or anybody.
    opens: u64,
    last: Instant,
    writing: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileWatch {
    /// Watches the file at `path` from now on, and takes it for changed: it may
    /// have been since it was read. Where it cannot be watched that is all
    /// that is told.
    pub fn start(path: &Path) -> Self {
        let state = State { changes: 1, opens: 0, last: Instant::now(), writing: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), told: Notify::new() });
        let watched = watcher(path, Arc::clone(&shared));
        if let Err(error) = &watched {
            tracing::warn!(%error, "changes of {} are not noticed", path.display());
        }
        Self { path: path.to_owned(), shared, handled: 0, _watcher: watched.ok() }
    }

    /// What the file holds after the next change. May be broken off and called
    /// again; nothing is lost by it.
    pub async fn changed(&mut self) -> String {
        loop {
            self.still().await;
            let changes = self.shared.state().changes;
            // What is told first may be that somebody else has opened it, who
            // goes on to change it.
            self.read().await.ok();
            let text = self.read().await;
            {
                let mut state = self.shared.state();
                if state.changes != changes {
                    continue;
                }
                // Whoever opens a file to write it anew empties it first, and
                // the system tells of it when that is done.
                let is_blank = text.as_ref().is_ok_and(|text| text.trim().is_empty());
                if is_blank && state.last.elapsed() < ABANDONED {
                    state.writing = true;
                    continue;
                }
            }
            self.handled = changes;
            // A file that is not there, or is not text, is no reason to reload.
            if let Ok(text) = text {
                return text;
            }
        }
    }

    /// Reads the file, and waits until it is told that it was opened. The
    /// system tells in order: then every change before that is known too,
    /// however late we are told.
    async fn read(&self) -> io::Result<String> {
        let opens = self.shared.state().opens;
        let text = tokio::fs::read_to_string(&self.path).await;
        let due = Instant::now() + DELAY;
        loop {
            let told = self.shared.told.notified();
            if self.shared.state().opens > opens || timeout_at(due, told).await.is_err() {
                return text;
            }
        }
    }

    /// Waits for a change, and then until nobody writes any more.
    async fn still(&self) {
        loop {
            let told = self.shared.told.notified();
            let state = *self.shared.state();
            if state.changes == self.handled {
                told.await;
                continue;
            }
            let due = state.last + if state.writing { ABANDONED } else { STILL };
            if Instant::now() >= due {
                return;
            }
            if timeout_at(due, told).await.is_err() {
                sleep_until(due).await;
            }
        }
    }
}

fn watcher(path: &Path, shared: Arc<Shared>) -> notify::Result<RecommendedWatcher> {
    let name = path.file_name().unwrap_or_default().to_owned();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let Some(told) = event.ok().and_then(|event| told(&event, &name)) else { return };
        let mut state = shared.state();
        match told {
            Told::Opened => state.opens += 1,
            Told::Changed { writing } => {
                state.changes += 1;
                state.last = Instant::now();
                state.writing = writing && TELLS_CLOSE;
            }
        }
        drop(state);
        shared.told.notify_one();
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// What an event says about the file.
enum Told {
    Opened,
    /// And whether more is to come.
    Changed {
        writing: bool,
    },
}

/// What `event` says about the file called `name`; none if nothing.
fn told(event: &Event, name: &OsStr) -> Option<Told> {
    let concerns = |path: &PathBuf| {
        let changed = path.file_name().unwrap_or_default();
        // Files that a cluster mounts change by a link called "..data".
        changed == name || changed.as_encoded_bytes().starts_with(b"..")
    };
    if !event.paths.iter().any(concerns) {
        return None;
    }
    match event.kind {
        EventKind::Access(AccessKind::Open(_)) => Some(Told::Opened),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
            Some(Told::Changed { writing: false })
        }
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => {
            Some(Told::Changed { writing: true })
        }
        // A new file is written next, but a new link has been already.
        _ => Some(Told::Changed { writing: false }),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn changed(watch: &mut FileWatch) -> String {
        timeout(PATIENCE, watch.changed()).await.expect("it changed")
    }

    #[tokio::test]
    async fn every_way_to_change_a_file_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proxy.toml");
        fs::write(&path, "0").expect("written");
        let mut watch = FileWatch::start(&path);
        assert_eq!(changed(&mut watch).await, "0", "it may have been written before");
        fs::write(&path, "1").expect("written");
        assert_eq!(changed(&mut watch).await, "1");
        fs::write(folder.path().join("new"), "2").expect("written");
        fs::rename(folder.path().join("new"), &path).expect("renamed");
        assert_eq!(changed(&mut watch).await, "2");
        fs::write(folder.path().join("other"), "3").expect("written");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("other", &path).expect("linked");
        assert_eq!(changed(&mut watch).await, "3");
        let quiet = timeout(Duration::from_millis(300), watch.changed()).await;
        assert!(quiet.is_err(), "nothing more has changed");
    }

    #[tokio::test]
    async fn a_file_is_read_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("proxy.toml");
        fs::write(&path, "old").expect("written");
        let mut watch = FileWatch::start(&path);
        assert_eq!(changed(&mut watch).await, "old");
        let mut file = fs::File::create(&path).expect("opened");
        file.write_all(b"one ").expect("written");
        let early = timeout(Duration::from_millis(500), watch.changed()).await;
        assert!(early.is_err(), "half of it: {early:?}");
        file.write_all(b"two").expect("written");
        drop(file);
        assert_eq!(changed(&mut watch).await, "one two");
        // Empty, and closed: nobody says that there is more to come.
        fs::write(&path, "").expect("written");
        let early = timeout(Duration::from_millis(500), watch.changed()).await;
        assert!(early.is_err(), "nothing of it: {early:?}");
        fs::write(&path, "three").expect("written");
        assert_eq!(changed(&mut watch).await, "three");
        fs::write(&path, "\n").expect("written");
        assert_eq!(changed(&mut watch).await, "\n", "in the end it is taken for what it is");
    }
}
