//! Where lines go: a file or standard output, and what becomes of them when
//! it fails.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long an output that takes nothing more for the moment is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// An open file, or a copy of standard output.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    path: Option<PathBuf>,
    /// Whether the last write broke off within a line.
    torn: bool,
}

/// A write that failed.
#[derive(Debug)]
pub(super) struct Lost {
    /// Lines that were not written, or not to their end.
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

impl Output {
    /// Opens a file to append to, readable by its owner and group only, since
    /// it tells who asked for what; standard output without a path.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = match path {
            Some(path) => OpenOptions::new().append(true).create(true).mode(0o640).open(path)?,
            None => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        };
        Ok(Self { file, path: path.map(Path::to_owned), torn: false })
    }

    /// Opens the same path anew; without one there is nothing to do. On an
    /// error the file that is open stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if self.path.is_some() {
            *self = Self::open(self.path.as_deref())?;
        }
        Ok(())
    }

    /// Where lines go, for a message.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or("standard output".into(), |path| path.display().to_string())
    }

    /// Writes whole lines. What an earlier failure left of a line is ended
    /// first, so that it cannot swallow the next one.
    pub(super) fn write_lines(&mut self, lines: &[u8]) -> Result<(), Lost> {
        if self.torn {
            match self.write_all(b"\n") {
                Ok(()) => self.torn = false,
                Err((_, error)) => return Err(Lost { lines: count_lines(lines), error }),
            }
        }
        self.write_all(lines).map_err(|(written, error)| {
            self.torn = written > 0 && lines[written - 1] != b'\n';
            Lost { lines: count_lines(&lines[written..]), error }
        })
    }

    /// Tells how much was written when it fails.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        let mut blocked_since = None;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
                Ok(more) => {
                    written += more;
                    blocked_since = None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Who shares our standard output may have made it non-blocking.
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock
                        && blocked_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}
