//! What a service manager passes and is told: the protocols of systemd, without
//! systemd.

use std::{
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{Backend, PATIENCE, Portolan, eventually, signal};

/// Becomes what follows it, with standard input and output as the first two
/// descriptors that are passed.
const PASSING: &str = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; \
    LISTEN_PID=$$ LISTEN_FDS=$PASSED LISTEN_FDNAMES=portolan.socket:admin exec \"$0\" \"$@\"";

/// A socket that is listened on.
fn bound() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

/// Has `command` run with `first` and `second` passed.
fn pass(command: &mut Command, first: TcpListener, second: Option<TcpListener>) {
    let program = command.get_program().to_owned();
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let mut passing = Command::new("sh");
    passing.args(["-c", PASSING]).arg(program).args(arguments);
    passing.env("PASSED", if second.is_some() { "2" } else { "1" });
    passing.stdin(Stdio::from(OwnedFd::from(first)));
    if let Some(second) = second {
        passing.stdout(Stdio::from(OwnedFd::from(second)));
    }
    *command = passing;
}

fn config(client: SocketAddr, admin: SocketAddr, backend: &Backend) -> String {
    format!(
        "[[listener]]\naddress = '{client}'\n[admin]\naddress = '{admin}'\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    )
}

fn plain() -> Backend {
    Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

#[test]
fn passed_sockets_are_accepted_on_and_outlive_upgrades() {
    let backend = plain();
    let ((client, at), (admin, admin_at)) = (bound(), bound());
    // Whoever connects before there is a process waits for it.
    let early = std::net::TcpStream::connect(at).expect("a connection");
    let proxy = Portolan::spawned(&config(at, admin_at, &backend), |command, _| {
        pass(command, client, Some(admin));
    });
    assert_eq!((proxy.address(), proxy.admin), (at, admin_at));
    let mut early = crate::support::Connection::over(early);
    assert_eq!(early.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n").status(), 200);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    proxy.upgrade();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
    }
}

#[test]
fn a_socket_for_clients_alone_is_enough() {
    let backend = plain();
    let (client, at) = bound();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxy = Portolan::spawned(&config(at, free, &backend), |command, _| {
        pass(command, client, None);
    });
    assert_eq!(proxy.address(), at);
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn a_socket_that_nobody_asked_for_is_an_error() {
    let (client, at) = bound();
    let folder = tempfile::tempdir().expect("a folder");
    let output = failing(folder.path(), client);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&at.to_string()) && said.contains("ListenStream="), "{said}");
}

/// With the tool of systemd in place of the shell.
#[cfg(feature = "outside")]
#[test]
fn systemd_itself_passes_sockets() {
    let backend = plain();
    // Free, and free again: the tool binds them itself.
    let (at, admin_at) = (bound().1, bound().1);
    let knocking = std::thread::spawn(move || {
        // It starts the program when somebody comes.
        eventually(|| std::net::TcpStream::connect(at).is_ok());
    });
    let proxy = Portolan::spawned(&config(at, admin_at, &backend), |command, _| {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        *command = Command::new("systemd-socket-activate");
        command.args(["-l", &at.to_string(), "-l", &admin_at.to_string()]);
        command.arg(program).args(arguments);
    });
    knocking.join().expect("no panic");
    assert_eq!((proxy.address(), proxy.admin), (at, admin_at));
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    proxy.upgrade();
    assert_eq!(proxy.get("/").status(), 200);
}

fn failing(folder: &Path, socket: TcpListener) -> Output {
    let file = folder.join("proxy.toml");
    let data = folder.join("data").display().to_string();
    let text = format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[admin]\naddress = '127.0.0.1:0'\n\
         [registry]\ndata_dir = '{data}'\n"
    );
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.args(["run", "--config"]).arg(file);
    pass(&mut command, socket, None);
    command.output().expect("a process")
}

/// What the service manager is told, message by message.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn listen(folder: &Path) -> (Self, std::path::PathBuf) {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        (Self { socket }, path)
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// The next message that holds `mark`, and those before it.
    #[track_caller]
    fn until(&self, mark: &str) -> (Vec<String>, String) {
        let mut before = Vec::new();
        loop {
            let message = self.next();
            if message.contains(mark) {
                return (before, message);
            }
            before.push(message);
        }
    }
}

#[test]
fn the_service_manager_is_told_how_it_is_going() {
    let backend = plain();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut manager = None;
    let mut proxy = Portolan::spawned(&config(free, free, &backend), |command, folder| {
        let (listening, path) = Manager::listen(folder);
        command.env("NOTIFY_SOCKET", path);
        manager = Some(listening);
    });
    let manager = manager.expect("it listens");
    manager.until("READY=1");
    manager.until("STATUS=1 service, 1/1 healthy");
    let body = r#"{"port": 1, "health": {"kind": "ttl"}}"#;
    proxy.admin("PUT", "/api/v1/services/other/instances/a", body);
    manager.until("STATUS=2 services, 1/2 healthy");

    signal(proxy.process(), Signal::HUP);
    let (before, reloading) = manager.until("RELOADING=1");
    assert!(!before.iter().any(|message| message.contains("READY=1")), "{before:?}");
    assert!(reloading.contains("MONOTONIC_USEC="), "in one message: {reloading}");
    manager.until("READY=1");

    let old = proxy.process();
    let new = proxy.upgrade();
    let (before, _) = manager.until(&format!("MAINPID={new}"));
    assert!(!before.iter().any(|message| message.contains("STOPPING=1")), "{before:?}");
    manager.until("READY=1");
    manager.until("STATUS=2 services, 1/2 healthy");
    assert_eq!(proxy.exit().code(), Some(0), "{old}");

    signal(new, Signal::TERM);
    let (before, _) = manager.until("STOPPING=1");
    assert!(!before.iter().any(|message| message.contains("STOPPING=1")), "{before:?}");
}

#[test]
fn the_watchdog_is_fed_while_everything_turns() {
    let backend = plain();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut manager = None;
    let mut proxy = Portolan::spawned(&config(free, free, &backend), |command, folder| {
        let (listening, path) = Manager::listen(folder);
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "400000");
        manager = Some(listening);
    });
    let manager = manager.expect("it listens");
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    let pid = proxy.process();
    signal(pid, Signal::STOP);
    manager.socket.set_nonblocking(true).expect("a socket");
    while manager.socket.recv(&mut [0; 4096]).is_ok() {}
    manager.socket.set_nonblocking(false).expect("a socket");
    signal(pid, Signal::CONT);
    manager.until("WATCHDOG=1");
    // The one that takes over is fed in its place, although the variable that
    // names the process for which the watchdog is meant named the old one.
    let new = proxy.upgrade();
    manager.until(&format!("MAINPID={new}"));
    assert_eq!(proxy.exit().code(), Some(0));
    std::thread::sleep(Duration::from_millis(1));
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    eventually(|| proxy.pid() == new);
}
