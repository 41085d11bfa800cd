//! Getting a request to an instance: a connection, the request on it, the head
//! of the answer, and another try where that is safe.
//!
//! A request is sent again only if it was provably not processed (no byte of
//! it was written), or if its method is safe and it has no body (RFC 9110
//! sections 9.2.1 and 9.2.2). Never after a timeout.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header::HOST};
use hyper::body::Incoming;

use super::{
    Proxy, RequestConnection,
    body::RequestBody,
    failure::{Failure, elapsed},
    hold::Holder,
    record::Record,
};
use crate::{
    deadline::Elapsed,
    model::{EndpointId, InFlight, Reason, ServicePolicy},
    routing::{Action, Route},
    upstream::{self, ConnectError},
};

type Answered = (Response<Incoming>, RequestConnection);

/// A try that came to nothing.
struct Lost {
    failure: Failure,
    retry: Retry,
    /// The request, if no byte of it was written.
    request: Option<Request<RequestBody>>,
}

#[derive(PartialEq, Eq)]
enum Retry {
    /// On another endpoint.
    Elsewhere,
    /// On the same one, over a new connection: the old one had been idle, and
    /// that it closed says nothing about the instance.
    Here,
    Never,
}

/// Sends `request` to the endpoint in `record`, then to others.
pub(super) async fn send(
    proxy: &Proxy,
    mut request: Request<RequestBody>,
    route: &Route,
    policy: &ServicePolicy,
    record: &mut Record,
) -> Result<Answered, Failure> {
    let replay = Replay::of(&request);
    let own_host = policy.preserve_host && request.headers().contains_key(HOST);
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut fresh = false;
    let mut holder = Holder::default();
    loop {
        let lost = match attempt(proxy, request, policy, own_host, fresh, record).await {
            Ok(answered) => return Ok(answered),
            Err(lost) => lost,
        };
        let how = (lost.failure.reason, lost.request.is_some());
        let Some(again) = lost.request.or_else(|| replay.as_ref().map(Replay::request)) else {
            return Err(lost.failure);
        };
        request = again;
        match lost.retry {
            Retry::Here if !fresh => fresh = true,
            Retry::Here | Retry::Elsewhere if tried.len() < usize::from(policy.retries) => {
                fresh = false;
                let mut other = pick_other(proxy, route, &mut tried, how.0, record);
                if other.is_none() {
                    let to = (route, policy);
                    other = holder.another(proxy, to, &mut tried, how, record).await;
                }
                let Some(other) = other else { return Err(lost.failure) };
                record.in_flight = Some(other);
            }
            _ => return Err(lost.failure),
        }
        proxy.metrics.worker(proxy.worker).retried();
        if let Some(service) = &record.service {
            service.metrics.retried(proxy.worker);
        }
    }
}

/// Takes a place on another endpoint after the last one failed for `reason`.
fn pick_other(
    proxy: &Proxy,
    route: &Route,
    tried: &mut Vec<EndpointId>,
    reason: Reason,
    record: &Record,
) -> Option<InFlight> {
    let last = record.in_flight.as_ref()?.endpoint();
    tried.push(last.id);
    let other = pick(proxy, route, tried)?;
    // If there is no other, its failure is that of the request.
    last.record_failure(reason == Reason::ConnectRefused);
    Some(other)
}

/// Takes a place on an endpoint that was not tried, from the current table.
pub(super) fn pick(proxy: &Proxy, route: &Route, tried: &[EndpointId]) -> Option<InFlight> {
    let Action::Forward { service: name, slot } = &route.action else { return None };
    proxy.tables.with(|table| {
        // A newer table may have given the slot to another service.
        let service = table.services.get(*slot).filter(|service| service.state.name == *name)?;
        service.balancer.pick(&service.state.memory, tried).map(InFlight::begin)
    })
}

