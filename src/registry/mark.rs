//! The mark: how many commits were acknowledged, beside the store.
//!
//! SQLite takes a log that is gone, or that ends at a flipped bit, for one that
//! was never longer. The mark is written after every commit, and never before
//! one is durable; so a store that ends before it has lost something, and one
//! that does not has not. It is not flushed: a process that dies leaves it as
//! it was, and after a power cut it may be behind, which only makes it say
//! less.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The mark of an open store.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    file: Option<File>,
    complained: bool,
}

impl Mark {
    /// What the mark at `path` says; none if there is none, or it cannot be
    /// read.
    pub(super) fn read(path: &Path) -> Option<u64> {
        let text = fs::read_to_string(path).ok()?;
        let read = text.trim_end().parse().ok();
        if read.is_none() {
            tracing::warn!(path = %path.display(), "the mark of the store cannot be read");
        }
        read
    }

    /// To be written at `path`.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, file: None, complained: false }
    }

    /// Says that `commits` were acknowledged. Best effort: without it less is
    /// noticed, and nothing is lost.
    pub(super) fn advance(&mut self, commits: u64) {
        // Always as long, so that it is one write over what was there.
        let text = format!("{commits:020}\n");
        let file = match self.file.take() {
            Some(file) => Ok(file),
            None => OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&self.path),
        };
        let written = file.and_then(|file| file.write_all_at(text.as_bytes(), 0).map(|()| file));
        match written {
            Ok(file) => self.file = Some(file),
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!(path = %self.path.display(), %error, "cannot write the mark");
            }
            Err(_) => {}
        }
    }
}
