//! From a request to the language it is of, and to its answer: counted, and
//! for a change with a line in the audit log.

use std::panic::AssertUnwindSafe;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{Method, StatusCode, header, request::Parts};
use percent_encoding::percent_decode_str;

use super::{
    FrontState,
    call::{Call, blank},
    consul, eureka,
    refusal::{Answer, Refusal},
};
use crate::{
    admin::{Connection, Kind, MAX_BODY, Place, pass_on, read},
    model::FrontApi,
    telemetry::FrontCall,
};

/// All calls of a front. Requests need a [`Connection`] in their extensions.
pub(super) fn router(front: FrontState) -> Router {
    Router::new().fallback(answer).with_state(front)
}

/// What is asked for, in one of the languages.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Eureka(eureka::Asked),
    Consul(consul::Asked),
}

impl Asked {
    fn call(&self) -> FrontCall {
        match self {
            Self::Eureka(asked) => asked.call(),
            Self::Consul(asked) => asked.call(),
        }
    }

    /// Whether it may write, though it is counted as a heartbeat.
    const fn may_write(&self) -> bool {
        matches!(self, Self::Consul(consul::Asked::Report { .. }))
    }

    async fn answer(self, call: &Call, body: Bytes) -> Answer {
        match self {
            Self::Eureka(asked) => eureka::answer(asked, call, &body).await,
            Self::Consul(asked) => consul::answer(asked, call, &body).await,
        }
    }
}

/// The word of the audit log for a change; none if it is not one.
const fn change(call: FrontCall) -> Option<&'static str> {
    match call {
        FrontCall::Register => Some("register"),
        FrontCall::Status => Some("status"),
        FrontCall::Deregister => Some("deregister"),
        FrontCall::Renew | FrontCall::Read | FrontCall::Other => None,
    }
}

async fn answer(State(front): State<FrontState>, request: Request) -> Response {
    let Some(ends) = request.extensions().get::<Connection>().copied() else {
        return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "it came by no connection")
            .into_response();
    };
    let (api, asked) = match asked(&front, &request) {
        Ok(found) => found,
        Err(refusal) => return refusal.into_response(),
    };
    let kind = asked.as_ref().map_or(FrontCall::Other, Asked::call);
    let answer = match asked {
        Ok(asked) => make(&front, api, asked, ends, request).await,
        Err(refusal) => refusal.into_response(),
    };
    front.control().front_metrics().answered(api, kind, answer.status().as_u16());
    answer
}

/// The language that the path is of, and what is asked for in it.
fn asked(
    front: &FrontState,
    request: &Request,
) -> Result<(FrontApi, Result<Asked, Refusal>), Refusal> {
    let settings = front.settings();
    // Clients join a base and a path without looking at the slashes.
    let segments = request.uri().path().split('/').filter(|segment| !segment.is_empty());
    let segments: Result<Vec<_>, _> =
        segments.map(|segment| percent_decode_str(segment).decode_utf8()).collect();
    let Ok(segments) = segments else { return Err(Refusal::bad("the path is not UTF-8")) };
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let method = request.method();
    match segments.as_slice() {
        ["eureka", "v2", rest @ ..] | ["eureka", rest @ ..] if settings.eureka => {
            Ok((FrontApi::Eureka, eureka::Asked::of(method, rest).map(Asked::Eureka)))
        }
        ["v1", rest @ ..] if settings.consul => {
            Ok((FrontApi::Consul, consul::Asked::of(method, rest).map(Asked::Consul)))
        }
        _ => {
            let spoken: Vec<_> = settings.speaks().map(prefix).collect();
            Err(Refusal::missing(format!(
                "this is a front: it answers under {}",
                spoken.join(", ")
            )))
        }
    }
}

const fn prefix(api: FrontApi) -> &'static str {
    match api {
        FrontApi::Eureka => "/eureka/apps, /eureka/v2/apps",
        FrontApi::Consul => "/v1",
    }
}

/// Makes a call: here, or in the process that took over from this one.
async fn make(
    front: &FrontState,
    api: FrontApi,
    asked: Asked,
    ends: Connection,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let call = match Call::of(front, api, ends, &parts) {
        Ok(call) => call,
        Err(refusal) => {
            if let Some(what) = change(asked.call()) {
                note(front, blank(api, ends, "unknown".to_owned(), what), &refusal);
            }
            return refusal.into_response();
        }
    };
    let body = match body_of(&parts, body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let again = |body: Bytes| Request::from_parts(parts, Body::from(body));
    let what = change(asked.call());
    if what.is_none() && !asked.may_write() {
        // A heartbeat changes nothing in the store, and the lease may not last
        // as long as it changes hands.
        return match front.succession().heir() {
            Some(relay) => pass_on(&relay, ends, again(body)).await,
            None => asked.answer(&call, body).await.unwrap_or_else(IntoResponse::into_response),
        };
    }
    let place = front.succession().place().await;
    if let Place::There(relay) = &place {
        return pass_on(relay, ends, again(body)).await;
    }
    // A caller who hangs up cancels neither the change nor its line.
    let front = front.clone();
    let made = tokio::spawn(async move {
        let _place = place;
        let answer = AssertUnwindSafe(asked.answer(&call, body)).catch_unwind().await;
        let answer = answer.unwrap_or_else(|_| Err(broken()));
        // A heartbeat that says something new is a change all the same.
        let what = what.or_else(|| call.wrote().then_some("status"));
        let entry = what.map(|what| call.entry(what));
        match (answer, entry) {
            (Ok(answer), Some(entry)) => {
                let status = answer.status().as_u16();
                front.audit().record(crate::admin::AuditEntry { status, ..entry });
                answer
            }
            (Ok(answer), None) => answer,
            (Err(refusal), entry) => {
                if let Some(entry) = entry {
                    note(&front, entry, &refusal);
                }
                refusal.into_response()
            }
        }
    });
    made.await.unwrap_or_else(|_| broken().into_response())
}

fn broken() -> Refusal {
    let word = Some(Kind::Internal.as_str());
    let text = "the change broke off; look at its state";
    Refusal { word, ..Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text) }
}

/// Writes that a change was refused. A flood of failed authentications is not
/// worth a disk.
fn note(front: &FrontState, entry: crate::admin::AuditEntry, refusal: &Refusal) {
    if refusal.word != Some(Kind::TooManyAttempts.as_str()) {
        let (status, problem) = (refusal.status.as_u16(), refusal.word);
        front.audit().record(crate::admin::AuditEntry { status, problem, ..entry });
    }
}

async fn body_of(parts: &Parts, body: Body) -> Result<Bytes, Refusal> {
    let coding = parts.headers.get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| coding != "identity") && parts.method != Method::GET {
        let text = "send the body without a Content-Encoding";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    Ok(read(body, MAX_BODY).await?)
}
