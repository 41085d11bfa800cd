//! `proxy.toml`: check a text or the file on disk, and take the file into use,
//! in this process or a new one.

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};

use super::{
    problem::{Kind, Problem},
    request::{self, Params},
    state::AdminState,
};
use crate::control::view::ReloadView;

/// The longest `proxy.toml` that is checked, in bytes: one with ten thousand
/// services fits.
const MAX_BODY: usize = 4 * 1024 * 1024;

pub(super) async fn check(
    State(admin): State<AdminState>,
    _: Params,
    body: Body,
) -> Result<Json<ReloadView>, Problem> {
    let body = request::read(body, MAX_BODY).await?;
    let text = match String::from_utf8(body.into()) {
        Ok(text) => Some(text).filter(|text| !text.is_empty()),
        Err(error) => return Err(Problem::new(Kind::BadRequest, error.to_string())),
    };
    Ok(Json(admin.control().check_config(text).await))
}

pub(super) async fn reload(State(admin): State<AdminState>, _: Params) -> Response {
    let view = admin.control().reload().await;
    if view.ok {
        return Json(view).into_response();
    }
    let detail = "the running config stays as it is; see `diagnostics`";
    Problem::new(Kind::ConfigRefused, detail).with(&view).into_response()
}

pub(super) async fn upgrade(State(admin): State<AdminState>, _: Params) -> Response {
    let view = admin.control().upgrade().await;
    if view.ok {
        return Json(view).into_response();
    }
    Problem::new(Kind::UpgradeRefused, view.why.clone()).with(&view).into_response()
}
