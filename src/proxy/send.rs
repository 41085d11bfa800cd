//! Getting a request to an instance, and to another where that is safe.
//!
//! Whether it is safe says `replay`; whether there is room for it, the budget
//! of the service. The last failure is that of the request.

use std::{sync::Arc, time::Instant};

use http::{HeaderValue, Request, Response, header::EXPECT};
use http_body::Body;

use super::{
    Proxy,
    attempt::{Lost, attempt},
    failure::Failure,
    hold::Holder,
    record::Record,
    replay::Replay,
    upload::RequestBody,
};
use crate::{
    model::{EndpointId, InFlight, Reason, RetryPolicy, ServicePolicy},
    routing::{Action, Route, Service, ServiceState},
    telemetry::RetryCause,
    upstream::{Incoming, Outgoing},
};

/// Sends `head` with `body` to the endpoint in `record`, then to others.
pub(super) async fn send(
    proxy: &Proxy,
    head: &mut Request<()>,
    body: &mut Outgoing<RequestBody>,
    (route, policy): (&Route, &ServicePolicy),
    record: &mut Record,
) -> Result<Response<Incoming>, Failure> {
    let replay = Replay::of(head.method(), body.body_mut(), &policy.retry);
    if let Some(service) = &record.service {
        service.budget.count(proxy.worker, record.begun);
    }
    let mut replaced = None;
    match attempt(proxy, head, body, policy, &mut replaced, false, record).await {
        Ok(answered) => Ok(answered),
        // Apart, so that requests that succeed do not carry room for it.
        Err(lost) => {
            let request = (head, body, &mut replaced);
            Box::pin(again(proxy, request, &replay, (route, policy), lost, record)).await
        }
    }
}

/// Sends what was `lost` once more, for as long as that is safe and of use.
async fn again(
    proxy: &Proxy,
    (head, body, replaced): (
        &mut Request<()>,
        &mut Outgoing<RequestBody>,
        &mut Option<HeaderValue>,
    ),
    replay: &Replay,
    (route, policy): (&Route, &ServicePolicy),
    mut lost: Lost,
    record: &mut Record,
) -> Result<Response<Incoming>, Failure> {
    let mut tried: Vec<EndpointId> = Vec::new();
    let mut holder = Holder::default();
    loop {
        let Lost { end, cause, unsent } = lost;
        let Some(cause) = cause else { return end };
        let Some(again) = replay.after(cause, unsent, &policy.retry) else { return end };
        // That an idle connection ended says nothing about the instance, and
        // costs nobody more than the request would have: whatever the budget,
        // it is asked once more, over a new connection.
        let fresh = cause == RetryCause::Stale;
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
        *body = again.body;
        if again.is_copy && !body.is_end_stream() {
            // There is nothing to wait for: the body is here.
            head.headers_mut().remove(EXPECT);
        }
        proxy.metrics.worker(proxy.worker).retried();
        if let Some(service) = &record.service {
            service.metrics.retried(proxy.worker, cause);
        }
        match attempt(proxy, head, body, policy, replaced, fresh, record).await {
            Ok(answered) => return Ok(answered),
            Err(again) => lost = again,
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
