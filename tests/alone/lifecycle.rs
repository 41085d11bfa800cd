//! From the first signal to the exit code: who is still served, and for how
//! long.

use std::{
    net::TcpStream,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{Backend, Connection, Portolan, eventually, signal};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// The proxy in a process of its own, before `backend`; `settings` are those of
/// the file as a whole.
#[track_caller]
fn before(backend: &Backend, settings: &str) -> Portolan {
    let config = format!(
        "{settings}\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    );
    Portolan::spawned(&config, |_, _| {})
}

fn plain() -> Backend {
    Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

/// An instance that begins to answer at once and ends when it may.
fn slow() -> (Backend, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let backend = Backend::start(move |mut accepted| {
        while accepted.request().is_some() {
            accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbegin");
            while !gone.load(Ordering::SeqCst) && accepted.connection.is_open() {
                thread::sleep(Duration::from_millis(5));
            }
            accepted.send("-end");
        }
    });
    (backend, go)
}

/// A client that has the beginning of its answer.
#[track_caller]
fn begun(proxy: &Portolan) -> Connection {
    let mut client = proxy.connect();
    client.send(GET);
    client.read_until(b"begin").expect("a beginning");
    client
}

#[track_caller]
fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.args(arguments).output().expect("a process")
}

#[test]
fn each_way_to_end_has_its_exit_code() {
    for told in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let backend = plain();
        let mut proxy = before(&backend, "");
        assert_eq!(proxy.get("/").status(), 200);
        signal(proxy.pid(), told);
        assert_eq!(proxy.exit().code(), Some(0), "{told:?}");
        assert!(TcpStream::connect(proxy.address()).is_err());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let refused = run(&["run", "--config", &file("refused.toml", "wrkers = 2\n")]);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert_eq!(run(&["run", "--config", "/no/such/file"]).status.code(), Some(78));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let unbound = file(
        "unbound.toml",
        &format!(
            "[[listener]]\naddress = '127.0.0.1:0'\n[admin]\naddress = '192.0.2.1:1'\n\
             insecure = true\n[registry]\ndata_dir = '{}'\n",
            folder.path().join("data").display()
        ),
    );
    let unbound = run(&["run", "--config", &unbound]);
    assert_eq!(unbound.status.code(), Some(1), "{unbound:?}");
    assert_eq!(run(&["no-such-verb"]).status.code(), Some(2));
    let unreachable = run(&["status", "--admin", &format!("http://{taken}")]);
    assert_eq!(unreachable.status.code(), Some(3), "{unreachable:?}");
}

#[test]
fn a_second_signal_stops_at_once() {
    for (second, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::QUIT, 143)] {
        let (backend, _go) = slow();
        let mut proxy = before(&backend, "shutdown_timeout = '10m'");
        let mut client = begun(&proxy);
        signal(proxy.process(), Signal::TERM);
        eventually(|| TcpStream::connect(proxy.address()).is_err());
        assert!(!proxy.has_exited());
        signal(proxy.process(), second);
        assert_eq!(proxy.exit().code(), Some(code));
        let (rest, _) = client.read_to_end();
        assert_eq!(rest, b"", "it was cut");
    }
}

#[test]
fn a_second_signal_cuts_the_delay_too() {
    let backend = plain();
    let mut proxy = before(&backend, "shutdown_delay = '10m'");
    signal(proxy.process(), Signal::TERM);
    eventually(|| proxy.admin("GET", "/readyz", "").status() == 503);
    signal(proxy.process(), Signal::INT);
    assert_eq!(proxy.exit().code(), Some(130));
}

#[test]
fn readiness_goes_first_and_all_goes_on_for_the_delay() {
    let backend = plain();
    let mut proxy = before(&backend, "shutdown_delay = '1s'");
    let mut old = proxy.connect();
    assert_eq!(old.exchange(GET).status(), 200);
    assert_eq!(proxy.admin("GET", "/readyz", "").status(), 200);
    signal(proxy.process(), Signal::TERM);
    eventually(|| proxy.admin("GET", "/readyz", "").status() == 503);
    let answer = old.exchange(GET);
    assert_eq!((answer.status(), answer.field("connection")), (200, None));
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn who_is_in_the_queue_is_answered() {
    let backend = plain();
    let listener = "[[listener]]\nmax_connections = 2\n";
    let mut proxy = before(&backend, &format!("shutdown_timeout = '30s'\n{listener}"));
    let mut idle = proxy.connect();
    assert_eq!(idle.exchange(GET).status(), 200);
    let pid = proxy.process();
    // Nothing is accepted before the signal is there.
    signal(pid, Signal::STOP);
    let mut clients: Vec<_> = (0..20).map(|_| proxy.connect()).collect();
    for client in clients.iter_mut().chain([&mut idle]) {
        client.send(GET);
    }
    signal(pid, Signal::TERM);
    signal(pid, Signal::CONT);
    for client in clients.iter_mut().chain([&mut idle]) {
        let answer = client.read_response();
        assert_eq!(answer.status(), 200);
        // It may have been read before the signal was.
        if answer.field("connection").is_none() {
            client.wait_for_end();
        }
    }
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn the_answer_to_a_request_in_flight_says_that_it_is_the_last() {
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let backend = Backend::start(move |mut accepted| {
        while accepted.request().is_some() {
            while !gone.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let mut proxy = before(&backend, "shutdown_timeout = '30s'");
    let mut client = proxy.connect();
    client.send(GET);
    eventually(|| backend.requests().len() == 1);
    signal(proxy.process(), Signal::TERM);
    eventually(|| TcpStream::connect(proxy.address()).is_err());
    go.store(true, Ordering::SeqCst);
    let answer = client.read_response();
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn a_stream_ends_within_the_deadline_or_is_cut_after_it() {
    let (backend, go) = slow();
    let mut proxy = before(&backend, "shutdown_timeout = '30s'");
    let mut client = begun(&proxy);
    signal(proxy.process(), Signal::TERM);
    eventually(|| TcpStream::connect(proxy.address()).is_err());
    go.store(true, Ordering::SeqCst);
    assert_eq!(client.read_exact(4).expect("an end"), b"-end");
    assert_eq!(proxy.exit().code(), Some(0));

    let (backend, _go) = slow();
    let mut proxy = before(&backend, "shutdown_timeout = '300ms'");
    let mut client = begun(&proxy);
    signal(proxy.process(), Signal::TERM);
    let (rest, _) = client.read_to_end();
    assert_eq!(rest, b"", "it was cut");
    assert_eq!(proxy.exit().code(), Some(0));
    assert!(proxy.has_logged("cutting what is still in flight"));
}
