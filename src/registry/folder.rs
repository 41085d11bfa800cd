//! The folder of the store: made, locked, and flushed when a name in it
//! changes.
//!
//! Only its owner can enter a folder made here, since the store says where
//! traffic goes. The lock is held for as long as the value lives; the system
//! takes it back from a process that dies.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use super::{OpenError, StoreFault};

/// The locked folder of a store.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        make(path)?;
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
        create(&path).map_err(|source| failed("create", &path, source))?;
        Ok(path)
    }

    /// Gives the finished file `from` the name `to`, durably.
    pub(super) fn publish(&self, from: &Path, to: &Path) -> Result<(), OpenError> {
        let file = File::open(from).map_err(|source| failed("open", from, source))?;
        file.sync_all().map_err(|source| failed("flush", from, source))?;
        fs::rename(from, to).map_err(|source| failed("create", to, source))?;
        flush(&self.path)
    }

    /// Moves those of `names` that are there into a new folder under
    /// `folder`, one after the other and durably, and gives its path.
    pub(super) fn set_aside(&self, folder: &str, names: &[&str]) -> Result<PathBuf, OpenError> {
        let all = self.file(folder);
        make(&all)?;
        let free = |n: &u32| !all.join(n.to_string()).exists();
        let aside = all.join((1..).find(free).unwrap_or_default().to_string());
        make(&aside)?;
        for name in names {
            match fs::rename(self.file(name), aside.join(name)) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("move", &self.file(name), source));
                }
                _ => {}
            }
            // The next one may go only when this one is gone for good.
            flush(&aside)?;
            flush(&self.path)?;
        }
        Ok(aside)
    }

    /// What the system says to a write beyond the end of the store's files,
    /// since SQLite does not pass on why it refused one. None if it takes it.
    pub(super) fn refusal(&self, files: &[&str]) -> Option<StoreFault> {
        let size = |name: &&str| fs::metadata(self.file(name)).map_or(0, |file| file.len());
        let end = files.iter().map(size).max().unwrap_or(0);
        let path = self.file("probe");
        let tried = remove(&path).is_ok().then(|| create(&path)?.write_all_at(&[0; 4096], end));
        drop(remove(&path));
        match tried?.err()?.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Some(StoreFault::Full),
            io::ErrorKind::ReadOnlyFilesystem => Some(StoreFault::ReadOnly),
            _ => None,
        }
    }
}

/// Puts a file with `contents` in the place of `path`: as a whole, durably, or
/// not at all. Only its owner can read it.
///
/// # Errors
///
/// What the system says; then `path` is as it was.
pub fn write_whole(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let write = || {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = create(&unfinished)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(parent(path))?.sync_all()
    };
    write().inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

/// Makes the folder `path` durably, unless it is there.
pub(super) fn make(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| failed("create", path, source))?;
    resemble(path);
    flush(parent(path))
}

/// A new file that only its owner can read.
fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    resemble(path);
    Ok(file)
}

/// Gives what was just made to the owner of the folder that it is in: root
/// may mend what belongs to the user that the proxy runs as.
fn resemble(path: &Path) {
    let owner = |path| fs::metadata(path).map(|file| (file.uid(), file.gid()));
    if let (Ok(ours), Ok(theirs)) = (owner(path), owner(parent(path)))
        && ours != theirs
        && ours.0 == 0
        && let Err(error) = chown(path, Some(theirs.0), Some(theirs.1))
    {
        tracing::warn!(path = %path.display(), %error, "cannot give it to the folder's owner");
    }
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
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
    let is_new = !path.exists();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| failed("open", path, source))?;
    if is_new {
        resemble(path);
    }
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
