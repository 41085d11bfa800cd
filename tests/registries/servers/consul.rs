//! A Consul server of one node, and what its users do with it.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use super::{
    Server, free_port,
    http::{self, Answer},
    installed,
};

/// A Consul server that keeps its data while it is restarted.
#[derive(Debug)]
pub(crate) struct Consul {
    /// Where its HTTP API is.
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) server: Server,
    token: String,
}

impl Consul {
    /// Starts one and waits until it has a leader.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// As [`Self::start`], with further `arguments`.
    #[track_caller]
    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::with_token("", arguments)
    }

    /// As [`Self::with`]; all calls are made with `token`.
    #[track_caller]
    pub(crate) fn with_token(token: &str, arguments: &[&str]) -> Self {
        let http = free_port();
        let ports = [http, free_port(), free_port(), free_port()].map(|port| port.to_string());
        let [http_text, serf_lan, serf_wan, rpc] = &ports;
        let mut all = vec!["agent", "-server", "-bootstrap-expect", "1", "-node", "one"];
        all.extend(["-bind", "127.0.0.1", "-client", "127.0.0.1", "-data-dir", "{folder}/data"]);
        all.extend(["-http-port", http_text, "-dns-port", "-1", "-grpc-port", "-1"]);
        all.extend(["-serf-lan-port", serf_lan, "-serf-wan-port", serf_wan]);
        all.extend(["-server-port", rpc, "-log-level", "warn"]);
        // An election within a moment, as a cluster of one can have it.
        all.extend(["-hcl", "performance { raft_multiplier = 1 }"]);
        all.extend(arguments);
        let server = Server::start(installed("consul/usr/bin/consul"), &all);
        let address = (Ipv4Addr::LOCALHOST, http).into();
        let mut consul = Self { address, server, token: token.to_owned() };
        consul.wait();
        consul
    }

    /// Starts it again on its data, after a kill or in place of what runs.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.wait();
    }

    /// Starts it again with nothing in it.
    #[track_caller]
    pub(crate) fn restart_empty(&mut self) {
        self.server.kill();
        self.server.erase("data");
        self.restart();
    }

    fn wait(&mut self) {
        let address = self.address;
        self.server.wait_until(|| {
            let leader = http::call(address, "GET", "/v1/status/leader", "");
            let known = |path| {
                http::call(address, "GET", path, "").is_ok_and(|answer| answer.status == 200)
            };
            leader.is_ok_and(|answer| answer.status == 200 && answer.body.contains(':'))
                && known("/v1/catalog/services")
        });
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A call of its API.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}token={}", self.token);
        http::call(self.address, method, &path, body).expect("an answer")
    }

    /// A call of its API that has to succeed.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.call("PUT", path, &body);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }

    /// Registers the instance `id` of `service` at `address` with its agent,
    /// without a check, and with what `more` says.
    #[track_caller]
    pub(crate) fn register(&self, service: &str, id: &str, address: SocketAddr, more: &Value) {
        let mut body = json!({
            "ID": id, "Name": service,
            "Address": address.ip().to_string(), "Port": address.port(),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key.as_str()] = value.clone();
        }
        self.put("/v1/agent/service/register", &body);
    }

    /// Takes the instance `id` out.
    #[track_caller]
    pub(crate) fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), &Value::Null);
    }

    /// Tells the status of a TTL check: `pass`, `warn` or `fail`.
    #[track_caller]
    pub(crate) fn report(&self, id: &str, status: &str) {
        self.put(&format!("/v1/agent/check/{status}/service:{id}"), &Value::Null);
    }
}
