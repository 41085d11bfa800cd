//! The life of one instance: register, renew, drain, deregister, look.

use std::time::Duration;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    auth::Identity,
    change::Change,
    etag,
    problem::{Kind, Problem},
    registration,
    request::{self, InstancePath, Params},
    state::{AdminState, Connection},
};
use crate::{
    control::{
        ControlError, RegisterRequest,
        view::{InstanceView, LeavingView},
    },
    model::InstanceKey,
};

pub(super) async fn register(
    State(admin): State<AdminState>,
    InstancePath(key): InstancePath,
    params: Params,
    Extension(identity): Extension<Identity>,
    Extension(connection): Extension<Connection>,
    Extension(change): Extension<Change>,
    body: Body,
) -> Result<Response, Problem> {
    let caller = identity.caller(&key.service)?;
    let wait = params.wait("routable", Duration::from_secs(10))?;
    let body = request::read(body, request::MAX_BODY).await?;
    let peer = connection.peer.ip();
    let instance = registration::parse(&body, key.clone(), peer)?;
    identity.may_register_at(&instance.origin, peer)?;
    let before = generation(&admin, &key);
    let request = RegisterRequest { instance, caller, wait };
    let registering = admin.control().register(request).await?;
    let registered = &registering.registered;
    let made = if registered.created { StatusCode::CREATED } else { StatusCode::OK };
    change.made(made, before, Some(registered.registration.generation));
    let view = registering.end().await?;
    let status = if wait.is_some() && !view.routed { StatusCode::ACCEPTED } else { made };
    let mut response = (status, Json(&view)).into_response();
    let path = format!("/api/v1/services/{}/instances/{}", key.service, key.id);
    if let Ok(path) = HeaderValue::try_from(path)
        && view.created
    {
        response.headers_mut().insert(header::LOCATION, path);
    }
    Ok(response)
}

pub(super) async fn heartbeat(
    State(admin): State<AdminState>,
    InstancePath(key): InstancePath,
    params: Params,
    Extension(identity): Extension<Identity>,
) -> Result<Json<InstanceView>, Problem> {
    let caller = identity.caller(&key.service)?;
    let meant = params.parsed("generation")?;
    Ok(Json(admin.control().heartbeat(&key, meant, &caller)?))
}

pub(super) async fn drain(
    State(admin): State<AdminState>,
    InstancePath(key): InstancePath,
    params: Params,
    Extension(identity): Extension<Identity>,
    Extension(change): Extension<Change>,
) -> Result<Response, Problem> {
    let caller = identity.caller(&key.service)?;
    let wait = params.wait("drained", Duration::from_secs(30))?;
    let meant = params.parsed("generation")?;
    let before = generation(&admin, &key);
    let leave = admin.control().drain(&key, meant, &caller, wait).await?;
    change.made(StatusCode::OK, before, before);
    Ok(left(wait, &leave.end().await))
}

pub(super) async fn deregister(
    State(admin): State<AdminState>,
    InstancePath(key): InstancePath,
    params: Params,
    Extension(identity): Extension<Identity>,
    Extension(change): Extension<Change>,
) -> Result<Response, Problem> {
    let caller = identity.caller(&key.service)?;
    let wait = params.wait("drained", Duration::from_secs(30))?;
    let meant = params.parsed("generation")?;
    let before = generation(&admin, &key);
    let leave = admin.control().deregister(&key, meant, &caller, wait).await?;
    change.made(StatusCode::OK, before, None);
    Ok(left(wait, &leave.end().await))
}

fn left(wait: Option<Duration>, view: &LeavingView) -> Response {
    let timed_out = wait.is_some() && !view.drained;
    let status = if timed_out { StatusCode::ACCEPTED } else { StatusCode::OK };
    (status, Json(view)).into_response()
}

fn generation(admin: &AdminState, key: &InstanceKey) -> Option<u64> {
    admin.control().instance(key).map(|view| view.generation)
}

pub(super) async fn instance(
    State(admin): State<AdminState>,
    InstancePath(key): InstancePath,
    _: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    match admin.control().instance(&key) {
        Some(view) => etag::answer(&headers, view),
        None => {
            let detail = ControlError::NotFound(key).to_string();
            Err(Problem::new(Kind::NotFound, detail))
        }
    }
}
