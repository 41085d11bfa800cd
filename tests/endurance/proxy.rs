//! The proxy under test: the built program in a process of its own, and its
//! admin API.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, test_kill_process, waitpid};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

/// What has to happen has so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is looked at that takes its time.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// A running proxy. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// Where instances register.
    pub(crate) admin: SocketAddr,
    child: Child,
    /// Those that have taken over, one after the other.
    heirs: Vec<u32>,
    folder: TempDir,
}

impl Proxy {
    /// Starts `program` with the sections `service` of `[service.app]` and
    /// what an ordinary proxy has, and waits until it is ready.
    pub(crate) async fn start(program: &Path, service: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (address, admin) = (free_address()?, free_address()?);
        let path = |name: &str| folder.path().join(name);
        let config = format!(
            "[[listener]]\naddress = '{address}'\n\
             [admin]\naddress = '{admin}'\n\
             [registry]\ndata_dir = '{}'\n\
             [service.app]\n{service}\n\
             [[route]]\nservice = 'app'\n\
             [telemetry]\naccess_log = {{ mode = 'errors', format = 'json', path = '{}' }}\n",
            path("data").display(),
            path("access.log").display()
        );
        fs::write(path("proxy.toml"), config)?;
        let child = Command::new(program)
            .args(["run", "--config"])
            .arg(path("proxy.toml"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(path("log"))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut proxy = Self { address, admin, child, heirs: Vec::new(), folder };
        let begun = Instant::now();
        while !proxy.admin("GET", "/readyz", None).await.is_ok_and(|(status, _)| status == 200) {
            if begun.elapsed() > PATIENCE || proxy.child.try_wait()?.is_some() {
                bail!("the proxy does not start:\n{}", proxy.log());
            }
            sleep(POLL).await;
        }
        Ok(proxy)
    }

    /// A folder that goes with it.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The end of what it has logged.
    pub(crate) fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name));
        let tail = |name: &str, length| {
            let text = read(name).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(length).collect();
            let lines = lines.into_iter().rev().map(|line| format!("    {name}: {line}\n"));
            lines.collect::<String>()
        };
        tail("log", 15) + &tail("access.log", 5)
    }

    /// The instance that the exchange `path`, which failed, was last sent to.
    pub(crate) async fn failed_at(&self, path: &str) -> Option<String> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            let log = fs::read_to_string(self.folder.path().join("access.log")).ok()?;
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = { lines }.find(|line| line["path"] == path) {
                return line["endpoint"].as_str().map(str::to_owned);
            }
            // It is written a little later.
            sleep(POLL).await;
        }
        None
    }

    /// The process that was started first, or the last one that took over.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.heirs.last().copied().or_else(|| self.child.id())
    }

    /// Notes that the process `pid` has taken over.
    pub(crate) fn took_over(&mut self, pid: u32) {
        self.heirs.push(pid);
    }

    /// Sends `signal` to the process that serves.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(number).context("it does not run")?;
        Ok(kill_process(pid, signal)?)
    }

    /// How many processes there are, of those that took over and the first.
    pub(crate) fn processes(&mut self) -> usize {
        let first = self.child.try_wait().is_ok_and(|status| status.is_none());
        let runs = |pid: &&u32| number(**pid).is_some_and(runs);
        usize::from(first) + self.heirs.iter().filter(runs).count()
    }

    /// Asks the admin API; answers with the status and the JSON.
    pub(crate) async fn admin(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(u16, Value)> {
        admin(self.admin, method, path, body).await
    }

    /// What `/api/v1/status` says.
    pub(crate) async fn status(&self) -> anyhow::Result<Value> {
        let (status, json) = self.admin("GET", "/api/v1/status", None).await?;
        anyhow::ensure!(status == 200, "status: {status} {json}");
        Ok(json)
    }

    /// The instance `id` of the service as the admin API shows it.
    pub(crate) async fn instance(&self, id: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/services/app/instances/{id}");
        let (status, json) = self.admin("GET", &path, None).await?;
        anyhow::ensure!(status == 200, "{path}: {status} {json}");
        Ok(json)
    }

    /// Everything that has happened by now, as pairs of a kind and an
    /// instance.
    pub(crate) async fn events(&self) -> anyhow::Result<Vec<(String, String)>> {
        // Whatever has happened by now comes before the mark.
        let mark = "/api/v1/services/mark/instances/mark";
        let body = json!({ "port": 1, "health": { "kind": "ttl" } });
        self.admin("PUT", mark, Some(body)).await?;
        let request = Request::get("/api/v1/events").header("last-event-id", "0-0");
        let read = async {
            let response = send(self.admin, request.header("host", self.admin.to_string())).await?;
            let (mut body, mut text) = (response.into_body(), String::new());
            while let Some(frame) = body.frame().await {
                text += &String::from_utf8_lossy(frame?.data_ref().unwrap_or(&Bytes::new()));
                if text.contains("\"mark\"") {
                    return Ok(text);
                }
            }
            bail!("the events ended: {text}")
        };
        let text = timeout(PATIENCE, read).await??;
        let events = text.split("\n\n").filter_map(|event| {
            let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
            let data: Value = serde_json::from_str(field("data:")?.trim()).ok()?;
            let instance = data["instance"].as_str().unwrap_or_default().to_owned();
            Some((field("event:")?.trim().to_owned(), instance))
        });
        Ok(events.collect())
    }

    /// Stops it as a service manager would.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let begun = Instant::now();
        while self.processes() > 0 {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "it does not stop:\n{}", self.log());
            sleep(POLL).await;
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for pid in self.heirs.iter().filter_map(|pid| number(*pid)).filter(|pid| runs(*pid)) {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

fn number(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed())
}

/// Whether a process that became a child of ours when its parent ended still
/// runs.
fn runs(pid: Pid) -> bool {
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(Some(_)) => false,
        Ok(None) => true,
        // Its parent has not ended yet.
        Err(_) => test_kill_process(pid).is_ok(),
    }
}

/// An address that nobody listens on.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A call of the admin API at `address`, or of anybody who answers in JSON. All
/// of them may be repeated, and one whose connection ended without an answer is,
/// once: on a machine without a core to spare the head of a call may come too
/// late.
pub(crate) async fn admin(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> anyhow::Result<(u16, Value)> {
    let method = Method::try_from(method)?;
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let once = || async {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("host", address.to_string())
            .header("content-type", "application/json");
        let response = send_with(address, request, body.clone()).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    };
    let unanswered = |error: &anyhow::Error| {
        let error = error.downcast_ref::<hyper::Error>();
        error.is_some_and(|error| error.is_canceled() || error.is_incomplete_message())
    };
    let call = async {
        match once().await {
            Err(error) if unanswered(&error) => once().await,
            answer => answer,
        }
    };
    timeout(PATIENCE, call).await.with_context(|| format!("{method} {path} takes for ever"))?
}

async fn send(
    address: SocketAddr,
    request: http::request::Builder,
) -> anyhow::Result<http::Response<hyper::body::Incoming>> {
    send_with(address, request, String::new()).await
}

async fn send_with(
    address: SocketAddr,
    request: http::request::Builder,
    body: String,
) -> anyhow::Result<http::Response<hyper::body::Incoming>> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?)
}
