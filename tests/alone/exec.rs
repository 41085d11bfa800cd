//! `portolan exec`: real commands, real signals. The command that serves is
//! this test binary itself, told to be a server that knows nothing of
//! Portolan: it dies of SIGTERM as it stands.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Backend, Portolan, eventually};

const PROBED: &str = "[service.app]\n\
    health = { kind = 'tcp', interval = '100ms', unhealthy_after = 2 }\n\
    [[route]]\nservice = 'app'\n";

/// The toy server, in a process of its own; of the tests it is none.
#[test]
fn toy() {
    let Ok(folder) = env::var("EXEC_TOY") else { return };
    let variable = |name| env::var(name).expect(name);
    let port: u16 = variable("PORT").parse().expect("a port");
    let name = format!("{}/{}", variable("PORTOLAN_SERVICE"), variable("PORTOLAN_INSTANCE"));
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    for stream in listener.incoming().flatten() {
        let (name, folder) = (name.clone(), folder.clone());
        thread::spawn(move || serve(stream, &name, Path::new(&folder)));
    }
}

fn serve(mut stream: TcpStream, name: &str, folder: &Path) {
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
    while let Some(Ok(request)) = lines.next() {
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        if request.contains("/brief") {
            thread::sleep(Duration::from_millis(10));
        }
        if request.contains("/slow") {
            fs::write(folder.join("slow"), "").expect("a file");
            eventually(|| folder.join("go").exists());
        }
        let length = name.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        if stream.write_all(format!("{head}{name}").as_bytes()).is_err() {
            return;
        }
    }
}

/// A running `portolan exec`, and a folder for what it and its command write.
struct Exec {
    child: Child,
    folder: TempDir,
}

impl Exec {
    /// Starts one that talks to `admin`; `words` are the rest of the line.
    fn start(admin: SocketAddr, words: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let errors = fs::File::create(folder.path().join("errors")).expect("a file");
        // Shells start what they put into the background with signals ignored.
        let child = Command::new("env")
            .args(["--default-signal", env!("CARGO_BIN_EXE_portolan")])
            .args(["exec", "--admin", &admin.to_string()])
            .args(words)
            .current_dir(folder.path())
            .env("EXEC_TOY", folder.path())
            .env_remove("PORTOLAN_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("a process");
        Self { child, folder }
    }

    /// One with the toy as its command, once it is routed to.
    fn toy(proxy: &Portolan, name: &str, options: &[&str]) -> Self {
        let test = env::current_exe().expect("this binary").display().to_string();
        let command = ["--", &test, "exec::toy", "--exact", "--nocapture"];
        let exec =
            Self::start(proxy.admin, &[&[name, "--port", "auto"], options, &command].concat());
        eventually(|| exec.said().contains("is routable\n"));
        exec
    }

    /// What it and its command wrote to stderr.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("errors")).expect("a file")
    }

    /// Whether the command has written the file `name`.
    fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    fn read(&self, name: &str) -> String {
        eventually(|| self.has(name));
        fs::read_to_string(self.folder.path().join(name)).expect("a file")
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a number"), signal).expect("it runs");
    }

