//! The real proxy in this process: every address on port 0, its data in a
//! folder that goes with it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use portolan::app::{self, Running};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

use super::{Connection, Message, eventually, process::Process};

/// A running proxy. It is stopped when dropped.
#[derive(Debug)]
pub(crate) struct Portolan {
    /// The addresses that clients connect to, in the order of the file.
    pub(crate) listeners: Vec<SocketAddr>,
    /// The admin address.
    pub(crate) admin: SocketAddr,
    /// The addresses of fronts, in the order of the file.
    pub(crate) fronts: Vec<SocketAddr>,
    pub(super) life: Life,
    folder: TempDir,
}

#[derive(Debug)]
pub(super) enum Life {
    Here(Box<Running>),
    Apart(Process),
    Over,
}

impl Portolan {
    /// Starts the proxy with the config `text`, in which what is not said is
    /// filled in for a test: addresses on port 0, two workers, a data folder,
    /// an access log with every request, and neither probes nor ejections
    /// unless `[defaults]` or the service asks for them: `outlier = {}` in
    /// `[defaults]` brings back what is the default outside of tests.
    #[track_caller]
    pub(crate) fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_config(folder.path(), text);
        Self::start_in(folder)
    }

    /// One service with a fixed endpoint at `address`, for all hosts and paths.
    #[track_caller]
    pub(crate) fn before(address: SocketAddr) -> Self {
        Self::with("", address)
    }

    /// As [`Self::before`], with more in the section of the service.
    #[track_caller]
    pub(crate) fn with(service: &str, address: SocketAddr) -> Self {
        Self::start(&format!(
            "[service.app]\nendpoints = ['{address}']\n{service}\n[[route]]\nservice = 'app'\n"
        ))
    }

    #[track_caller]
    fn start_in(folder: TempDir) -> Self {
        // What the proxy logs is shown beside the test that fails.
        let _ = tracing_subscriber::fmt().with_test_writer().without_time().compact().try_init();
        // `start` makes runtimes, which a thread of a runtime must not.
        let path = config_path(folder.path());
        let started = std::thread::spawn(move || app::start(&path)).join().expect("no panic");
        let running = started.unwrap_or_else(|error| panic!("{error}"));
        let (listeners, admin) = (running.listeners.clone(), running.admin);
        let fronts = running.fronts.clone();
        Self { listeners, admin, fronts, life: Life::Here(Box::new(running)), folder }
    }

    /// As [`Self::start`], in a process of its own that may open `descriptors`
    /// files and connections at once.
    #[track_caller]
    pub(crate) fn apart(text: &str, descriptors: u32) -> Self {
        Self::under(text, &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""))
    }

    /// As [`Self::start`], in a process of its own that a shell makes with
    /// `command`, in which `"$0" "$@"` runs the proxy.
    #[track_caller]
    pub(crate) fn under(text: &str, command: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_config(folder.path(), text);
        Self::spawn_in(folder, |folder| by_shell(folder, command))
    }

    /// As [`Self::start`], in the process that `command` makes, which is told
    /// the folder of the test.
    #[track_caller]
    pub(super) fn in_process(text: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_config(folder.path(), text);
        Self::spawn_in(folder, command)
    }

    #[track_caller]
    fn spawn_in(folder: TempDir, command: impl FnOnce(&Path) -> Command) -> Self {
        let config = fs::read_to_string(config_path(folder.path())).expect("a file");
        let config: Table = config.parse().expect("a config file");
        let listeners = config["listener"].as_array().expect("[[listener]]").len();
        let (process, listeners, admin) = Process::start(command(folder.path()), listeners);
        let fronts = process.fronts();
        Self { listeners, admin, fronts, life: Life::Apart(process), folder }
    }

    /// Ends a proxy apart at once, by SIGKILL, and starts it on the same data
    /// as [`Self::under`] does.
    #[track_caller]
    pub(crate) fn kill_and_start(mut self, command: &str) -> Self {
        self.stop();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"));
        Self::spawn_in(folder, |folder| by_shell(folder, command))
    }

    /// The process of a proxy apart.
    #[track_caller]
    pub(super) fn apart_process(&mut self) -> &mut Process {
        let Life::Apart(process) = &mut self.life else { panic!("it is in this process") };
        process
    }

    /// The process id of a proxy apart, that of the process that was started
    /// first.
    #[track_caller]
    pub(crate) fn process(&self) -> u32 {
        let Life::Apart(process) = &self.life else { panic!("it is in this process") };
        process.id()
    }

    /// Waits until a proxy apart that was told to stop has.
    #[track_caller]
    pub(crate) fn wait(&mut self) {
        self.exit();
    }

    /// Sends `signal` to a proxy that runs apart.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        super::signal(self.process(), signal);
    }

    /// Stops the proxy as a signal would, and starts it anew on the same data.
    #[track_caller]
    pub(crate) fn restart(self) -> Self {
        self.restart_with(|| {})
    }

    /// As [`Self::restart`], with what `meanwhile` does in between.
    #[track_caller]
    pub(crate) fn restart_with(mut self, meanwhile: impl FnOnce()) -> Self {
        self.stop();
        meanwhile();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"));
        Self::start_in(folder)
    }

    fn stop(&mut self) {
        match std::mem::replace(&mut self.life, Life::Over) {
            // It blocks, which a thread of a runtime must not.
            Life::Here(running) => drop(std::thread::spawn(move || running.stop()).join()),
            Life::Apart(process) => process.kill(),
            Life::Over => {}
        }
    }

    /// The address that clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listeners[0]
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address())
    }

    /// Sends `request` over a connection of its own and reads the response.
    #[track_caller]
    pub(crate) fn exchange(&self, request: impl AsRef<[u8]>) -> Message {
        self.connect().exchange(request)
    }

    /// Gets `target` from the host `test`, over a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Message {
        self.exchange(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n"))
    }

    /// Writes the config `text`, filled in as by [`Self::start`], in place of
    /// the old one and asks for a reload. Answers with what the reload said.
    #[track_caller]
    pub(crate) fn reload(&self, text: &str) -> Message {
        write_config(self.folder.path(), text);
        self.admin("POST", "/api/v1/config/reload", "")
    }

    /// Writes the config `text`, filled in as by [`Self::start`], in place of
    /// the old one, and leaves it to the proxy to notice.
    #[track_caller]
    pub(crate) fn write(&self, text: &str) {
        write_config(self.folder.path(), text);
    }

    /// The config file.
    pub(crate) fn config_file(&self) -> PathBuf {
        config_path(self.folder.path())
    }

    /// A call of the admin API; `body` is JSON, or empty.
    #[track_caller]
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> Message {
        self.admin_with(method, path, body, "")
    }

    /// As [`Self::admin`], with further header `fields`, a line each.
    #[track_caller]
    pub(crate) fn admin_with(&self, method: &str, path: &str, body: &str, fields: &str) -> Message {
        let length = body.len();
        Connection::open(self.admin).exchange(format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n{fields}\r\n{body}",
            self.admin
        ))
    }

    /// Registers the instance `name` (`service/id`) at `address` and waits
    /// until it is routed to.
    #[track_caller]
    pub(crate) fn register(&self, name: &str, address: SocketAddr) -> Message {
        let body = format!("{{\"address\": \"{address}\"}}");
        let answer = self.admin("PUT", &format!("{}?wait=routable", instance_path(name)), &body);
        assert!(matches!(answer.status(), 200 | 201), "{answer:?}");
        answer
    }

    /// The instance `name` (`service/id`) as the admin API shows it.
    #[track_caller]
    pub(crate) fn instance(&self, name: &str) -> Value {
        self.admin("GET", &instance_path(name), "").json()
    }

    /// Takes the instance `name` (`service/id`) out and waits until nothing is
    /// in flight on it.
    #[track_caller]
    pub(crate) fn deregister(&self, name: &str) -> Message {
        self.admin("DELETE", &format!("{}?wait=drained", instance_path(name)), "")
    }

    /// Requests in flight over all instances of `service`.
    #[track_caller]
    pub(crate) fn in_flight(&self, service: &str) -> u64 {
        let view = self.admin("GET", &format!("/api/v1/services/{service}"), "").json();
        let instances = view["instances"].as_array().expect("instances");
        instances.iter().map(|instance| instance["in_flight"].as_u64().expect("a count")).sum()
    }

    /// The value of the series `name`, labels included, as `/metrics` writes
    /// it; 0 if it is not there.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = self.admin("GET", "/metrics", "").text();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// How many requests ended for `reason`.
    #[track_caller]
    pub(crate) fn ended(&self, reason: &str) -> f64 {
        self.metric(&format!("portolan_requests_ended_total{{reason=\"{reason}\"}}"))
    }

    /// The lines of the access log so far.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The lines of the access log once there are `count`.
    #[track_caller]
    pub(crate) fn logged(&self, count: usize) -> Vec<Value> {
        eventually(|| self.access_log().len() >= count);
        self.access_log()
    }

    /// Waits for a line of the access log with `reason`.
    #[track_caller]
    pub(crate) fn logged_reason(&self, reason: &str) -> Value {
        let mut found = None;
        eventually(|| {
            found = self.access_log().into_iter().find(|line| line["reason"] == *reason);
            found.is_some()
        });
        found.unwrap_or_default()
    }
}

