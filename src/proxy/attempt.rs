//! One try at an instance: a connection, the request on it, the head of the
//! answer.

use std::{mem, rc::Rc, sync::Arc, time::Instant};

use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{HOST, UPGRADE},
};

use super::{
    Proxy,
    failure::{Failure, elapsed},
    opening::{Way, open},
    record::Record,
    upload::{RequestBody, Upload},
};
use crate::{
    deadline::Elapsed,
    model::{Endpoint, Host, Provenance, Reason, Scheme, ServicePolicy},
    telemetry::RetryCause,
    upstream::{ConnectError, Connection, Fault, Incoming, Outgoing, SendError},
};

/// A try that may not be the last.
pub(super) struct Lost {
    /// How the request ends if it is.
    pub(super) end: Result<Response<Incoming>, Failure>,
    /// Why it may not be; none if it has to be.
    pub(super) cause: Option<RetryCause>,
    /// The body, if no byte of the request was written.
    pub(super) unsent: Option<Outgoing<RequestBody>>,
}

impl Lost {
    /// A try that says nothing about the next.
    const fn for_good(failure: Failure) -> Self {
        Self { end: Err(failure), cause: None, unsent: None }
    }
}

/// Sends `head` with `body`, which is taken, to the endpoint in `record`.
pub(super) async fn attempt(
    proxy: &Proxy,
    head: &mut Request<()>,
    body: &mut Outgoing<RequestBody>,
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
    let connection = match idle(proxy, &endpoint, policy, (websocket, fresh), now, record) {
        Some(connection) => connection,
        // Apart, so that requests that need none do not carry room for it.
        None => match Box::pin(connect(proxy, &endpoint, policy, websocket, record)).await {
            Ok(connection) => {
                now = Instant::now();
                connection
            }
            Err((failure, cause)) => {
                return Err(Lost { end: Err(failure), cause, unsent: Some(mem::take(body)) });
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
        match record.deadline.limit(connection.send(head, mem::take(body), interim)).await {
            Ok(Ok(response)) if policy.retry.retries_status(response.status().as_u16()) => {
                let cause = Some(RetryCause::Status);
                return Err(Lost { end: Ok(response), cause, unsent: None });
            }
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

/// A connection to `endpoint` that is there already.
fn idle(
    proxy: &Proxy,
    endpoint: &Endpoint,
    policy: &ServicePolicy,
    (websocket, fresh): (bool, bool),
    now: Instant,
    record: &mut Record,
) -> Option<Connection> {
    let client = record.announced_as(policy.proxy_protocol);
    let fits = |shared: &Connection| !websocket || shared.carries_websocket();
    let idle = match (policy.protocol.is_http2(), fresh) {
        (true, _) if client.is_some() => None,
        (true, _) => proxy.pools.share(endpoint.id, now).filter(fits),
        (false, true) => None,
        (false, false) => proxy.pools.take(endpoint.id, client, now),
    };
    record.reused = idle.is_some();
    idle
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
            Failure::new(Reason::UpstreamReset, "the instance refused the request").untouched()
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