    /// Waits for its end.
    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually(|| {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// Waits for its end; its exit code.
    fn code(&mut self) -> i32 {
        let status = self.ended();
        status.code().unwrap_or_else(|| panic!("{status}: {}", self.said()))
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        // The second one makes it pass the first one on.
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::TERM);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn registered(proxy: &Portolan, id: &str) -> bool {
    let path = format!("/api/v1/services/app/instances/{id}");
    proxy.admin("GET", &path, "").status() == 200
}

#[test]
fn a_stop_reaches_the_command_when_nothing_is_on_its_way_to_it() {
    let proxy = Portolan::start(PROBED);
    let mut exec = Exec::toy(&proxy, "app/one", &["--tag", "blue", "--weight", "7"]);
    assert_eq!(proxy.get("/").text(), "app/one");
    let view = proxy.instance("app/one");
    assert_eq!((&view["weight"], &view["tags"][0]), (&7.into(), &"blue".into()));
    assert!(view["lease_left_ms"].is_u64(), "{view}");
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| exec.has("slow"));
    exec.signal(Signal::TERM);
    eventually(|| proxy.instance("app/one")["state"] == "draining");
    assert_eq!(proxy.get("/").reason(), "no_healthy_instance");
    assert_eq!(exec.child.try_wait().expect("a child"), None, "it waits for the slow one");
    fs::write(exec.folder.path().join("go"), "").expect("a file");
    assert_eq!(client.read_response().text(), "app/one", "it was finished, not cut");
    assert_eq!(exec.code(), 128 + 15);
    assert!(!registered(&proxy, "one"));
}

#[test]
fn a_second_stop_waits_for_nothing() {
    let proxy = Portolan::start(PROBED);
    let mut exec = Exec::toy(&proxy, "app/one", &["--drain-timeout", "1h"]);
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| exec.has("slow"));
    exec.signal(Signal::INT);
    eventually(|| exec.said().contains("SIGINT: draining app/one\n"));
    exec.signal(Signal::TERM);
    assert_eq!(exec.code(), 128 + 15);
    assert!(!registered(&proxy, "one"));
}

#[test]
fn a_drain_does_not_hold_up_a_stop_for_longer_than_it_may() {
    let proxy = Portolan::start(PROBED);
    let mut exec = Exec::toy(&proxy, "app/one", &["--drain-timeout", "200ms"]);
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| exec.has("slow"));
    exec.signal(Signal::QUIT);
    assert_eq!(exec.code(), 128 + 3);
    assert!(exec.said().contains("1 still in flight after 200ms; passing SIGQUIT on"));
}

#[test]
fn a_server_that_knows_nothing_is_replaced_and_nobody_notices() {
    let proxy = Portolan::start(PROBED);
    let mut current = Exec::toy(&proxy, "app", &[]);
    let over = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        let ask = || {
            let mut client = proxy.connect();
            let mut answers = Vec::new();
            while !over.load(Ordering::SeqCst) {
                // Not sent again when it fails, and most of the time under way.
                let request = "POST /brief HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n";
                answers.push(client.exchange(request));
            }
            answers
        };
        let clients = [scope.spawn(ask), scope.spawn(ask)];
        for _ in 0..5 {
            let next = Exec::toy(&proxy, "app", &[]);
            current.signal(Signal::TERM);
            assert_eq!(current.code(), 128 + 15, "{}", current.said());
            current = next;
        }
        over.store(true, Ordering::SeqCst);
        clients.map(|client| client.join().expect("no panic")).concat()
    });
    assert!(asked.len() > 10, "there was load");
    let failed: Vec<_> = asked.iter().filter(|answer| answer.status() != 200).collect();
    assert!(failed.is_empty(), "of {}: {failed:?}", asked.len());
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    let proxy = Portolan::start(PROBED);
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9)] {
        let words = ["app/one", "--port", "1", "--", "sh", "-c", script];
        assert_eq!(Exec::start(proxy.admin, &words).code(), code, "{script}");
        assert!(!registered(&proxy, "one"), "{script}");
    }
}

#[test]
fn what_cannot_be_started_is_told_as_a_shell_would() {
    let proxy = Portolan::start(PROBED);
    for (program, code) in [("/nowhere/to/be/found", 127), ("/", 126)] {
        let mut exec = Exec::start(proxy.admin, &["app/one", "--port", "1", "--", program]);
        assert_eq!(exec.code(), code);
        assert!(exec.said().contains(&format!("cannot start {program}: ")), "{}", exec.said());
        assert!(!registered(&proxy, "one"));
    }
    let mut usage = Exec::start(proxy.admin, &["app/one", "--", "true"]);
    assert_eq!(usage.code(), 2);
    let nobody = Backend::refusing();
    let words = ["app/one", "--port", "1", "--", "touch", "started"];
    let mut unreachable = Exec::start(nobody, &words);
    assert_eq!(unreachable.code(), 3);
    assert!(!unreachable.has("started"));
    let refused = Portolan::start("[registry]\nallow_loopback = false");
    let mut refused = Exec::start(refused.admin, &words);
    assert_eq!(refused.code(), 1, "{}", refused.said());
    assert!(!refused.has("started"));
}

