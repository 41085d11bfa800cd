//! What other programs watch the proxy by: `/livez`, `/readyz`, `/metrics`,
//! and the status call.

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    auth::Identity,
    calls::Param,
    problem::{Kind, Problem},
    request::Params,
    settings::Scope,
    state::AdminState,
};
use crate::control::view::StatusView;

/// The query of `/readyz`.
pub(super) const VERBOSE: &[Param] = &[Param {
    name: "verbose",
    about: "Say what readiness is made of. Needs the scope read.",
    shape: "boolean",
    required: false,
}];

/// Whether requests can be routed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadyView {
    /// Whether they can.
    pub ready: bool,
    /// What is still waited for; only told to those who may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<String>,
    /// What readiness is made of, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<ChecksView>,
}

/// What readiness is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChecksView {
    /// The table version that every worker routes by.
    pub version: u64,
    /// Whether the store takes writes, and if not, why.
    pub store: String,
    /// Whether the last reload took effect.
    pub config: bool,
    /// What needs a person.
    pub attention: Vec<String>,
}

pub(super) async fn livez(_: Params) -> &'static str {
    "ok\n"
}

pub(super) async fn readyz(
    State(admin): State<AdminState>,
    identity: Option<Extension<Identity>>,
    params: Params,
) -> Result<Response, Problem> {
    let reader = identity.filter(|identity| identity.need(Scope::Read).is_ok()).is_some();
    let verbose = params.flag("verbose")?;
    if verbose && !reader {
        return Err(Problem::new(Kind::Unauthorized, "?verbose needs a token"));
    }
    let waiting_for = admin.control().waiting_for();
    let checks = verbose.then(|| {
        let status = admin.control().status();
        ChecksView {
            version: status.version,
            store: status.store.state,
            config: status.config.last_reload_ok,
            attention: status.attention,
        }
    });
    let ready = waiting_for.is_empty();
    let view =
        ReadyView { ready, waiting_for: if reader { waiting_for } else { Vec::new() }, checks };
    let code = if view.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((code, Json(view)).into_response())
}

pub(super) async fn status(State(admin): State<AdminState>, _: Params) -> Json<StatusView> {
    Json(admin.control().status())
}

pub(super) async fn metrics(State(admin): State<AdminState>, _: Params) -> impl IntoResponse {
    let text = admin.control().metrics().await;
    // Prometheus parses by the type, and only OpenMetrics has an end.
    let kind = if text.ends_with("# EOF\n") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    ([(header::CONTENT_TYPE, kind)], text)
}
