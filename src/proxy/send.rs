//! Getting a request to an instance: a connection, the request on it, the head
//! of the answer, and another try where that is safe.
//!
//! Whether it is safe says `replay`; whether there is room for it, the budget
//! of the service. The last failure is that of the request.

use std::{rc::Rc, sync::Arc, time::Instant};

use http::{HeaderValue, Request, Response, header::HOST};
use http_body::Body;
use hyper::body::Incoming;

use super::{
    Proxy, RequestConnection,
    failure::{Failure, elapsed},
    hold::Holder,
    record::Record,
    replay::Replay,
    upload::{RequestBody, Upload},
};
use crate::{
    deadline::Elapsed,
    model::{Endpoint, EndpointId, Host, InFlight, Reason, RetryPolicy, Scheme, ServicePolicy},
    routing::{Action, Route, Service},
    telemetry::RetryCause,
    upstream::{self, ConnectError, Connection},
};

type Answered = (Response<Incoming>, RequestConnection);

/// A try that may not be the last.
struct Lost {
    /// How the request ends if it is.
    end: Result<Answered, Failure>,
    /// Why it may not be; none if it has to be.
    cause: Option<RetryCause>,
    /// The request, if no byte of it was written.
    unsent: Option<Request<RequestBody>>,
}

impl Lost {
    /// A try that says nothing about the next.
    const fn for_good(failure: Failure) -> Self {
        Self { end: Err(failure), cause: None, unsent: None }
    }
}

/// Sends `request` to the endpoint in `record`, then to others.
pub(super) async fn send(
    proxy: &Proxy,
    mut request: Request<RequestBody>,
    route: &Route,
    policy: &ServicePolicy,
    record: &mut Record,
) -> Result<Answered, Failure> {
    if let Some(service) = &record.service {
        service.budget.count(proxy.worker, record.begun);
    }
    let replay = Replay::of(&mut request, &policy.retry);
    let client_host = request.headers().get(HOST).cloned();
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut fresh = false;
    let mut holder = Holder::default();
    loop {
        let Lost { end, cause, unsent } =
            match attempt(proxy, request, policy, &client_host, fresh, record).await {
                Ok(answered) if policy.retry.retries_status(answered.0.status().as_u16()) => {
                    Lost { end: Ok(answered), cause: Some(RetryCause::Status), unsent: None }
                }
                Ok(answered) => return Ok(answered),
                Err(lost) => lost,
            };
        let Some(cause) = cause else { return end };
        let Some(again) = replay.after(cause, unsent, &policy.retry) else { return end };
        // That an idle connection ended says nothing about the instance, and
        // costs nobody more than the request would have: whatever the budget,
        // it is asked once more, over a new connection.
        fresh = cause == RetryCause::Stale;
        if !fresh {
            let how = (cause, end.as_ref().err().map(|failure| failure.reason));
            let mut other = pick_other(proxy, route, &policy.retry, how, &mut tried, record);
            if other.is_none() {
                other = holder.another(proxy, (route, policy), &mut tried, how, record).await;
            }
            let Some(other) = other else { return end };
            if let Ok(answered) = end {
                discard(answered, record);
            }
            record.take_place(other);
        }
        request = again;
        proxy.metrics.worker(proxy.worker).retried();
        if let Some(service) = &record.service {
            service.metrics.retried(proxy.worker, cause);
        }
    }
}

/// Takes a place on another endpoint after the last one failed, if there is one
/// and the budget allows it.
fn pick_other(
    proxy: &Proxy,
    route: &Route,
    policy: &RetryPolicy,
    (cause, reason): (RetryCause, Option<Reason>),
    tried: &mut Vec<EndpointId>,
    record: &mut Record,
) -> Option<InFlight> {
    if tried.len() >= usize::from(policy.attempts) {
        return None;
    }
    let last = Arc::clone(record.endpoint()?);
    tried.push(last.id);
    let other = pick(proxy, route, tried, |service| {
        // Where there was no connection nobody had any work.
        let free = cause == RetryCause::Connect;
        let (percent, floor) = (policy.budget_percent, policy.budget_floor);
        let allowed = free || service.state.budget.take(percent, floor, Instant::now());
        if !allowed {
            service.state.metrics.retry_refused(proxy.worker);
            record.retry_refused = true;
        }
        allowed
    })?;
    // If there is no other, its failure is that of the request.
    match reason {
        Some(reason) => last.record_failure(reason == Reason::ConnectRefused),
        None => last.record_unwanted_answer(),
    }
    Some(other)
}

/// Takes a place on an endpoint that was not tried, from the current table, if
/// there is one and it is `allowed`.
pub(super) fn pick(
    proxy: &Proxy,
    route: &Route,
    tried: &[EndpointId],
    allowed: impl FnOnce(&Service) -> bool,
) -> Option<InFlight> {
    let Action::Forward { service: name, slot } = &route.action else { return None };
    proxy.tables.with(|table| {
        // A newer table may have given the slot to another service.
        let service = table.services.get(*slot).filter(|service| service.state.name == *name)?;
        let other = service.balancer.pick(&service.state.memory, tried)?;
        allowed(service).then(|| InFlight::begin(other))
    })
}

