//! A server as a process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock, Mutex,
        mpsc::{self, Sender},
    },
    thread,
    time::Instant,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::START;
use crate::support::signal;

/// A server in a process of its own. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    folder: TempDir,
}

impl Server {
    /// Starts `program` with `arguments`, in which `{folder}` is the folder of
    /// the server.
    #[track_caller]
    pub(crate) fn start(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display().to_string();
        let arguments =
            arguments.iter().map(|argument| argument.replace("{folder}", &path)).collect();
        let program = program.as_ref().to_owned();
        let mut server = Self { program, arguments, child: None, folder };
        server.restart();
        server
    }

    /// Waits until `is_ready`; a server that ends before that fails the test,
    /// with what it wrote.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, mut is_ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + START;
        while !is_ready() {
            let ended = self.child.as_mut().expect("started").try_wait().expect("a child");
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", self.log());
            assert!(Instant::now() < deadline, "it does not answer\n{}", self.log());
            thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Starts it again as it was, in the same folder.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = File::options().create(true).append(true).open(self.folder().join("log"));
        let log = log.expect("a log");
        // Killed by the kernel once the thread that started it is gone.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program).args(&self.arguments);
        command.current_dir(self.folder()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        self.child = Some(spawn(command));
    }

    /// Ends it at once, by SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Takes everything that it keeps on disk below `name`, in its folder.
    #[track_caller]
    pub(crate) fn erase(&self, name: &str) {
        fs::remove_dir_all(self.folder().join(name)).expect("a folder");
    }

    /// The process goes on but does nothing, as when its machine stalls.
    #[track_caller]
    pub(crate) fn stall(&self) {
        signal(self.id(), Signal::STOP);
    }

    /// Ends a stall.
    #[track_caller]
    pub(crate) fn resume(&self) {
        signal(self.id(), Signal::CONT);
    }

    /// Its process.
    #[track_caller]
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("started").id()
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The end of what it wrote.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(self.folder().join("log")).unwrap_or_default();
        let end = text.len().saturating_sub(8 << 10);
        String::from_utf8_lossy(&text[end..]).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command to start, and who is told of the process.
type Order = (Command, Sender<Child>);

/// Starts `command` on a thread that lives as long as the process: what a test
/// starts on its own thread would end with that.
#[track_caller]
fn spawn(command: Command) -> Child {
    static STARTER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in taken {
                let child = command.spawn().expect("a process");
                let _ = answer.send(child);
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = mpsc::channel();
    STARTER.lock().expect("no panic").send((command, answer)).expect("the starter");
    child.recv().expect("a process")
}