async fn attempt(
    proxy: &Proxy,
    mut request: Request<RequestBody>,
    policy: &ServicePolicy,
    own_host: bool,
    fresh: bool,
    record: &mut Record,
) -> Result<Answered, Lost> {
    let Some(in_flight) = &record.in_flight else {
        let failure = Failure::new(Reason::InternalError, "no endpoint was picked");
        return Err(Lost { failure, retry: Retry::Never, request: None });
    };
    let endpoint = Arc::clone(in_flight.endpoint());
    record.attempts = record.attempts.saturating_add(1);
    if !own_host && let Ok(host) = HeaderValue::try_from(endpoint.address.to_string()) {
        request.headers_mut().insert(HOST, host);
    }
    let idle = if fresh { None } else { proxy.pools.take(endpoint.id) };
    record.reused = idle.is_some();
    let mut connection = match idle {
        Some(connection) => connection,
        None => match connect(proxy, &endpoint, policy, record).await {
            Ok(connection) => connection,
            Err((failure, retry)) => return Err(Lost { failure, retry, request: Some(request) }),
        },
    };
    // The instance's time to answer begins when it has the whole request.
    let uploading = record.upload.as_ref().is_some_and(|upload| !upload.complete.get());
    let timeouts = &policy.timeouts;
    record.deadline.set(if uploading { timeouts.idle } else { timeouts.response });
    record.sent = Some(Instant::now());
    let sent = record.deadline.limit(connection.try_send_request(request)).await;
    let mut error = match sent {
        Ok(Ok(response)) => return Ok((response, connection)),
        Ok(Err(error)) => error,
        Err(over) => {
            let failure = elapsed(over, stalled(record));
            return Err(Lost { failure, retry: Retry::Never, request: None });
        }
    };
    let unsent = error.take_message();
    let error = error.into_error();
    let retry = if error.is_parse() || record.upload_failure().is_some() {
        Retry::Never
    } else if record.reused {
        Retry::Here
    } else {
        Retry::Elsewhere
    };
    Err(Lost { failure: broken(&error, record), retry, request: unsent })
}

/// Who was waited for when the time was over.
fn stalled(record: &Record) -> Failure {
    let starved =
        |upload: &std::rc::Rc<super::body::Upload>| !upload.complete.get() && upload.starved.get();
    if record.upload.as_ref().is_some_and(starved) {
        return Failure::new(Reason::RequestBodyTimeout, "the request body stopped coming");
    }
    Failure::new(Reason::ResponseTimeout, "the instance did not answer in time")
}

fn broken(error: &hyper::Error, record: &Record) -> Failure {
    match record.upload_failure() {
        Some(reason @ Reason::RequestTooLarge) => {
            Failure::new(reason, "the request body is longer than the service allows")
        }
        Some(reason) => Failure::new(reason, "the request body broke off"),
        None if error.is_parse() => {
            let detail = "the instance's answer is not HTTP";
            Failure::new(Reason::UpstreamProtocolError, detail)
        }
        None => {
            let detail = "the instance closed the connection without an answer";
            Failure::new(Reason::UpstreamReset, detail)
        }
    }
}

async fn connect(
    proxy: &Proxy,
    endpoint: &crate::model::Endpoint,
    policy: &ServicePolicy,
    record: &mut Record,
) -> Result<RequestConnection, (Failure, Retry)> {
    let begun = Instant::now();
    record.deadline.set(policy.timeouts.connect);
    let guard = proxy.guard.load_full();
    let opened = record
        .deadline
        .limit(async { upstream::open(upstream::connect(endpoint, &guard).await?).await })
        .await;
    record.connect = Some(begun.elapsed());
    let connected = matches!(opened, Ok(Ok(_)));
    proxy.metrics.worker(proxy.worker).upstream_connect(connected);
    if let Some(service) = &record.service {
        service.metrics.connect(proxy.worker, connected);
    }
    match opened {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error @ ConnectError::Exhausted(_))) => Err((error.into(), Retry::Never)),
        Ok(Err(error)) => Err((error.into(), Retry::Elsewhere)),
        Err(over) => {
            let detail = "the connection to the instance was not open in time";
            let failure = elapsed(over, Failure::new(Reason::ConnectTimeout, detail));
            let retry = if over == Elapsed::Phase { Retry::Elsewhere } else { Retry::Never };
            Err((failure, retry))
        }
    }
}

/// A copy of a request that may be sent twice.
struct Replay {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Replay {
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        (safe && http_body::Body::is_end_stream(request.body())).then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        })
    }

    fn request(&self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        request
    }
}
