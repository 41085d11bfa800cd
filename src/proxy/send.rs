//! Getting a request to an instance: a connection, the request on it, the head
//! of the answer, and another try where that is safe.
//!
//! Whether it is safe says `replay`; whether there is room for it, the budget
//! of the service. The last failure is that of the request.

use std::{rc::Rc, sync::Arc, time::Instant};

use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{EXPECT, HOST, UPGRADE},
};
use http_body::Body;

use super::{
    Proxy,
    failure::{Failure, elapsed},
    hold::Holder,
    opening::{Way, open},
    record::Record,
    replay::{Again, Replay},
    upload::{RequestBody, Upload},
};
use crate::{
    deadline::Elapsed,
    model::{
        Endpoint, EndpointId, Host, InFlight, Provenance, Reason, RetryPolicy, Scheme,
        ServicePolicy,
    },
    routing::{Action, Route, Service, ServiceState},
    telemetry::RetryCause,
    upstream::{self, ConnectError, Connection, Fault, Incoming, Outgoing, SendError},
};

/// A try that may not be the last.
struct Lost {
    /// How the request ends if it is.
    end: Result<Response<Incoming>, Failure>,
    /// Why it may not be; none if it has to be.
    cause: Option<RetryCause>,
    /// The body, if no byte of the request was written.
    unsent: Option<Outgoing<RequestBody>>,
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
    request: Request<RequestBody>,
    route: &Route,
    policy: &ServicePolicy,
    record: &mut Record,
) -> Result<Response<Incoming>, Failure> {
    let (parts, mut body) = request.into_parts();
    let replay = Replay::of(&parts.method, &mut body, &policy.retry);
    let mut head = Request::from_parts(parts, ());
    let outcome = send_any(proxy, &mut head, body, &replay, (route, policy), record).await;
    upstream::recycle(std::mem::take(head.headers_mut()));
    outcome
}

