//! What can go wrong, and whose fault it is.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::time::Instant;

use super::Unfit;
use crate::model::{InstanceKey, ServiceName};

/// Why an operation was refused. Nothing of a refused operation is visible
/// afterwards, with one exception that the docs of
/// [`Self::StoreFailed`] name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is no such instance; a registrant registers again.
    #[error("{key} is not registered")]
    NotFound {
        /// Which instance.
        key: InstanceKey,
    },
    /// The instance was made by another token, or by none.
    #[error("{key} was registered by somebody else")]
    Owned {
        /// Which instance.
        key: InstanceKey,
    },
    /// Another process has registered under the id since.
    #[error("{key} is of generation {generation} by now: another process has registered as it")]
    Replaced {
        /// The instance.
        key: InstanceKey,
        /// Its generation now.
        generation: u64,
    },
    /// `registry.max_services` is reached.
    #[error("there are {limit} services already, see registry.max_services")]
    TooManyServices {
        /// The setting.
        limit: u32,
    },
    /// `registry.max_instances_per_service` is reached.
    #[error("{service} has {limit} instances already, see registry.max_instances_per_service")]
    TooManyInstances {
        /// The full service.
        service: ServiceName,
        /// The setting.
        limit: u32,
    },
    /// The instance carries more than one may.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The disk is full. The same call succeeds once there is room.
    #[error("the disk of the registry is full")]
    StoreFull,
    /// The store cannot be written. If an fsync failed, what was refused may
    /// still be found after a restart: the disk did not say.
    #[error("the registry cannot be written: {reason}")]
    StoreFailed {
        /// What the store said.
        reason: StoreFault,
    },
    /// The registry was closed.
    #[error("the registry is closed")]
    Closed,
}

impl RegistryError {
    /// Whether the caller must change something: the same call will be
    /// refused again. Otherwise it may be repeated later as it is; every
    /// operation is idempotent.
    #[must_use]
    pub const fn is_callers_fault(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::Owned { .. }
            | Self::Replaced { .. }
            | Self::TooManyServices { .. }
            | Self::TooManyInstances { .. }
            | Self::Unfit(_) => true,
            Self::StoreFull | Self::StoreFailed { .. } | Self::Closed => false,
        }
    }
}

/// Why the store did not take a write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// No room, on disk or in the store.
    #[error("the disk is full")]
    Full,
    /// The disk refused a write. It is tried again at the next one: what was
    /// refused is written anew and flushed, so a success is one.
    #[error("the disk refused a write ({text})")]
    Write {
        /// SQLite's words.
        text: String,
    },
    /// The disk failed a read or an fsync. Nothing more is written until a
    /// restart: after a failed fsync, a second one that succeeds proves
    /// nothing about the first.
    #[error("the disk failed (SQLite code {code}: {text}); restart once it is mended")]
    Disk {
        /// SQLite's extended result code.
        code: i32,
        /// SQLite's words.
        text: String,
    },
    /// The store was found damaged while in use. Final, like `Disk`.
    #[error("the store is damaged ({text}); a restart will say more")]
    Damaged {
        /// SQLite's words.
        text: String,
    },
    /// The file or the file system is read-only.
    #[error("the store is read-only")]
    ReadOnly,
    /// Another program holds SQLite's write lock.
    #[error("another program is writing to the store")]
    Busy,
    /// etcd does not answer, or not as it should. What was being written when
    /// it stopped may have been written.
    #[error("etcd is out of reach: {text}")]
    Away {
        /// The words of the client.
        text: String,
    },
    /// etcd is not the one that holds this registry, or not any more. What is
    /// known stays.
    #[error("etcd is not the one that was known: {text}")]
    Foreign {
        /// What it has or lacks.
        text: String,
    },
    /// Anything else; tried again at the next write.
    #[error("{text}")]
    Other {
        /// SQLite's words.
        text: String,
    },
}

impl StoreFault {
    /// Whether only a restart ends it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::Damaged { .. })
    }
}

