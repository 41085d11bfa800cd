//! Eureka's REST API, as its clients speak it: those of Netflix and Spring,
//! and those in other languages that were written after them.
//!
//! Under `/eureka` and `/eureka/v2`. Source of the rules: `InstanceResource`,
//! `ApplicationResource` and `AbstractInstanceRegistry` of Netflix/eureka. It
//! is not a peer of Eureka servers: nothing is replicated.

mod delta;
mod document;
mod reading;
mod record;
mod registering;
mod xml;

use http::Method;

use super::{
    call::Call,
    refusal::{Answer, Refusal},
};
use crate::{
    model::InstanceKey,
    sources::draft::{instance_id, service_name},
    telemetry::FrontCall,
};
pub(super) use delta::Changes;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Register { app: String },
    Renew(InstanceKey),
    Cancel(InstanceKey),
    Override(InstanceKey),
    ClearOverride(InstanceKey),
    Metadata(InstanceKey),
    Apps,
    Delta,
    App { app: String },
    Instance(InstanceKey),
    AnyInstance { id: String },
    Vip { name: String, secure: bool },
}

impl Asked {
    /// What `method` asks for at the path of `segments` behind the prefix.
    ///
    /// # Errors
    ///
    /// When there is no such call.
    pub(super) fn of(method: &Method, segments: &[&str]) -> Result<Self, Refusal> {
        let is = |wanted: &Method| method == wanted;
        let owned = |text: &str| text.to_owned();
        Ok(match segments {
            ["apps"] if is(&Method::GET) => Self::Apps,
            ["apps", "delta"] if is(&Method::GET) => Self::Delta,
            ["apps", app] if is(&Method::POST) => Self::Register { app: owned(app) },
            ["apps", app] if is(&Method::GET) => Self::App { app: owned(app) },
            ["apps", app, id] if is(&Method::PUT) => Self::Renew(key(app, id)?),
            ["apps", app, id] if is(&Method::DELETE) => Self::Cancel(key(app, id)?),
            ["apps", app, id] if is(&Method::GET) => Self::Instance(key(app, id)?),
            ["apps", app, id, "status"] if is(&Method::PUT) => Self::Override(key(app, id)?),
            ["apps", app, id, "status"] if is(&Method::DELETE) => {
                Self::ClearOverride(key(app, id)?)
            }
            ["apps", app, id, "metadata"] if is(&Method::PUT) => Self::Metadata(key(app, id)?),
            ["instances", id] if is(&Method::GET) => Self::AnyInstance { id: owned(id) },
            ["vips", name] if is(&Method::GET) => Self::Vip { name: owned(name), secure: false },
            ["svips", name] if is(&Method::GET) => Self::Vip { name: owned(name), secure: true },
            ["peerreplication", ..] => {
                return Err(Refusal::elsewhere("this is no peer of Eureka servers"));
            }
            ["asg", ..] => {
                return Err(Refusal::elsewhere("there are no autoscaling groups here"));
            }
            ["apps" | "vips" | "svips" | "instances", ..] => {
                let text = format!("{method} is not answered at this path");
                return Err(Refusal::new(http::StatusCode::METHOD_NOT_ALLOWED, text));
            }
            _ => return Err(Refusal::missing("there is no such path in Eureka's REST API")),
        })
    }

    /// What it is counted as.
    pub(super) const fn call(&self) -> FrontCall {
        match self {
            Self::Register { .. } => FrontCall::Register,
            Self::Renew(_) => FrontCall::Renew,
            Self::Cancel(_) => FrontCall::Deregister,
            Self::Override(_) | Self::ClearOverride(_) | Self::Metadata(_) => FrontCall::Status,
            Self::Apps
            | Self::Delta
            | Self::App { .. }
            | Self::Instance(_)
            | Self::AnyInstance { .. }
            | Self::Vip { .. } => FrontCall::Read,
        }
    }
}

/// The instance that is called `app` and `id` there.
fn key(app: &str, id: &str) -> Result<InstanceKey, Refusal> {
    let refused = |error: crate::model::ParseNameError| Refusal::missing(error.to_string());
    let service = service_name(app).map_err(refused)?;
    let id = instance_id(id).map_err(refused)?;
    Ok(InstanceKey { service, id })
}

/// Answers a call.
pub(super) async fn answer(asked: Asked, call: &Call, body: &[u8]) -> Answer {
    match asked {
        Asked::Register { app } => registering::register(call, &app, body).await,
        Asked::Renew(key) => registering::renew(call, &key),
        Asked::Cancel(key) => registering::cancel(call, &key).await,
        Asked::Override(key) => registering::set_status(call, &key).await,
        Asked::ClearOverride(key) => registering::clear_status(call, &key).await,
        Asked::Metadata(key) => registering::set_metadata(call, &key).await,
        reading => reading::answer(reading, call),
    }
}