async fn send_any(
    proxy: &Proxy,
    head: &mut Request<()>,
    body: RequestBody,
    replay: &Replay,
    (route, policy): (&Route, &ServicePolicy),
    record: &mut Record,
) -> Result<Response<Incoming>, Failure> {
    if let Some(service) = &record.service {
        service.budget.count(proxy.worker, record.begun);
    }
    let mut replaced = None;
    let mut body = Outgoing::new(body);
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut fresh = false;
    let mut holder = Holder::default();
    loop {
        let Lost { end, cause, unsent } =
            match attempt(proxy, (&mut *head, body), policy, &mut replaced, fresh, record).await {
                Ok(answered) if policy.retry.retries_status(answered.status().as_u16()) => {
                    Lost { end: Ok(answered), cause: Some(RetryCause::Status), unsent: None }
                }
                Ok(answered) => return Ok(answered),
                Err(lost) => lost,
            };
        let Some(cause) = cause else { return end };
        let Some(again) = replay.after(cause, unsent, &policy.retry) else { return end };
        let Again { body: again, is_copy } = again;
        // That an idle connection ended says nothing about the instance, and
        // costs nobody more than the request would have: whatever the budget,
        // it is asked once more, over a new connection.
        fresh = cause == RetryCause::Stale;
        if !fresh {
            let how = (cause, end.as_ref().err().map(|failure| failure.reason));
            let is_last = tried.len() >= usize::from(policy.retry.attempts);
            let mut other = pick_other(proxy, route, &policy.retry, how, &mut tried, record);
            if other.is_none() {
                let others = (route, policy, is_last);
                other = holder.another(proxy, others, &mut tried, how, record).await;
            }
            let Some(other) = other else { return end };
            if let Ok(answered) = end {
                discard(answered, record);
            }
            record.take_place(other);
        }
        body = again;
        if is_copy && !body.is_end_stream() {
            // There is nothing to wait for: the body is here.
            head.headers_mut().remove(EXPECT);
        }
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
    // Where there was no connection nobody had any work.
    let free = cause == RetryCause::Connect;
    let allowed = |service: &Service| free || afford(proxy, &service.state, policy, record);
    let other = pick(proxy, route, tried, allowed)?;
    // If there is no other, its failure is that of the request.
    match reason {
        Some(reason) => last.record_failure(reason == Reason::ConnectRefused),
        None => last.record_unwanted_answer(),
    }
    Some(other)
}

/// Whether the budget of the service lets a request be sent once more.
pub(super) fn afford(
    proxy: &Proxy,
    service: &ServiceState,
    policy: &RetryPolicy,
    record: &mut Record,
) -> bool {
    let (percent, floor) = (policy.budget_percent, policy.budget_floor);
    let allowed = service.budget.take(percent, floor, Instant::now());
    if !allowed {
        service.metrics.retry_refused(proxy.worker);
        record.retry_refused = true;
    }
    allowed
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
fn discard(mut response: Response<Incoming>, record: &Record) {
    record.count_answer(response.status().as_u16());
    if let Some(connection) = response.body_mut().take_connection() {
        record.keep(connection, Instant::now());
    }
}

async fn attempt(
    proxy: &Proxy,
    (head, body): (&mut Request<()>, Outgoing<RequestBody>),
    policy: &ServicePolicy,
    replaced: &mut Option<HeaderValue>,
    fresh: bool,
    record: &mut Record,
) -> Result<Response<Incoming>, Lost> {
    let Some(endpoint) = record.endpoint().cloned() else {
        let failure = Failure::new(Reason::InternalError, "no endpoint was picked");
        return Err(Lost::for_good(failure));
    };
    record.attempts = record.attempts.saturating_add(1);
    address_to(head, &endpoint, policy, replaced);
    let mut now = Instant::now();
    // One that says whose connection it is is nobody else's.
    let shares = policy.protocol.is_http2();
    // No other `Upgrade` comes this far.
    let websocket = shares && head.headers().contains_key(UPGRADE);
    let fits = |shared: &Connection| !websocket || shared.carries_websocket();
    let client = record.announced_as(policy.proxy_protocol);
    let idle = match (shares, fresh) {
        (true, _) if client.is_some() => None,
        (true, _) => proxy.pools.share(endpoint.id, now).filter(fits),
        (false, true) => None,
        (false, false) => proxy.pools.take(endpoint.id, client, now),
    };
    record.reused = idle.is_some();
    let connection = match idle {
        Some(connection) => connection,
        // Apart, so that requests that need none do not carry room for it.
        None => match Box::pin(connect(proxy, &endpoint, policy, websocket, record)).await {
            Ok(connection) => {
                now = Instant::now();
                connection
            }
            Err((failure, cause)) => {
                return Err(Lost { end: Err(failure), cause, unsent: Some(body) });
            }
        },
    };
    // The instance's time to answer begins when it has the whole request.
    let uploading = record.upload.as_ref().is_some_and(|upload| !upload.complete.get());
    let timeouts = &policy.timeouts;
    record.deadline.set(if uploading { timeouts.idle } else { timeouts.response });
    record.sent = Some(now);
    let rested = connection.rested();
    // One that others use too has not ended for having been idle.
    let stale = record.reused && !fresh && (!shares || !rested.is_zero());
    let upload = record.upload.clone();
    let interim = |status, _: &_| {
        if let Some(upload) = upload.as_ref().filter(|_| status == StatusCode::CONTINUE) {
            upload.held.set(false);
        }
    };
    let SendError { fault, unsent } =
        match record.deadline.limit(connection.send(head, body, interim)).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error,
            Err(over) => {
                let end = Err(elapsed(over, stalled(record)));
                let cause = (over == Elapsed::Phase).then_some(RetryCause::Timeout);
                return Err(Lost { end, cause, unsent: None });
            }
        };
    let cause = match fault {
        Fault::Malformed(_) | Fault::Request => None,
        Fault::Ended { .. } if unsent.is_none() && record.upload_failure().is_some() => None,
        // Nobody has looked at it, and the next connection is as good.
        Fault::Refused { goes_away: true } if !fresh => Some(RetryCause::Stale),
        Fault::Refused { .. } => Some(RetryCause::Unsent),
        Fault::Ended { midway: false } if stale => {
            proxy.pools.had_ended(endpoint.id, rested, now);
            Some(RetryCause::Stale)
        }
        Fault::Ended { .. } if unsent.is_some() => Some(RetryCause::Unsent),
        Fault::Ended { .. } => Some(RetryCause::Reset),
    };
    Err(Lost { end: Err(broken(fault, record)), cause, unsent })
}

/// Gives the request the `Host` that `endpoint` is to be told; `replaced` keeps
/// the client's where it is not that, for an endpoint after this one.
fn address_to(
    head: &mut Request<()>,
    endpoint: &Endpoint,
    policy: &ServicePolicy,
    replaced: &mut Option<HeaderValue>,
) {
    // A server that the config file names by `https://` and a DNS name serves
    // that name, if nothing else is said.
    let preserve = policy.preserve_host.unwrap_or_else(|| {
        let named = endpoint.provenance == Provenance::Named
            && matches!(endpoint.address.host, Host::Name(_));
        !(named && endpoint.scheme == Scheme::Https)
    });
    let headers = head.headers_mut();
    if preserve && let Some(host) = replaced.take() {
        headers.insert(HOST, host);
    }
    if preserve && headers.contains_key(HOST) {
        return;
    }
    let address = &endpoint.address;
    let host = if address.port == endpoint.scheme.port() {
        address.host.to_string()
    } else {
        address.to_string()
    };
    if let Ok(host) = HeaderValue::try_from(host)
        && let Some(own) = headers.insert(HOST, host)
    {
        replaced.get_or_insert(own);
    }
}

/// Who was waited for when the time was over.
fn stalled(record: &Record) -> Failure {
    let starved = |upload: &Rc<Upload>| !upload.complete.get() && upload.starved.get();
    if record.upload.as_ref().is_some_and(starved) {
        return Failure::new(Reason::RequestBodyTimeout, "the request body stopped coming");
    }
    Failure::new(Reason::ResponseTimeout, "the instance did not answer in time")
}

fn broken(fault: Fault, record: &Record) -> Failure {
    match (record.upload_failure(), fault) {
        (Some(reason @ Reason::RequestTooLarge), _) => {
            Failure::new(reason, "the request body is longer than the service allows")
        }
        (Some(reason), _) => Failure::new(reason, "the request body broke off"),
        (None, Fault::Malformed(malformed)) => {
            Failure::new(Reason::UpstreamProtocolError, malformed.detail())
        }
        (None, Fault::Refused { .. }) => {
            Failure::new(Reason::UpstreamReset, "the instance refused the request")
        }
        (None, Fault::Ended { .. }) => {
            let detail = "the instance closed the connection without an answer";
            Failure::new(Reason::UpstreamReset, detail)
        }
        (None, Fault::Request) => {
            Failure::new(Reason::InternalError, "the request body was not as long as it said")
        }
    }
}

async fn connect(
    proxy: &Proxy,
    endpoint: &Arc<Endpoint>,
    policy: &ServicePolicy,
    websocket: bool,
    record: &mut Record,
) -> Result<Connection, (Failure, Option<RetryCause>)> {
    let begun = Instant::now();
    record.deadline.set(policy.timeouts.connect);
    let guard = proxy.guard.load_full();
    let client = record.announced_as(policy.proxy_protocol);
    let header = record.announcement(policy.proxy_protocol);
    let state = record.service.as_ref().filter(|_| endpoint.scheme == Scheme::Https);
    let tls = state.and_then(|state| state.connector());
    let way = Way { client, header: &header, tls: tls.as_deref(), websocket };
    let opened = record.deadline.limit(open(proxy, endpoint, policy, &guard, way)).await;
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
