//! The admin API as a whole: requests through the router and over a socket.

mod access;
mod answers;
mod audit;
mod events;
mod listener;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode, request};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tower::ServiceExt;

use super::{
    audit::AuditLog,
    auth::hex,
    calls::{CALLS, Call},
    router::router,
    settings::{AdminSettings, Scope, TokenSettings},
    state::{AdminState, Connection},
};
use crate::control::testing::TestPlane;

const LOOPBACK: &str = "127.0.0.1:9900";
const NETWORK: &str = "10.0.0.1:9900";
const INSTANCE: &str = "/api/v1/services/orders/instances/a";

/// An admin address that is asked without a socket.
struct Admin {
    plane: TestPlane,
    state: AdminState,
    router: Router,
    settings: watch::Sender<Arc<AdminSettings>>,
    local: SocketAddr,
    peer: SocketAddr,
    audit: PathBuf,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The word of the problem.
    fn problem(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.body);
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert!(!body["title"].as_str().expect("a title").is_empty());
        assert!(!body["detail"].as_str().expect("a detail").is_empty());
        let kind = body["type"].as_str().expect("a type");
        kind.strip_prefix(super::TYPE_PREFIX).expect("one of ours").to_owned()
    }
}

fn token(name: &str, scope: Scope) -> TokenSettings {
    TokenSettings {
        name: name.to_owned(),
        sha256: hex(&Sha256::digest(format!("{name}-secret"))),
        scope,
        services: vec!["orders".to_owned()],
        addresses: Vec::new(),
    }
}

fn settings() -> AdminSettings {
    let token = vec![
        token("read", Scope::Read),
        token("orders", Scope::Register),
        token("admin", Scope::Admin),
    ];
    AdminSettings { token, ..AdminSettings::default() }
}

impl Admin {
    /// Bound to `local`, and asked from an address beside it.
    async fn at(local: &str, settings: AdminSettings) -> Self {
        let local: SocketAddr = local.parse().expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        let audit = folder.path().join("audit.log");
        let (sender, receiver) = watch::channel(Arc::new(settings));
        let log = AuditLog::open(Some(&audit)).expect("an audit log");
        let plane = TestPlane::start("").await;
        let state = AdminState::new(plane.control.clone(), receiver, local, log);
        let peer = if local.ip().is_loopback() { "127.0.0.1:5000" } else { "10.0.0.7:5000" };
        let peer = peer.parse().expect("an address");
        let router = router(state.clone());
        Self { plane, state, router, settings: sender, local, peer, audit, _folder: folder }
    }

    /// On loopback, without tokens: the defaults.
    async fn local() -> Self {
        Self::at(LOOPBACK, AdminSettings::default()).await
    }

    /// On the network, with a token of each scope.
    async fn remote() -> Self {
        Self::at(NETWORK, settings()).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (mut parts, body) = request.into_parts();
        parts.headers.entry("host").or_insert(self.local.to_string().parse().expect("a value"));
        parts.extensions.insert(Connection { peer: self.peer, local: self.local });
        let request = Request::from_parts(parts, body);
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let body = String::from_utf8(body.into()).expect("UTF-8");
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(request(method, path).body(Body::empty()).expect("a request")).await
    }

    /// With the token called `name`.
    async fn ask_as(&self, name: &str, method: &str, path: &str) -> Answer {
        let request =
            request(method, path).header("authorization", format!("Bearer {name}-secret"));
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    async fn put(&self, path: &str, body: &str) -> Answer {
        let request = request("PUT", path).header("content-type", "application/json");
        self.send(request.body(body.to_owned().into()).expect("a request")).await
    }

    async fn put_as(&self, name: &str, path: &str, body: &str) -> Answer {
        let request = request("PUT", path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {name}-secret"));
        self.send(request.body(body.to_owned().into()).expect("a request")).await
    }

    /// The audit log, once everything recorded is written.
    fn audited(self) -> Vec<Value> {
        let Self { state, router, audit, _folder, .. } = self;
        drop((state, router));
        let text = std::fs::read_to_string(audit).expect("an audit log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn request(method: &str, path: &str) -> request::Builder {
    Request::builder().method(method).uri(path)
}

/// The path of `call`, for the instance `orders/a`.
fn path_of(call: &Call) -> String {
    call.path.replace("{service}", "orders").replace("{id}", "a").replace("{source}", "east")
}

/// Calls whose answer ends by itself.
fn finite_calls() -> impl Iterator<Item = (&'static Call, &'static str, String)> {
    let finite = CALLS.iter().filter(|call| call.name != "events");
    finite.map(|call| (call, call.verb.as_str(), path_of(call)))
}