impl Drop for Portolan {
    fn drop(&mut self) {
        self.stop();
    }
}

fn instance_path(name: &str) -> String {
    let (service, id) = name.split_once('/').expect("service/id");
    format!("/api/v1/services/{service}/instances/{id}")
}

fn config_path(folder: &Path) -> PathBuf {
    folder.join("proxy.toml")
}

fn write_config(folder: &Path, text: &str) {
    let mut config: Table = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let path = |name: &str| folder.join(name).display().to_string();
    fill(&mut config, "workers", 2);
    fill(&mut config, "shutdown_timeout", "200ms");
    let listeners = config.entry("listener").or_insert_with(|| vec![Table::new()].into());
    for listener in listeners.as_array_mut().expect("[[listener]]") {
        fill(listener.as_table_mut().expect("a listener"), "address", "127.0.0.1:0");
    }
    if let Some(fronts) = config.get_mut("front") {
        for front in fronts.as_array_mut().expect("[[front]]") {
            fill(front.as_table_mut().expect("a front"), "address", "127.0.0.1:0");
        }
    }
    fill(section(&mut config, "admin"), "address", "127.0.0.1:0");
    fill(section(&mut config, "registry"), "data_dir", path("data"));
    let defaults = section(&mut config, "defaults");
    fill(section(defaults, "health"), "kind", "none");
    let mut nobody = Table::new();
    fill(&mut nobody, "connect_refused", false);
    fill(&mut nobody, "consecutive_failures", 0);
    fill(defaults, "outlier", nobody);
    let access_log = section(section(&mut config, "telemetry"), "access_log");
    fill(access_log, "mode", "all");
    fill(access_log, "format", "json");
    fill(access_log, "path", path("access.log"));
    // In one step: the proxy watches the file.
    let new = folder.join("proxy.toml.new");
    fs::write(&new, config.to_string()).expect("a file");
    fs::rename(new, config_path(folder)).expect("a file");
}

/// A command that runs the proxy as the shell's `command` says.
fn by_shell(folder: &Path, command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).args([env!("CARGO_BIN_EXE_portolan"), "run", "--config"]);
    shell.arg(config_path(folder)).current_dir(folder);
    shell
}

fn section<'a>(table: &'a mut Table, name: &str) -> &'a mut Table {
    let entry = table.entry(name).or_insert_with(|| Table::new().into());
    entry.as_table_mut().expect("a section")
}

fn fill(table: &mut Table, key: &str, value: impl Into<toml::Value>) {
    table.entry(key).or_insert_with(|| value.into());
}
