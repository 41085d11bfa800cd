//! Containers of a Docker engine as a source of instances: a real engine,
//! reached through a socket that the test can cut.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what it needs by failing without it"
)]

use std::{
    io,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

#[allow(unused_imports, reason = "these tests use a part of it")]
#[path = "support/mod.rs"]
mod support;

use support::{Portolan, eventually};

/// Something that serves HTTP; the compose file has it too.
const IMAGE: &str = "python:3.11-slim-bookworm";

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A container that runs until this is dropped.
struct Container(String);

impl Container {
    /// One that serves HTTP on port 8000, with the label of `service` and
    /// further `options`.
    fn run(service: &str, options: &[&str]) -> Self {
        let label = format!("portolan.service={service}");
        let mut all = vec!["run", "--detach", "--init", "--label", &label];
        all.extend(options);
        all.extend([IMAGE, "python3", "-m", "http.server", "8000", "--directory", "/usr/share"]);
        Self(docker(&all))
    }

    /// As Portolan calls it.
    fn id(&self) -> &str {
        &self.0[..12]
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", &self.0]).output();
    }
}

/// A socket that leads to the engine unless it is cut.
struct Socket {
    folder: TempDir,
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Socket {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("socket")).expect("a socket");
        let (is_cut, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (cut, streams) = (Arc::clone(&is_cut), Arc::clone(&open));
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let far = UnixStream::connect("/var/run/docker.sock").expect("an engine");
                let mut streams = streams.lock().expect("no panic");
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let mut from = from.try_clone().expect("a descriptor");
                    let mut to = to.try_clone().expect("a descriptor");
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                streams.extend([near, far]);
            }
        });
        Self { folder, is_cut, open }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

/// A name that no other run of this test has.
fn own_service() -> String {
    format!("web-{}", std::process::id())
}

fn proxy(socket: &Path, service: &str) -> Portolan {
    Portolan::start(&format!(
        "[defaults]\nhealth = {{ kind = 'tcp', interval = '1s', timeout = '1s' }}\n\
         [[source]]\nkind = 'docker'\nsocket = '{}'\n[[route]]\nservice = '{service}'\n",
        socket.display()
    ))
}

fn source(portolan: &Portolan) -> Value {
    portolan.admin("GET", "/api/v1/sources", "").json()["sources"][0].clone()
}

/// The ids of the instances of `service` that get requests.
fn routed(portolan: &Portolan, service: &str) -> Vec<String> {
    let view = portolan.admin("GET", &format!("/api/v1/services/{service}"), "").json();
    let all = view["instances"].as_array().cloned().unwrap_or_default();
    let routable = all.into_iter().filter(|view| view["routable"] == true);
    let mut ids: Vec<_> =
        routable.map(|view| view["id"].as_str().unwrap_or_default().to_owned()).collect();
    ids.sort();
    ids
}

fn ids(containers: &[&Container]) -> Vec<String> {
    let mut ids: Vec<_> = containers.iter().map(|one| one.id().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn containers_are_instances_as_long_as_they_run() {
    let (service, socket) = (own_service(), Socket::start());
    let port = ["--label", "portolan.port=8000"];
    let one = Container::run(&service, &port);
    let portolan = proxy(&socket.path(), &service);
    let has = |all: &[&Container]| {
        let expected = ids(all);
        eventually(|| routed(&portolan, &service) == expected);
    };
    has(&[&one]);
    assert_eq!(portolan.get("/").status(), 200);

    // Its own check decides too, and says what it says at once.
    let ill = "test ! -e /tmp/ill";
    let two = Container::run(
        &service,
        &[
            "--expose",
            "8000",
            "--health-cmd",
            ill,
            "--health-interval",
            "1s",
            "--health-retries",
            "1",
        ],
    );
    has(&[&one, &two]);
    docker(&["exec", two.id(), "touch", "/tmp/ill"]);
    has(&[&one]);
    let name = format!("{service}/{}", two.id());
    assert_eq!(portolan.instance(&name)["why"], "docker says DOWN");
    docker(&["exec", two.id(), "rm", "/tmp/ill"]);
    has(&[&one, &two]);

    docker(&["pause", one.id()]);
    has(&[&two]);
    docker(&["unpause", one.id()]);
    has(&[&one, &two]);

    // What cannot be an instance is said, and the others go on.
    let wrong = Container::run(&service, &["--label", "portolan.port=none"]);
    eventually(|| source(&portolan)["rejected"].to_string().contains("portolan.port"));
    has(&[&one, &two]);
    drop(wrong);

    // An engine out of reach is not one without containers.
    socket.cut();
    eventually(|| source(&portolan)["connected"] == false);
    docker(&["stop", "--time", "1", two.id()]);
    let three = Container::run(&service, &port);
    assert_eq!(portolan.get("/").status(), 200);
    assert_ne!(portolan.instance(&format!("{service}/{}", two.id())), Value::Null);
    socket.mend();
    has(&[&one, &three]);

    // The same container in another life, and at another address.
    docker(&["restart", "--time", "1", one.id()]);
    has(&[&one, &three]);
    drop((one, two, three));
    eventually(|| portolan.get("/").reason() == "no_healthy_instance");
    assert_eq!(source(&portolan)["connected"], true);
}

#[test]
fn the_network_is_chosen_and_tcp_leads_to_an_engine_too() {
    let service = format!("{}-net", own_service());
    let network = format!("{service}-back");
    docker(&["network", "create", &network]);
    let one = Container::run(&service, &["--label", "portolan.port=8000"]);
    docker(&["network", "connect", &network, one.id()]);
    let format = format!("{{{{(index .NetworkSettings.Networks {network:?}).IPAddress}}}}");
    let address = docker(&["inspect", "--format", &format, one.id()]);

    // What stands before an engine in place of its socket.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = UnixStream::connect("/var/run/docker.sock").expect("an engine");
            let (mut from, mut to) =
                (near.try_clone().expect("one"), far.try_clone().expect("one"));
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            let (mut from, mut to) = (far, near);
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    });
    let portolan = Portolan::start(&format!(
        "[defaults]\nhealth = {{ kind = 'tcp', interval = '1s', timeout = '1s' }}\n[[source]]\nkind = 'docker'\n\
         url = '{url}'\nnetwork = '{network}'\n[[route]]\nservice = '{service}'\n"
    ));
    let name = format!("{service}/{}", one.id());
    eventually(|| portolan.instance(&name)["routable"] == true);
    assert_eq!(portolan.instance(&name)["origin"], format!("http://{address}:8000"));
    assert_eq!(portolan.get("/").status(), 200);
    drop(one);
    docker(&["network", "rm", &network]);
}