/// Whether the store takes writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It took the last one.
    Writable,
    /// It has been full since; the next write that fits ends it.
    Full {
        /// When it was first refused.
        since: Instant,
    },
    /// It fails.
    Failed {
        /// What it said.
        reason: StoreFault,
        /// When it first did.
        since: Instant,
    },
}

impl std::fmt::Display for StoreState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Writable => f.write_str("writable"),
            Self::Full { .. } => StoreFault::Full.fmt(f),
            Self::Failed { reason, .. } => reason.fmt(f),
        }
    }
}

/// Why the registry cannot start. It never starts empty instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A file or folder could not be used.
    #[error("cannot {doing} {path}: {source}; check registry.data_dir and its permissions")]
    File {
        /// What was tried: `create`, `open`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the store.
    #[error(
        "{path} is in use by {}; stop it, or give this one a registry.data_dir of its own",
        .holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process id that the lock file names.
        holder: Option<u32>,
    },
    /// The store is not whole.
    #[error("{path} is damaged: {found}; {}", rescue(.path))]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What the check said.
        found: String,
    },
    /// One row does not hold what it should.
    #[error("{path} has a bad row, {row}: {why}; {}", rescue(.path))]
    DamagedRow {
        /// The database.
        path: PathBuf,
        /// The row as `service/id`, escaped.
        row: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store is whole and lacks what was acknowledged later: its log is
    /// gone or cut off, or it is an older copy.
    #[error(
        "{path} ends at change {found}, and change {acknowledged} was acknowledged: \
         its log is gone or damaged, or it is an older copy. Put the right files back; or {}; \
         or take it as it is by removing {mark}",
        rescue(.path)
    )]
    Behind {
        /// The database.
        path: PathBuf,
        /// The commits that it holds.
        found: u64,
        /// The commits that were acknowledged.
        acknowledged: u64,
        /// The file that says so.
        mark: PathBuf,
    },
    /// There is no store where there was one.
    #[error(
        "{path} is gone, and {left} of it is still there. Put it back; or {}; \
         or move everything in its folder away to start empty",
        rescue(.path)
    )]
    StoreGone {
        /// Where the database should be.
        path: PathBuf,
        /// What shows that there was one.
        left: PathBuf,
    },
    /// There is no store, and there never was one.
    #[error("there is no store at {path}; check registry.data_dir")]
    NoStore {
        /// Where the database would be.
        path: PathBuf,
    },
    /// The file is a database of something else.
    #[error("{path} is not a registry (application id {found:#x}); move it away to start empty")]
    NotARegistry {
        /// The database.
        path: PathBuf,
        /// The application id found.
        found: i64,
    },
    /// The store was written by another version of the program.
    #[error(
        "{path} has format {found} and this version knows {known}; \
         run the version that wrote it, or carry it over with `portolan registry export` \
         of that one and `import` of this one"
    )]
    UnknownFormat {
        /// The database.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The one format that is known.
        known: i64,
    },
    /// SQLite cannot keep a write-ahead log beside the database.
    #[error(
        "{path} cannot have a write-ahead log (its journal mode stays {mode}); \
         put registry.data_dir on a local disk that is well"
    )]
    NoLog {
        /// The database.
        path: PathBuf,
        /// The journal mode that SQLite stays in.
        mode: String,
    },
    /// SQLite failed in another way.
    #[error("cannot {doing} {path}: {source}")]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// `registry.backend` is `etcd` and nobody said where that is.
    #[error("registry.backend is \"etcd\" and [registry.etcd] does not name its endpoints")]
    NoEtcd,
    /// The writer thread could not be started.
    #[error("cannot start the thread of the registry: {0}")]
    Thread(io::Error),
}

/// What helps when the database at `path` is not what it should be.
fn rescue(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path).display();
    format!(
        "put the newest snapshot in its place with \
         `portolan registry restore --data-dir {folder}`, which keeps what is there"
    )
}