/// Lets go of an answer that the client will not get. Its connection is of use
/// if nothing is left to be read.
fn discard((response, connection): Answered, record: &Record) {
    record.count_answer(response.status().as_u16());
    if response.body().is_end_stream() {
        record.keep(connection, Instant::now());
    }
}

async fn attempt(
    proxy: &Proxy,
    mut request: Request<RequestBody>,
    policy: &ServicePolicy,
    client_host: &Option<HeaderValue>,
    fresh: bool,
    record: &mut Record,
) -> Result<Answered, Lost> {
    let Some(endpoint) = record.endpoint().cloned() else {
        let failure = Failure::new(Reason::InternalError, "no endpoint was picked");
        return Err(Lost::for_good(failure));
    };
    record.attempts = record.attempts.saturating_add(1);
    let preserve = policy.preserve_host.unwrap_or_else(|| keeps_host(&endpoint));
    match client_host.as_ref().filter(|_| preserve) {
        // What an attempt before this one may have replaced.
        Some(host) => request.headers_mut().insert(HOST, host.clone()),
        None => host_of(&endpoint).and_then(|host| request.headers_mut().insert(HOST, host)),
    };
    let mut now = Instant::now();
    let idle = if fresh { None } else { proxy.pools.take(endpoint.id, now) };
    record.reused = idle.is_some();
    let mut connection = match idle {
        Some(connection) => connection,
        None => match connect(proxy, &endpoint, policy, record).await {
            Ok(connection) => {
                now = Instant::now();
                connection
            }
            Err((failure, cause)) => {
                return Err(Lost { end: Err(failure), cause, unsent: Some(request) });
            }
        },
    };
    // The instance's time to answer begins when it has the whole request.
    let uploading = record.upload.as_ref().is_some_and(|upload| !upload.complete.get());
    let timeouts = &policy.timeouts;
    record.deadline.set(if uploading { timeouts.idle } else { timeouts.response });
    record.sent = Some(now);
    let sent = record.deadline.limit(connection.send(request)).await;
    let mut error = match sent {
        Ok(Ok(response)) => return Ok((response, connection)),
        Ok(Err(error)) => error,
        Err(over) => {
            let end = Err(elapsed(over, stalled(record)));
            let cause = (over == Elapsed::Phase).then_some(RetryCause::Timeout);
            return Err(Lost { end, cause, unsent: None });
        }
    };
    let unsent = error.take_message();
    let error = error.into_error();
    let failed = unsent.is_none() && (error.is_parse() || record.upload_failure().is_some());
    let cause = if failed {
        None
    } else if record.reused {
        proxy.pools.had_ended(endpoint.id, &connection, now);
        Some(RetryCause::Stale)
    } else if unsent.is_some() {
        Some(RetryCause::Unsent)
    } else {
        Some(RetryCause::Reset)
    };
    Err(Lost { end: Err(broken(&error, record)), cause, unsent })
}

/// Whether `endpoint` is told the client's `Host`, where nothing is said of it:
/// a server that the config file names by `https://` and a DNS name serves that
/// name.
fn keeps_host(endpoint: &Endpoint) -> bool {
    let named = !endpoint.checked && matches!(endpoint.address.host, Host::Name(_));
    !(named && endpoint.scheme == Scheme::Https)
}

/// The `Host` that is an endpoint's own.
fn host_of(endpoint: &Endpoint) -> Option<HeaderValue> {
    let address = &endpoint.address;
    let text = if address.port == endpoint.scheme.port() {
        address.host.to_string()
    } else {
        address.to_string()
    };
    HeaderValue::try_from(text).ok()
}

/// Who was waited for when the time was over.
fn stalled(record: &Record) -> Failure {
    let starved = |upload: &Rc<Upload>| !upload.complete.get() && upload.starved.get();
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
    endpoint: &Endpoint,
    policy: &ServicePolicy,
    record: &mut Record,
) -> Result<RequestConnection, (Failure, Option<RetryCause>)> {
    let begun = Instant::now();
    record.deadline.set(policy.timeouts.connect);
    let guard = proxy.guard.load_full();
    let state = record.service.as_ref().filter(|_| endpoint.scheme == Scheme::Https);
    let tls = state.and_then(|state| state.connector());
    let opened = record
        .deadline
        .limit(async {
            let connector = tls.as_deref();
            Connection::open(upstream::connect(endpoint, &guard, connector).await?).await
        })
        .await;
    record.connect = Some(begun.elapsed());
    let connected = matches!(opened, Ok(Ok(_)));
    proxy.metrics.worker(proxy.worker).upstream_connect(connected);
    if let Some(service) = &record.service {
        service.metrics.connect(proxy.worker, connected);
    }
    match opened {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error @ ConnectError::Exhausted(_))) => Err((error.into(), None)),
        Ok(Err(error)) => Err((error.into(), Some(RetryCause::Connect))),
        Err(over) => {
            let detail = "the connection to the instance was not open in time";
            let failure = elapsed(over, Failure::new(Reason::ConnectTimeout, detail));
            // Who has left may as well be another: nothing was sent.
            Err((failure, (over != Elapsed::Total).then_some(RetryCause::Connect)))
        }
    }
}
