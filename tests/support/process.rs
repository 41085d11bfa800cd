//! The built program in processes of its own: the one that a test started, and
//! those that took over from it.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, Once},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};

use super::{Message, PATIENCE, Portolan, eventually, portolan::Life};

/// The program, by a link in the folder of the test: what the link leads to
/// can be replaced.
pub(crate) const PROGRAM: &str = "portolan";

/// A process that runs the proxy, and those after it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    heirs: Mutex<Vec<u32>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command`, and waits until it says where it listens: at so many
    /// addresses for clients, and the admin address.
    pub(super) fn start(
        mut command: Command,
        listeners: usize,
    ) -> (Self, Vec<SocketAddr>, SocketAddr) {
        let mut process = Self::begin(&mut command);
        let (mut found, mut admin) = (Vec::new(), Vec::new());
        eventually(|| {
            found = process.addresses("clients connect to ");
            admin = process.addresses("services register at ");
            let exit = process.child.try_wait().expect("a child");
            assert!(exit.is_none(), "it ended: {exit:?} {:#?}", process.log);
            found.len() >= listeners && !admin.is_empty()
        });
        (process, found, admin[0])
    }

    fn begin(command: &mut Command) -> Self {
        static REAPER: Once = Once::new();
        // Processes that took over are the children of one that has ended.
        REAPER.call_once(|| {
            let own = Pid::from_raw(std::process::id().cast_signed());
            set_child_subreaper(own).expect("a reaper");
        });
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a process");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let kept = Arc::clone(&log);
        // A full pipe would stop it.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("no panic").push(line);
            }
        });
        Self { child, heirs: Mutex::default(), log }
    }

    /// Where fronts listen; told before the admin address is.
    pub(super) fn fronts(&self) -> Vec<SocketAddr> {
        self.addresses(" register at ")
    }

    /// The id of the process that was started first.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn addresses(&self, mark: &str) -> Vec<SocketAddr> {
        let log = self.log.lock().expect("no panic");
        let is_of = |line: &&String| mark != " register at " || line.contains("clients of ");
        let said =
            log.iter().filter(is_of).filter_map(|line| line.split_once(mark)?.1.split_once("://"));
        said.map(|(_, text)| text.trim_end_matches("/api/v1").parse().expect("an address"))
            .collect()
    }

    #[allow(clippy::print_stdout, reason = "shown beside the test that fails")]
    pub(super) fn kill(mut self) {
        if std::thread::panicking() {
            let log = self.log.lock().expect("no panic");
            log.iter().for_each(|line| println!("{line}"));
        }
        let heirs = std::mem::take(&mut *self.heirs.lock().expect("no panic"));
        for pid in &heirs {
            let _ = kill_process(pid_of(*pid), Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in &heirs {
            // Ours only once all between are gone.
            let _ = waitpid(Some(pid_of(*pid)), WaitOptions::empty());
        }
    }
}

fn pid_of(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).expect("the id of a process")
}

/// Sends `signal` to the process `number`.
#[track_caller]
pub(crate) fn signal(number: u32, signal: Signal) {
    kill_process(pid_of(number), signal).expect("a process");
}

impl Portolan {
    /// As [`Self::start`], in a process of its own. `prepare` may change how
    /// it is started; the folder is the one of the test.
    #[track_caller]
    pub(crate) fn spawned(text: &str, prepare: impl FnOnce(&mut Command, &Path)) -> Self {
        Self::in_process(text, |folder| {
            let program = folder.join(PROGRAM);
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_portolan"), &program).expect("a link");
            let mut command = Command::new(program);
            command.args(["run", "--config"]).arg(folder.join("proxy.toml"));
            command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
            prepare(&mut command, folder);
            command
        })
    }

    /// The id of the process that answers now.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        let status = self.admin("GET", "/api/v1/status", "").json();
        status["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("an id")
    }

    /// Has another process take over. Answers with its id.
    #[track_caller]
    pub(crate) fn upgrade(&self) -> u32 {
        let answer = self.try_upgrade();
        assert_eq!(answer.status(), 200, "{answer:?}");
        let pid = answer.json()["pid"].as_u64().expect("an id");
        pid.try_into().expect("an id")
    }

    /// Asks for another process to take over.
    #[track_caller]
    pub(crate) fn try_upgrade(&self) -> Message {
        let answer = self.admin("POST", "/api/v1/upgrade", "");
        if answer.status() == 200 {
            self.took_over(
                answer.json()["pid"].as_u64().expect("an id").try_into().expect("an id"),
            );
        }
        answer
    }

    /// Notes that the process `pid` has taken over, so that it ends with the
    /// test.
    pub(crate) fn took_over(&self, pid: u32) {
        if let Life::Apart(process) = &self.life {
            process.heirs.lock().expect("no panic").push(pid);
        }
    }

    /// Replaces the program by a script.
    pub(crate) fn replace_program(&self, script: &str) {
        let path = self.folder().join(PROGRAM);
        let new = self.folder().join("new");
        std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&new, mode).expect("a mode");
        std::fs::rename(new, path).expect("renamed");
    }

    /// Waits for the end of the process that was started first.
    #[track_caller]
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.apart_process().child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the process that was started first has ended.
    pub(crate) fn has_exited(&mut self) -> bool {
        self.apart_process().child.try_wait().expect("a child").is_some()
    }

    /// Whether a line of the log holds `text`.
    pub(crate) fn has_logged(&mut self, text: &str) -> bool {
        let log = Arc::clone(&self.apart_process().log);
        log.lock().expect("no panic").iter().any(|line| line.contains(text))
    }
}
