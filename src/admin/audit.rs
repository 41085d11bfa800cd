//! The audit log: a line of JSON for each change that was asked for, refused
//! ones included.
//!
//! Lines go through a bounded queue to a thread of their own, so a slow disk
//! holds up nobody. When the queue is full lines are lost, and the next one
//! that is written says how many.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::SystemTime,
};

use serde::Serialize;

use crate::model::FrontApi;

/// Lines that may wait to be written.
const QUEUE: usize = 1024;

/// The longest text that a caller can put into one field, in bytes.
const MAX_TEXT: usize = 512;

/// One change that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AuditEntry {
    /// When, as RFC 3339 in UTC.
    pub(crate) time: String,
    /// The name of the token, `loopback`, `anyone` or `unknown`.
    pub(crate) who: String,
    /// The address it came from.
    pub(crate) from: String,
    /// `register`, `drain`, `deregister`, `reload`, `upgrade`, or `status` if
    /// a client of a front says something of its health.
    pub(crate) what: &'static str,
    /// The language it was asked for in, if it is that of another registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) front: Option<FrontApi>,
    /// What it was to change: `service/id`, `proxy.toml` or `process`.
    pub(crate) target: String,
    /// The status answered; for a change that is waited for, that of the
    /// change itself.
    pub(crate) status: u16,
    /// The word of the problem answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<&'static str>,
    /// The generation of the instance before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u64>,
    /// The generation of the instance after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u64>,
    /// How many entries before this one were lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl AuditEntry {
    /// The time as the log writes it.
    pub(crate) fn now() -> String {
        humantime::format_rfc3339_millis(SystemTime::now()).to_string()
    }

    /// `text` as far as one field may hold it.
    pub(crate) fn bounded(text: &str) -> String {
        text.char_indices()
            .take_while(|(at, _)| *at < MAX_TEXT)
            .map(|(_, character)| character)
            .collect()
    }
}

/// The audit log. What has been recorded is written by the time the last
/// clone is gone.
#[derive(Clone, Debug)]
pub struct AuditLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // Both are there until they are taken by `drop`.
    queue: Option<SyncSender<AuditEntry>>,
    writer: Option<JoinHandle<()>>,
    lost: AtomicU64,
}

impl AuditLog {
    /// Appends to the file at `path`, which only its owner may read; writes to
    /// the log, under the target `audit`, if there is no path.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or no thread be started.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let mut sink = match path {
            Some(path) => Sink::File(AppendFile::open(path)?),
            None => Sink::Log,
        };
        let (queue, entries) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_all(&entries, &mut sink))?;
        let lost = AtomicU64::new(0);
        let shared = Shared { queue: Some(queue), writer: Some(writer), lost };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Records an entry without waiting.
    pub(crate) fn record(&self, mut entry: AuditEntry) {
        let Some(queue) = &self.shared.queue else { return };
        entry.lost = self.shared.lost.swap(0, Ordering::Relaxed);
        let lost = entry.lost + 1;
        if queue.try_send(entry).is_err() {
            self.shared.lost.fetch_add(lost, Ordering::Relaxed);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

enum Sink {
    File(AppendFile),
    Log,
}

fn write_all(entries: &Receiver<AuditEntry>, sink: &mut Sink) {
    let mut failing = false;
    for entry in entries {
        let Ok(line) = serde_json::to_string(&entry) else { continue };
        let Sink::File(file) = sink else {
            tracing::info!(target: "audit", "{line}");
            continue;
        };
        let written = file.append(&line);
        if let Err(error) = &written {
            // The entry is worth more than the place it was meant for.
            tracing::info!(target: "audit", "{line}");
            if !failing {
                let path = file.path.display();
                tracing::error!("the audit log {path} cannot be written: {error}");
            }
        }
        failing = written.is_err();
    }
}

struct AppendFile {
    path: PathBuf,
    file: File,
}

impl AppendFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        if self.moved()? {
            *self = Self::open(&self.path)?;
        }
        // One write, so that lines of two processes do not mix.
        self.file.write_all(format!("{line}\n").as_bytes())
    }

    /// Whether somebody, log rotation for one, took the file away.
    fn moved(&self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        Ok(match std::fs::metadata(&self.path) {
            Ok(there) => (there.dev(), there.ino()) != (ours.dev(), ours.ino()),
            Err(_) => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn entry(target: &str) -> AuditEntry {
        AuditEntry {
            time: AuditEntry::now(),
            who: "ci".to_owned(),
            from: "10.0.0.7:5123".to_owned(),
            what: "register",
            front: None,
            target: target.to_owned(),
            status: 201,
            problem: None,
            before: None,
            after: Some(1),
            lost: 0,
        }
    }

    #[test]
    fn lines_are_appended_to_a_private_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        for round in ["first", "second"] {
            let log = AuditLog::open(Some(&path)).expect("opens");
            log.record(entry(round));
        }
        let text = std::fs::read_to_string(&path).expect("reads");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["target"], &lines[1]["target"]), (&"first".into(), &"second".into()));
        assert_eq!((&lines[0]["who"], &lines[0]["after"]), (&"ci".into(), &1.into()));
        assert!(lines[0].get("lost").is_none());
        let mode = std::fs::metadata(&path).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        let mut file = AppendFile::open(&path).expect("opens");
        file.append("before").expect("writes");
        std::fs::rename(&path, folder.path().join("audit.log.1")).expect("renames");
        file.append("after").expect("writes");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), "after\n");
    }

    #[test]
    fn a_full_queue_loses_lines_and_says_how_many() {
        let (queue, entries) = sync_channel(1);
        let shared = Shared { queue: Some(queue), writer: None, lost: AtomicU64::new(0) };
        let log = AuditLog { shared: Arc::new(shared) };
        for target in ["kept", "lost", "lost too"] {
            log.record(entry(target));
        }
        assert_eq!(entries.recv().expect("an entry").target, "kept");
        log.record(entry("next"));
        let next = entries.recv().expect("an entry");
        assert_eq!((next.target.as_str(), next.lost), ("next", 2));
    }

    #[test]
    fn one_field_holds_so_much() {
        assert_eq!(AuditEntry::bounded(&"é".repeat(1000)).len(), MAX_TEXT);
    }
}
