//! From a request to its handler: the gate that each passes, and the answers
//! where there is no handler.

use std::{convert::Infallible, panic::AssertUnwindSafe, time::Instant};

use axum::{
    Router,
    body::HttpBody,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, header};

use super::{
    attempts,
    auth::{self, Identity},
    calls::{CALLS, Call, SERVICES, Takes, Verb},
    change::Change,
    problem::{Kind, Problem, nearest},
    request, same_origin,
    settings::Scope,
    state::{AdminState, Connection},
    succession::{Place, pass_on},
};

/// All calls, behind the gate. Requests need a [`Connection`] in their
/// extensions.
pub(super) fn router(admin: AdminState) -> Router {
    let mut router = Router::new();
    for call in CALLS {
        let gate = middleware::from_fn_with_state((admin.clone(), call), gate);
        let handler = (call.handler)(call.verb.filter());
        router = router.route(call.path, handler.route_layer(gate));
    }
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::map_response(secured))
        .with_state(admin)
}

/// Lets a request through to its handler, or refuses it.
///
/// A change is made in a task of its own, so that a caller who hangs up
/// cancels neither it nor its line in the audit log.
async fn gate(
    State((admin, call)): State<(AdminState, &'static Call)>,
    mut request: Request,
    next: Next,
) -> Response {
    let identity = identify(&admin, call.needs, &request);
    let who =
        identity.as_ref().map_or("unknown", |known| known.as_ref().map_or("", Identity::name));
    let change = call.change.map(|what| {
        let change = Change::begin(admin.audit(), what, who.to_owned(), &request);
        request.extensions_mut().insert(change.clone());
        change
    });
    let admitted = identity.and_then(|identity| {
        if let (Some(scope), Some(identity)) = (call.needs, &identity) {
            identity.need(scope)?;
        }
        media_type(call, &request)?;
        request.extensions_mut().insert(call);
        if let Some(identity) = identity {
            request.extensions_mut().insert(identity);
        }
        Ok(())
    });
    let admitting = admin.clone();
    let answer = async move {
        match admitted {
            Ok(()) => run(admitting, call, request, next).await,
            Err(problem) => problem.into_response(),
        }
    };
    let Some(change) = change else { return answer.await };
    let broken =
        || Problem::new(Kind::Internal, "the change broke off; look at its state").into_response();
    let made = tokio::spawn(async move {
        // Also one that panics leaves a line.
        let answer = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| broken());
        change.answered(&answer);
        answer
    });
    made.await.unwrap_or_else(|_| broken())
}

/// Has the handler answer, or the process that took over from this one; a
/// change of instances waits while the store changes hands.
async fn run(admin: AdminState, call: &Call, request: Request, next: Next) -> Response {
    let is_meant = call.verb != Verb::Get && call.path.starts_with(SERVICES);
    let ends = request.extensions().get::<Connection>().copied();
    let Some(ends) = ends.filter(|_| is_meant) else { return next.run(request).await };
    if call.change.is_none() {
        // A heartbeat changes nothing in the store, and the lease may not last
        // as long as it changes hands.
        return match admin.succession().heir() {
            None => next.run(request).await,
            Some(relay) => pass_on(&relay, ends, request).await,
        };
    }
    // Before there is a place: a body that comes slowly would keep everybody
    // waiting.
    let (parts, body) = request.into_parts();
    let body = match request::read(body, request::MAX_BODY).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let request = Request::from_parts(parts, body.into());
    match admin.succession().place().await {
        Place::Here { .. } => next.run(request).await,
        Place::There(relay) => pass_on(&relay, ends, request).await,
    }
}

