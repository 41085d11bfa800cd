//! Members of etcd clusters, and what users do with them by other clients: the
//! JSON gateway, and `etcdctl` where that is not enough.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};

use super::{Server, free_port, http, installed};

/// A version of etcd that is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// That of the distribution, 3.4 or newer.
    Packaged,
    /// 3.5.1.
    Newer,
}

impl Version {
    pub(crate) const BOTH: [Self; 2] = [Self::Packaged, Self::Newer];

    fn program(self) -> PathBuf {
        match self {
            Self::Packaged => "etcd".into(),
            Self::Newer => installed("etcd/etcd"),
        }
    }
}

/// A member of a cluster, which keeps its data while it is restarted.
#[derive(Debug)]
pub(crate) struct Etcd {
    /// Where its clients connect.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) server: Server,
}

impl Etcd {
    /// Starts a cluster of one and waits until it serves.
    #[track_caller]
    pub(crate) fn start(version: Version) -> Self {
        Self::with(version, &[])
    }

    /// As [`Self::start`], with further `arguments`.
    #[track_caller]
    pub(crate) fn with(version: Version, arguments: &[&str]) -> Self {
        let mut all = Self::members(version, 1, arguments);
        let mut one = all.remove(0);
        one.wait();
        one
    }

    /// Starts one that speaks TLS only, to clients that show a certificate.
    #[track_caller]
    pub(crate) fn secured(ca: &str, cert: &str, key: &str) -> Self {
        let tls =
            ["--client-cert-auth", "--trusted-ca-file", ca, "--cert-file", cert, "--key-file", key];
        let mut all = Self::members(Version::Newer, 1, &tls);
        all.remove(0)
    }

    /// Starts a cluster of three.
    #[track_caller]
    pub(crate) fn cluster() -> Vec<Self> {
        Self::cluster_of(Version::Newer)
    }

    /// As [`Self::cluster`], of one version.
    #[track_caller]
    pub(crate) fn cluster_of(version: Version) -> Vec<Self> {
        Self::cluster_at(version, Ipv4Addr::LOCALHOST)
    }

    /// As [`Self::cluster_of`], for clients at another address of this machine
    /// too.
    #[track_caller]
    pub(crate) fn cluster_at(version: Version, ip: Ipv4Addr) -> Vec<Self> {
        let mut urls = "http://127.0.0.1:{port}".to_owned();
        if !ip.is_loopback() {
            urls = format!("{urls},http://{ip}:{{port}}");
        }
        let fast = ["--heartbeat-interval", "50", "--election-timeout", "500"];
        let more = [&fast[..], &["--listen-client-urls", &urls]].concat();
        let mut members = Self::members(version, 3, &more);
        for member in &mut members {
            member.wait();
        }
        members
    }

    #[track_caller]
    fn members(version: Version, count: usize, more: &[&str]) -> Vec<Self> {
        let ports: Vec<_> = (0..count).map(|_| (free_port(), free_port())).collect();
        let peer = |port: u16| format!("http://127.0.0.1:{port}");
        let peers: Vec<_> =
            ports.iter().enumerate().map(|(n, p)| format!("n{n}={}", peer(p.1))).collect();
        let peers = peers.join(",");
        let scheme = if more.contains(&"--cert-file") { "https" } else { "http" };
        let start = |(number, (client, port)): (usize, &(u16, u16))| {
            let (name, own) = (format!("n{number}"), peer(*port));
            let client_url = format!("{scheme}://127.0.0.1:{client}");
            let mut all =
                vec!["--name", &name, "--data-dir", "{folder}/data", "--log-level", "error"];
            all.extend(["--logger", "zap", "--initial-cluster-state", "new"]);
            all.extend([
                "--listen-client-urls",
                &client_url,
                "--advertise-client-urls",
                &client_url,
            ]);
            all.extend(["--listen-peer-urls", &own, "--initial-advertise-peer-urls", &own]);
            all.extend(["--initial-cluster", &peers]);
            let more: Vec<_> =
                more.iter().map(|it| it.replace("{port}", &client.to_string())).collect();
            all.extend(more.iter().map(String::as_str));
            let server = Server::start(version.program(), &all);
            Self { address: ([127, 0, 0, 1], *client).into(), server }
        };
        ports.iter().enumerate().map(start).collect()
    }

    /// Starts it again on its data.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.wait();
    }

    /// Starts all `members` of a cluster again on their data: one alone waits
    /// for others.
    #[track_caller]
    pub(crate) fn restart_all(members: &mut [Self]) {
        members.iter_mut().for_each(|member| member.server.restart());
        members.iter_mut().for_each(Self::wait);
    }

    #[track_caller]
    fn wait(&mut self) {
        let address = self.address;
        self.server.wait_until(|| {
            let answer = http::call(address, "GET", "/health", "");
            answer.is_ok_and(|answer| answer.body.contains("\"true\""))
        });
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A call of its JSON gateway that has to succeed.
    #[track_caller]
    pub(crate) fn call(&self, path: &str, body: &Value) -> Value {
        let answer = http::call(self.address, "POST", path, &body.to_string()).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// Puts a key.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, value: &str) {
        self.put_with(key, value, "0");
    }

    /// What stands under a key.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let answer = self.call("/v3/kv/range", &json!({ "key": BASE64.encode(key) }));
        let entry = answer["kvs"].as_array()?.first()?;
        let value = BASE64.decode(entry["value"].as_str().unwrap_or_default()).expect("base64");
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// Puts a key that goes with a lease.
    #[track_caller]
    pub(crate) fn put_with(&self, key: &str, value: &str, lease: &str) {
        let (key, value) = (BASE64.encode(key), BASE64.encode(value));
        self.call("/v3/kv/put", &json!({ "key": key, "value": value, "lease": lease }));
    }

    /// Deletes a key.
    #[track_caller]
    pub(crate) fn delete(&self, key: &str) {
        self.call("/v3/kv/deleterange", &json!({ "key": BASE64.encode(key) }));
    }

    /// A lease of `ttl` seconds.
    #[track_caller]
    pub(crate) fn grant(&self, ttl: u32) -> String {
        let lease = self.call("/v3/lease/grant", &json!({ "TTL": ttl.to_string() }));
        lease["ID"].as_str().expect("an id").to_owned()
    }

    /// Forgets all revisions but the newest.
    #[track_caller]
    pub(crate) fn compact(&self) {
        let newest = self.call("/v3/kv/range", &json!({ "key": BASE64.encode("x") }));
        let revision = newest["header"]["revision"].clone();
        self.call("/v3/kv/compaction", &json!({ "revision": revision, "physical": true }));
    }

    /// Whether it leads its cluster.
    pub(crate) fn leads(&self) -> bool {
        let answer = http::call(self.address, "POST", "/v3/maintenance/status", "{}");
        answer.is_ok_and(|answer| {
            let status = answer.json();
            !status["leader"].is_null() && status["leader"] == status["header"]["member_id"]
        })
    }
}

/// Runs `etcdctl`, which has to succeed.
#[track_caller]
pub(crate) fn etcdctl(arguments: &[&str]) {
    assert!(try_etcdctl(arguments), "{arguments:?}");
}

/// Whether `etcdctl` succeeds.
#[track_caller]
pub(crate) fn try_etcdctl(arguments: &[&str]) -> bool {
    let mut command = Command::new(installed("etcd/etcdctl"));
    let output = command.env("ETCDCTL_API", "3").args(arguments).output().expect("etcdctl");
    output.status.success()
}