#[test]
fn other_signals_are_passed_on_as_they_are() {
    let proxy = Portolan::start(PROBED);
    let script = "trap 'echo hup >>got' HUP; trap 'echo one >>got' USR1; \
        trap 'echo two >>got' USR2; trap 'echo winch >>got' WINCH; trap 'exit 5' TERM; \
        touch ready; while :; do sleep 0.02; done";
    let words = ["app/one", "--port", "1", "--", "sh", "-c", script];
    let mut exec = Exec::start(proxy.admin, &words);
    eventually(|| exec.has("ready"));
    let signals = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::WINCH];
    for (signal, word) in signals.into_iter().zip(["hup", "one", "two", "winch"]) {
        exec.signal(signal);
        eventually(|| exec.has("got") && exec.read("got").contains(word));
    }
    assert_eq!(exec.read("got"), "hup\none\ntwo\nwinch\n");
    exec.signal(Signal::TERM);
    assert_eq!(exec.code(), 5);
}

#[test]
fn orphans_of_the_command_are_taken_in() {
    let proxy = Portolan::start(PROBED);
    // The inner shell ends at once and leaves its child behind.
    let script = "sh -c 'sh -c \"until test -e go; do sleep 0.02; done\" & echo $! >orphan.new'; \
        mv orphan.new orphan; trap 'exit 0' TERM; while :; do sleep 0.02; done";
    let mut exec = Exec::start(proxy.admin, &["app/one", "--port", "1", "--", "sh", "-c", script]);
    let orphan = format!("/proc/{}/status", exec.read("orphan").trim());
    let parent = format!("PPid:\t{}\n", exec.child.id());
    eventually(|| fs::read_to_string(&orphan).is_ok_and(|status| status.contains(&parent)));
    fs::write(exec.folder.path().join("go"), "").expect("a file");
    eventually(|| !Path::new(&orphan).exists());
    exec.signal(Signal::TERM);
    assert_eq!(exec.code(), 0);
}

#[test]
fn a_proxy_that_is_gone_does_not_hold_up_a_stop() {
    let proxy = Portolan::apart(PROBED, 256);
    let mut exec = Exec::toy(&proxy, "app/one", &["--ttl", "1s"]);
    drop(proxy);
    eventually(|| exec.said().contains("cannot renew the lease: "));
    exec.signal(Signal::TERM);
    assert_eq!(exec.code(), 128 + 15);
    let said = exec.said();
    assert!(said.contains("cannot drain: ") && said.contains("passing SIGTERM on"), "{said}");
    assert!(said.contains("cannot deregister: "), "{said}");
}

#[test]
fn what_was_forgotten_comes_back() {
    let proxy = Portolan::start(PROBED);
    let exec = Exec::toy(&proxy, "app/one", &["--ttl", "1s"]);
    assert_eq!(proxy.deregister("app/one").status(), 200);
    eventually(|| registered(&proxy, "one"));
    eventually(|| proxy.get("/").status() == 200);
    eventually(|| exec.said().contains("app/one: registered again"));
}

#[test]
fn a_command_that_takes_its_time_to_listen_is_not_routed_to_before() {
    for health in ["{ kind = 'ttl' }", "{ kind = 'tcp', interval = '50ms' }"] {
        let config = format!("[service.app]\nhealth = {health}\n[[route]]\nservice = 'app'\n");
        let proxy = Portolan::start(&config);
        let test = env::current_exe().expect("this binary").display().to_string();
        let script = "until test -e start; do sleep 0.02; done; exec \"$0\" exec::toy --exact";
        let options = ["app/one", "--port", "auto", "--ttl", "1s", "--timeout", "3s"];
        let exec =
            Exec::start(proxy.admin, &[&options[..], &["--", "sh", "-c", script, &test]].concat());
        eventually(|| exec.said().contains("is not routable after 3s: "));
        assert_eq!(proxy.get("/").reason(), "no_healthy_instance", "{health}");
        let view = proxy.instance("app/one");
        assert_ne!(view["lease_left_ms"], 0, "its lease is renewed: {view}");
        fs::write(exec.folder.path().join("start"), "").expect("a file");
        eventually(|| exec.said().contains("is routable\n"));
        assert_eq!(proxy.get("/").text(), "app/one");
    }
}

#[test]
fn a_command_that_never_listens_is_stopped_if_that_is_wanted() {
    let proxy = Portolan::start(PROBED);
    let script = "trap 'touch stopped; exit 0' TERM; while :; do sleep 0.02; done";
    let options = ["app/one", "--port", "auto", "--wait", "--timeout", "300ms"];
    let words = [&options[..], &["--", "sh", "-c", script]].concat();
    let mut exec = Exec::start(proxy.admin, &words);
    assert_eq!(exec.code(), 1);
    assert!(exec.has("stopped") && !registered(&proxy, "one"), "{}", exec.said());
}
