//! The command: how it is started, told and waited for.
//!
//! This process is the parent of whatever the command leaves behind, be it as
//! process 1 of a container or as a subreaper, so it takes in every child that
//! ends. That is why the command is not waited for by its handle: whoever
//! waits for any child gets that one too.

use std::{ffi::OsString, io, num::NonZeroU16, os::unix::process::CommandExt, process};

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, wait,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::model::InstanceKey;

/// What the command finds when it starts.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    /// The instance that it is.
    pub(super) key: &'a InstanceKey,
    /// The port that was found for it.
    pub(super) port: Option<NonZeroU16>,
    /// Whether it shares a terminal with this process.
    pub(super) terminal: bool,
}

/// A command that was started.
#[derive(Debug)]
pub(super) struct Command {
    process: Pid,
    children: tokio::signal::unix::Signal,
    code: Option<u8>,
}

impl Command {
    /// Starts the program `words[0]` with the rest as its arguments.
    ///
    /// # Errors
    ///
    /// It is not there or cannot be run; [`not_started`] tells which.
    pub(super) fn start(words: &[OsString], surroundings: &Surroundings<'_>) -> io::Result<Self> {
        // Before the start: a command may end before anybody listens.
        let children = signal(SignalKind::child())?;
        if getpid() != Pid::INIT {
            // Elsewhere than on Linux there is no such thing.
            set_child_subreaper(Some(getpid())).ok();
        }
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = process::Command::new(program);
        command
            .args(arguments)
            .env("PORTOLAN_SERVICE", surroundings.key.service.as_str())
            .env("PORTOLAN_INSTANCE", surroundings.key.id.as_str());
        if let Some(port) = surroundings.port {
            command.env("PORT", port.to_string());
        }
        if !surroundings.terminal {
            // What is sent to our group is for us to pass on. On a terminal
            // another group could not read from it.
            command.process_group(0);
        }
        let id = command.spawn()?.id();
        let process = i32::try_from(id).ok().and_then(Pid::from_raw);
        let process = process.ok_or_else(|| io::Error::other("a process without a number"))?;
        Ok(Self { process, children, code: None })
    }

    /// Sends it `signal`, if it has not ended.
    pub(super) fn signal(&self, signal: Signal) {
        if self.code.is_none() {
            // It ended just now, or has become another user's; no signal of
            // ours reaches it then.
            kill_process(self.process, signal).ok();
        }
    }

    /// Waits for its end and answers with its exit code, as a shell would.
    /// Takes in everybody else who ends meanwhile.
    pub(super) async fn ended(&mut self) -> u8 {
        loop {
            self.reap();
            if let Some(code) = self.code {
                return code;
            }
            self.children.recv().await;
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
            if process == self.process {
                self.code = exit_code(status);
            }
        }
    }
}

/// The exit code that a shell gives for `status`; none if it goes on.
fn exit_code(status: WaitStatus) -> Option<u8> {
    let signalled = status.terminating_signal().map(|signal| signal + 128);
    u8::try_from(status.exit_status().or(signalled)?).ok()
}

/// The exit code that a shell gives for a command that it cannot start.
pub(super) fn not_started(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}