/// Who sent this request: nobody that needs to be known, if nothing is needed
/// and they did not say.
fn identify(
    admin: &AdminState,
    needs: Option<Scope>,
    request: &Request,
) -> Result<Option<Identity>, Problem> {
    let Some(connection) = request.extensions().get::<Connection>() else {
        return Err(Problem::new(Kind::Internal, "the request came by no connection"));
    };
    let settings = admin.settings();
    let (headers, uri) = (request.headers(), request.uri());
    same_origin::check(headers, uri, connection.local, &settings.allowed_hosts)?;
    match auth::authenticate(&settings, admin.reach(), headers) {
        Ok(identity) => Ok(Some(identity)),
        Err(_) if needs.is_none() => Ok(None),
        Err(problem) if admin.attempts().count(connection.peer.ip(), Instant::now()) => {
            Err(problem)
        }
        Err(_) => {
            let detail = "too many failed authentications from your address in the last minute";
            let wait = u32::try_from(attempts::WINDOW.as_secs()).unwrap_or(u32::MAX);
            Err(Problem::new(Kind::TooManyAttempts, detail).retry_after(wait))
        }
    }
}

/// A body under `/api` is JSON, save a `proxy.toml`: what a form on a web page
/// can send is not.
fn media_type(call: &Call, request: &Request) -> Result<(), Problem> {
    let carries = matches!(call.verb, Verb::Put | Verb::Post) && !request.body().is_end_stream();
    if !carries {
        return Ok(());
    }
    let given = request.headers().get(header::CONTENT_TYPE);
    let given = given.map(|given| String::from_utf8_lossy(given.as_bytes()).to_ascii_lowercase());
    let kind = given.as_deref().and_then(|given| given.split(';').next()).unwrap_or("").trim();
    let json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    let (fits, wanted) = match call.takes {
        Takes::Toml => {
            (matches!(kind, "application/toml" | "text/plain"), "application/toml or text/plain")
        }
        Takes::Registration | Takes::Nothing => (json, "application/json"),
    };
    if fits {
        return Ok(());
    }
    let detail = format!("send Content-Type: {wanted}; this one is {kind:?}");
    Err(Problem::new(Kind::MediaType, detail))
}

async fn unknown_path(State(admin): State<AdminState>, request: Request) -> Problem {
    if let Err(problem) = identify(&admin, Some(Scope::Read), &request) {
        return problem;
    }
    let path = request.uri().path();
    let detail = match nearest_path(path) {
        Some(near) => format!("there is no {path:?} here; did you mean {near:?}?"),
        None => format!("there is no {path:?} here; see /api/v1/openapi.json"),
    };
    Problem::new(Kind::UnknownPath, detail)
}

/// The call whose path differs by a slip, its parameters filled in as given.
fn nearest_path(path: &str) -> Option<String> {
    let given: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let filled = CALLS.iter().map(|call| {
        let parts = call.path.split('/').enumerate().map(|(at, part)| match given.get(at) {
            Some(given) if part.starts_with('{') && !given.is_empty() => *given,
            _ => part,
        });
        parts.collect::<Vec<_>>().join("/")
    });
    let filled: Vec<String> = filled.chain(["/api/v1".to_owned() + path]).collect();
    let exact = CALLS.iter().any(|call| filled.last().is_some_and(|last| last == call.path));
    let near = if exact {
        filled.last().map(String::as_str)
    } else {
        nearest(path, filled[..CALLS.len()].iter().map(String::as_str))
    };
    near.map(str::to_owned)
}

async fn unknown_method(State(admin): State<AdminState>, request: Request) -> Response {
    // The router fills in Allow.
    match identify(&admin, Some(Scope::Read), &request) {
        Err(problem) => problem.into_response(),
        Ok(_) => {
            let detail = format!("see Allow for what {:?} has", request.uri().path());
            Problem::new(Kind::MethodNotAllowed, detail).into_response()
        }
    }
}

/// What every answer says to browsers.
async fn secured(mut response: Response) -> Result<Response, Infallible> {
    const HEADERS: [(HeaderName, &str); 6] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in HEADERS {
        // A page with scripts of its own brings a policy of its own.
        if name != header::CONTENT_SECURITY_POLICY || !response.headers().contains_key(&name) {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_path_is_mended() {
        for (path, near) in [
            ("/api/v1/service", Some("/api/v1/services")),
            ("/api/v1/services/", Some("/api/v1/services")),
            ("/api/v1/services/a/instance/b", Some("/api/v1/services/a/instances/b")),
            ("/services", Some("/api/v1/services")),
            ("/metric", Some("/metrics")),
            ("/index.php", None),
        ] {
            assert_eq!(nearest_path(path).as_deref(), near, "{path}");
        }
    }
}
