//! Sources: how current each is, and what a person may ask of one.

use axum::{Json, extract::State};

use super::{
    problem::Problem,
    request::{Params, SourcePath},
    state::AdminState,
};
use crate::control::view::{SourceDetailView, SourceView, SourcesView};

pub(super) async fn sources(State(admin): State<AdminState>, _: Params) -> Json<SourcesView> {
    Json(admin.control().sources())
}

pub(super) async fn source(
    State(admin): State<AdminState>,
    SourcePath(source): SourcePath,
    _: Params,
) -> Result<Json<SourceDetailView>, Problem> {
    Ok(Json(admin.control().source_in_detail(&source)?))
}

pub(super) async fn accept(
    State(admin): State<AdminState>,
    SourcePath(source): SourcePath,
    _: Params,
) -> Result<Json<SourceView>, Problem> {
    Ok(Json(admin.control().accept(&source).await?))
}

pub(super) async fn resync(
    State(admin): State<AdminState>,
    SourcePath(source): SourcePath,
    _: Params,
) -> Result<Json<SourceView>, Problem> {
    Ok(Json(admin.control().resync(&source).await?))
}
