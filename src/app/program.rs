//! How this process was started, to start another one like it.

use std::{
    env,
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Tells the new process that the socket to the old one is its standard input.
pub(super) const HANDOVER: &str = "PORTOLAN_HANDOVER";

/// What is meant for this process alone.
const OURS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// The file that this process was started from, by the name it was started by,
/// and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// This process. To be asked at the start: what lies at the path may be
    /// replaced later, which is the point.
    ///
    /// # Errors
    ///
    /// When the system does not say where the program is.
    pub(super) fn current() -> io::Result<Self> {
        let running = env::current_exe()?;
        let mut arguments = env::args_os();
        let name = arguments.next().unwrap_or_default();
        let path = started_by(Path::new(&name), &running).unwrap_or(running);
        Ok(Self { path, arguments: arguments.collect() })
    }

    /// Where the program is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts what lies at the path now, with the same arguments and
    /// environment, and a socket to this process.
    pub(super) fn start(&self) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::from(OwnedFd::from(theirs)));
        command.env(HANDOVER, std::process::id().to_string());
        for name in OURS {
            command.env_remove(name);
        }
        Ok((command.spawn()?, ours))
    }
}

/// The path by which `running` was started under `name`: a link in it may lead
/// to another file next time.
fn started_by(name: &Path, running: &Path) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == *running);
    if name.components().count() > 1 || name.is_absolute() {
        return std::path::absolute(name).ok().filter(is_it);
    }
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_kept_and_a_made_up_name_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("a path");
        let (real, link) = (folder.join("portolan-1"), folder.join("portolan"));
        std::fs::write(&real, "").expect("written");
        std::os::unix::fs::symlink("portolan-1", &link).expect("linked");
        assert_eq!(started_by(&link, &real), Some(link));
        assert_eq!(started_by(Path::new("./portolan"), &real), None);
        assert_eq!(started_by(Path::new("no-such-program"), &real), None);
    }
}
