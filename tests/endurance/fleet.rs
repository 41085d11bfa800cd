//! The instances: processes of this binary, registered by the handshake or run
//! by `portolan exec`.

use std::{
    collections::HashMap,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use crate::{
    backend::Stats,
    proxy::{PATIENCE, Proxy, admin},
};

/// One instance. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Its id, and what it calls itself.
    pub(crate) id: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
    /// It lives for as long as this; to wait for a child closes what it has.
    _stdin: Option<ChildStdin>,
}

/// How instances are started.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    folder: PathBuf,
    /// More arguments of each.
    arguments: Vec<String>,
    started: usize,
}

impl Fleet {
    /// One whose instances write down in `folder` what they processed.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("processed");
        fs::create_dir(&folder)?;
        Ok(Self { folder, arguments: Vec::new(), started: 0 })
    }

    /// What those to come are told.
    pub(crate) fn tell(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
    }

    /// The words that start the next one.
    fn command(&mut self) -> anyhow::Result<(String, Vec<String>)> {
        self.started += 1;
        let (id, started) = (format!("app-{}", self.started), self.started);
        let log = self.folder.join(format!("{started}"));
        let own = env::current_exe()?.display().to_string();
        let mut words = vec![own, "backend".to_owned(), "--name".to_owned(), id.clone()];
        words.extend(["--log".to_owned(), log.display().to_string()]);
        words.extend(self.arguments.iter().cloned());
        Ok((id, words))
    }

    /// Starts one that nobody knows of yet.
    pub(crate) async fn start(&mut self) -> anyhow::Result<Instance> {
        self.start_as(None).await
    }

    /// Starts one in the place of `dead`, at its address and with its id.
    pub(crate) async fn start_as(&mut self, dead: Option<&Instance>) -> anyhow::Result<Instance> {
        let (id, words) = self.command()?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        if let Some(dead) = dead {
            command.args(["--port", &dead.address.port().to_string()]);
        }
        // Its stdin is ours to hold: it ends when we do, whatever ends us.
        command.env_remove("PORT").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("a pipe")?);
        let line = timeout(PATIENCE, stdout.lines().next_line()).await??;
        let address = line.context("it says nothing")?.parse()?;
        let id = dead.map_or(id, |dead| dead.id.clone());
        Ok(Instance { id, address, _stdin: child.stdin.take(), child })
    }

    /// Starts one inside a `portolan exec` of `program`, and waits until it
    /// says that it is routable.
    pub(crate) async fn exec(&mut self, program: &Path, proxy: &Proxy) -> anyhow::Result<Instance> {
        let (id, words) = self.command()?;
        let mut child = Command::new(program)
            .args(["exec", &format!("app/{id}"), "--admin", &proxy.admin.to_string()])
            .args(["--port", "auto", "--health-path", "/healthz", "--ttl", "5s", "--"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("a pipe")?).lines();
        let mark = format!("app/{id} at ");
        let read = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, rest)) = line.split_once(&mark)
                    && let Some((address, "routable")) = rest.split_once(" is ")
                {
                    return Ok(address.parse()?);
                }
            }
            anyhow::bail!("{id} ended before it was routable")
        };
        let address = timeout(PATIENCE, read).await??;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Instance { id, address, _stdin: child.stdin.take(), child })
    }

    /// The numbers of all POSTs that were processed, and how often.
    pub(crate) fn processed(&self) -> anyhow::Result<HashMap<u64, u64>> {
        let mut counts = HashMap::new();
        for entry in fs::read_dir(&self.folder)? {
            for line in fs::read_to_string(entry?.path())?.lines() {
                *counts.entry(line.parse()?).or_default() += 1;
            }
        }
        Ok(counts)
    }
}

impl Instance {
    fn path(&self) -> String {
        format!("/api/v1/services/app/instances/{}", self.id)
    }

    /// Registers it, and waits until every worker routes to it. `more` is what
    /// the registration says beside its address.
    pub(crate) async fn register(
        &self,
        proxy: &Proxy,
        more: serde_json::Value,
    ) -> anyhow::Result<()> {
        let mut body = json!({ "address": self.address.to_string() });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let path = format!("{}?wait=routable&timeout=30s", self.path());
        let (status, view) = proxy.admin("PUT", &path, Some(body)).await?;
        ensure!(matches!(status, 200 | 201) && view["routed"] == true, "{path}: {status} {view}");
        Ok(())
    }

    /// Renews its lease.
    pub(crate) async fn heartbeat(&self, proxy: &Proxy) -> anyhow::Result<()> {
        let path = format!("{}/heartbeat", self.path());
        let (status, view) = proxy.admin("POST", &path, None).await?;
        ensure!(status == 200, "{path}: {status} {view}");
        Ok(())
    }

    /// Takes it out, waits until it is safe to exit, and kills it: nothing may
    /// be lost of that.
    pub(crate) async fn leave(mut self, proxy: &Proxy) -> anyhow::Result<()> {
        let path = format!("{}?wait=drained&timeout=30s", self.path());
        let (status, view) = proxy.admin("DELETE", &path, None).await?;
        ensure!(status == 200 && view["drained"] == true, "{path}: {status} {view}");
        ensure!(view["cut"] == 0, "{path}: {view}");
        Ok(self.kill().await?)
    }

    /// `kill -9`; it is gone when this returns.
    pub(crate) async fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill().await
    }

    /// SIGTERM, and nothing else: for one inside a `portolan exec`. It must
    /// end as the command does, by that signal.
    pub(crate) async fn terminate(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.context("it has ended")?, Signal::TERM)?;
        let status = timeout(PATIENCE, self.child.wait()).await??;
        ensure!(status.code() == Some(128 + 15), "{} ended with {status}", self.id);
        Ok(())
    }

    /// What it has counted.
    pub(crate) async fn stats(&self) -> anyhow::Result<Stats> {
        let (_, json) = admin(self.address, "GET", "/stats", None).await?;
        Ok(serde_json::from_value(json)?)
    }
}
