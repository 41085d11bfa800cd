//! A minimal load balancer on Pingora: what somebody writes in an afternoon for
//! the work of the benchmark, and nothing besides.
//!
//!     pingora-peer ADDRESS ORIGIN...

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use pingora_core::{
    Error, ErrorType, Result,
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_http::RequestHeader;
use pingora_load_balancing::{LoadBalancer, selection::RoundRobin};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

const HOST: &[u8] = b"bench.test";
const PREFIX: &[u8] = b"/api";

struct Balancer {
    origins: Arc<LoadBalancer<RoundRobin>>,
    /// What request ids begin with, and how many there have been.
    start: u64,
    requests: AtomicU64,
}

#[async_trait]
impl ProxyHttp for Balancer {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn request_filter(&self, session: &mut Session, _: &mut ()) -> Result<bool> {
        let request = session.req_header();
        let host = request.headers.get("host").is_some_and(|host| host.as_bytes() == HOST);
        let path =
            request.raw_path().strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with(b"/"));
        if host && path {
            return Ok(false);
        }
        session.respond_error(404).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let origin = self.origins.select(b"", 4);
        let origin = origin.ok_or_else(|| Error::new(ErrorType::ConnectNoRoute))?;
        Ok(Box::new(HttpPeer::new(origin, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> Result<()> {
        let target = request.raw_path().strip_prefix(PREFIX).unwrap_or(b"/").to_vec();
        request.set_raw_path(&target)?;
        if let Some(client) = session.client_addr().and_then(|client| client.as_inet()) {
            request.insert_header("X-Forwarded-For", client.ip().to_string())?;
        }
        request.insert_header("X-Forwarded-Proto", "http")?;
        request.insert_header("X-Forwarded-Host", "bench.test")?;
        let number = self.requests.fetch_add(1, Relaxed);
        request.insert_header("X-Request-Id", format!("{:016x}{number:016x}", self.start))
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.peek().is_some_and(|argument| argument == "--version") {
        return println!("{}", env!("CARGO_PKG_VERSION"));
    }
    let (Some(address), origins) = (arguments.next(), arguments.collect::<Vec<_>>()) else {
        eprintln!("usage: pingora-peer ADDRESS ORIGIN...");
        std::process::exit(2);
    };
    let settings = ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: 4096,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let origins = LoadBalancer::try_from_iter(origins).expect("addresses of origins");
    let start = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos() as u64);
    let balancer = Balancer { origins: Arc::new(origins), start, requests: AtomicU64::new(0) };
    let mut service = http_proxy_service(&server.configuration, balancer);
    service.add_tcp(&address);
    server.add_service(service);
    server.run_forever();
}
