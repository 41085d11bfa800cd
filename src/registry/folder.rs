//! The folder of the store: made, locked, and flushed when a name in it
//! changes.
//!
//! Only its owner can enter a folder made here, since the store says where
//! traffic goes. The lock is held for as long as the value lives; the system
//! takes it back from a process that dies.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::OpenError;

/// The locked folder of a store.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|source| failed("create", path, source))?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            flush(parent.unwrap_or(Path::new(".")))?;
        }
        let lock = lock(&path.join("lock"))?;
        flush(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes `name` an empty file that only its owner can read; SQLite gives
    /// the files that it adds the same permissions.
    pub(super) fn create(&self, name: &str) -> Result<PathBuf, OpenError> {
        let path = self.file(name);
        for suffix in ["", "-wal", "-shm"] {
            remove(&self.file(&format!("{name}{suffix}")))?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed("create", &path, source))?;
        Ok(path)
    }

    /// Gives the finished file `from` the name `to`, durably.
    pub(super) fn publish(&self, from: &Path, to: &Path) -> Result<(), OpenError> {
        let file = File::open(from).map_err(|source| failed("open", from, source))?;
        file.sync_all().map_err(|source| failed("flush", from, source))?;
        fs::rename(from, to).map_err(|source| failed("create", to, source))?;
        flush(&self.path)
    }
}

/// Removes what an interrupted start left behind.
fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path, source))
        }
        _ => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| failed("open", path, source))?;
    match file.try_lock() {
        Ok(()) => {
            // The number is only a help for whoever finds the lock taken.
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            if let Err(error) = written {
                tracing::warn!(path = %path.display(), %error, "cannot write the process id");
            }
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            Err(OpenError::Locked { path: path.to_owned(), holder })
        }
        Err(TryLockError::Error(source)) => Err(failed("lock", path, source)),
    }
}

/// Makes the names in `folder` durable.
fn flush(folder: &Path) -> Result<(), OpenError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| failed("flush", folder, source))
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::File { doing, path: path.to_owned(), source }
}
