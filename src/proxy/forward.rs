//! The life of one request, top to bottom.
//!
//! [`handle`] turns failures into answers and sees that the record ends;
//! [`forward`] is the way itself: admission, table, endpoint, connection, head
//! of the answer. What follows the head rides in the body.

use std::{rc::Rc, sync::Arc, time::Instant};

use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, MAX_FORWARDS},
    request::Parts,
    uri::PathAndQuery,
};
use hyper::upgrade::OnUpgrade;

use super::{
    Proxy,
    admission::{self, Admitted},
    answer,
    body::ResponseBody,
    client::Client,
    failure::{Failure, elapsed},
    form::Form,
    grpc,
    grpc_web::WebCall,
    headers::{self, X_REQUEST_ID},
    hold::Holder,
    pseudo,
    record::Record,
    send, switch, tunnel,
    upload::{RequestBody, Upload, UploadBounds},
    websocket::Asked,
};
use crate::{
    balance::{GateQueue, GateRefusal, Pass},
    deadline::Remaining,
    model::{InFlight, Reason, ServicePolicy},
    routing::{Action, Lookup, Route, Service, Table, join},
    upstream::Incoming,
};

/// Answers one request of `client`.
pub(super) async fn handle(
    proxy: Rc<Proxy>,
    client: Rc<Client>,
    mut request: Request<hyper::body::Incoming>,
) -> Response<ResponseBody> {
    let version = request.version();
    let flat = pseudo::flatten(&mut request, &client);
    let mut record = Record::begin(&proxy, &client, &request, version);
    let outcome = match flat {
        Ok(()) => forward(&proxy, &client, request, &mut record).await,
        Err(failure) => {
            record.form = Form::asked_by(request.headers());
            Err(failure)
        }
    };
    match outcome {
        Ok(Outcome::Answer(answer)) => answer.into_response(&proxy, record),
        Ok(Outcome::Redirect { status, location }) => answer::redirect(record, status, &location),
        Ok(Outcome::Options) => answer::options(record),
        Ok(Outcome::Proof(text)) => answer::proof(record, &text),
        Err(failure) => answer::failure(record, &failure),
    }
}

#[allow(clippy::large_enum_variant, reason = "nearly all are the large one")]
enum Outcome {
    Answer(Answer),
    Redirect {
        status: u16,
        location: String,
    },
    /// It was for the proxy itself.
    Options,
    /// It was for the proxy itself, from a CA that wants to see this.
    Proof(Arc<str>),
}

/// The head of an instance's answer, and where the rest comes from.
struct Answer {
    response: Response<Incoming>,
    policy: Arc<ServicePolicy>,
    /// The client's half of an upgrade that the instance agreed to.
    upgrade: Option<OnUpgrade>,
    /// A browser waits for it.
    web: Option<WebCall>,
}

impl Answer {
    fn into_response(self, proxy: &Proxy, record: Box<Record>) -> Response<ResponseBody> {
        let (parts, incoming) = self.response.into_parts();
        let Some(client) = self.upgrade else {
            let idle = self.policy.timeouts.idle;
            let body = ResponseBody::forwarded(incoming, record, idle, self.web);
            return Response::from_parts(parts, body);
        };
        if let Some(instance) = incoming.into_switched() {
            let idle = self.policy.timeouts.tunnel_idle;
            let tunnel = tunnel::run(record, client, instance, idle);
            tokio::task::spawn_local(proxy.tasks.track_future(tunnel));
        }
        Response::from_parts(parts, ResponseBody::own(bytes::Bytes::new()))
    }
}

async fn forward(
    proxy: &Proxy,
    client: &Client,
    mut request: Request<hyper::body::Incoming>,
    record: &mut Record,
) -> Result<Outcome, Failure> {
    let mut admitted = admission::admit(&request, client)
        .inspect_err(|_| record.form = Form::asked_by(request.headers()))?;
    record.form = admitted.fields.form;
    if admitted.for_proxy {
        return Ok(Outcome::Options);
    }
    if let Some(text) = proxy.proofs.text(request.uri().path()) {
        return Ok(Outcome::Proof(text));
    }
    if client.settings.redirect_to_https {
        return to_https(&request, &admitted, client);
    }
    // RFC 6455 section 4.1. An upgrade with a body would be two messages in one.
    admitted.fields.websocket &=
        request.method() == Method::GET && http_body::Body::is_end_stream(request.body());
    let asked = request.extensions_mut().remove::<Asked>();
    let upgrade = admitted.fields.websocket.then(|| hyper::upgrade::on(&mut request));
    let (parts, incoming) = request.into_parts();
    let target = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));

    let (route, policy) = match choose(proxy, &admitted, &target, &parts, record).await? {
        Choice::Forward(route, policy) => (route, policy),
        Choice::Redirect { status, location } => {
            return Ok(Outcome::Redirect { status, location });
        }
    };
    let total = route.timeout.or(policy.timeouts.request).filter(|total| !total.is_zero());
    let patience = admitted.fields.grpc_timeout.then(|| grpc::timeout(&parts.headers)).flatten();
    let total = total.into_iter().chain(patience).min();
    if let Some(total) = total {
        record.bound(total);
    }
    let mut request =
        rewrite(parts, &admitted, &target, client, &route, record)?.map(|()| RequestBody::empty());
    if !http_body::Body::is_end_stream(&incoming) {
        attach_body(&mut request, incoming, &admitted, &policy, record)?;
    }
    let web = route.settings.grpc_web.then(|| WebCall::asked_by(request.headers())).flatten();
    if let Some(web) = web {
        web.translate(&mut request);
        request.body_mut().decode(web.decoder());
    }
    let mut response = send::send(proxy, request, &route, &policy, record).await?;
    record.answered(response.status().as_u16());
    if let Some(total) = total {
        let rest = total.saturating_sub(record.elapsed());
        response.extensions_mut().insert(Remaining(rest));
    }
    let upgrade = switch::accept(&mut response, upgrade, asked)?;
    let web = web.filter(|web| web.answer(response.headers_mut()));
    route.response_edits.apply(response.headers_mut());
    if record.upload.as_ref().is_some_and(|upload| upload.held.get()) {
        // The client may or may not send the body that was not asked for.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(Outcome::Answer(Answer { response, policy, upgrade, web }))
}

/// The redirect of a listener that answers with nothing else.
fn to_https(
    request: &Request<impl http_body::Body>,
    admitted: &Admitted,
    client: &Client,
) -> Result<Outcome, Failure> {
    let host = admitted.host();
    if host.is_empty() {
        return Err(Failure::invalid("a redirect needs a Host"));
    }
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let location = match client.settings.https_port.get() {
        443 => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    Ok(Outcome::Redirect { status: 308, location })
}

enum Choice {
    Forward(Arc<Route>, Arc<ServicePolicy>),
    Redirect { status: u16, location: String },
}

enum Step {
    Chosen(Choice),
    /// The service is at its limit.
    Wait(GateQueue, Arc<ServicePolicy>),
    /// It has no instance; what that comes to, and how long it may last.
    Hold(Failure, Arc<ServicePolicy>),
}

/// Finds the route and takes a place on an endpoint, waiting for room in the
/// service, or for an endpoint, if it has to.
async fn choose(
    proxy: &Proxy,
    admitted: &Admitted,
    target: &PathAndQuery,
    parts: &Parts,
    record: &mut Record,
) -> Result<Choice, Failure> {
    let mut holder = Holder::default();
    loop {
        let step = proxy.tables.with(|table| step(table, admitted, target, parts, record))?;
        let (queue, policy) = match step {
            Step::Chosen(choice) => return Ok(choice),
            Step::Wait(queue, policy) => (queue, policy),
            Step::Hold(failure, policy) => {
                // Who waits for nobody keeps nobody else from trying.
                (record.permit, record.pass) = (None, None);
                if holder.wait(proxy, &policy, record).await {
                    continue;
                }
                return Err(failure);
            }
        };
        record.deadline.set(policy.timeouts.queue);
        let timed_out = Failure::new(Reason::QueueTimeout, "the wait for the service was too long");
        let entered = record.deadline.limit(queue.wait()).await;
        record.deadline.clear();
        // What was true before the wait may not be any more: look again.
        record.permit = entered.map_err(|over| elapsed(over, timed_out))?;
    }
}

/// The part that sees one table, and has no await: a worker that acknowledges
/// a newer table has none of these half done.
fn step(
    table: &Table,
    admitted: &Admitted,
    target: &PathAndQuery,
    parts: &Parts,
    record: &mut Record,
) -> Result<Step, Failure> {
    let path = admitted.path(target);
    let lookup =
        Lookup { host: admitted.host(), path, method: &parts.method, headers: &parts.headers };
    let route = table.router.find(&lookup);
    let route =
        route.ok_or(Failure::new(Reason::NoRoute, "no route matches this host and path"))?;
    record.route = Some(Arc::clone(route));
    let slot = match &route.action {
        Action::Forward { slot, .. } => *slot,
        Action::Redirect { to, status } => {
            let location = Route::location(to, route.path(), path, target.query());
            return Ok(Step::Chosen(Choice::Redirect { status: *status, location }));
        }
    };
    let none = Failure::new(Reason::NoHealthyInstance, "no instance of the service is healthy");
    let Some(service) = table.services.get(slot) else { return Err(none) };
    record.service = Some(Arc::clone(&service.state));
    record.pass = pass(service, record.pass.take())?;
    let Some(endpoint) = service.balancer.pick(&service.state.memory, &[]) else {
        let none = none.retry_after(answer::jittered(service.retry_after));
        return Ok(Step::Hold(none, Arc::clone(&service.policy)));
    };
    // A newer table may lead to another service than the one waited for.
    if record.permit.as_ref().is_some_and(|permit| !permit.is_of(&service.state.gate)) {
        record.permit = None;
    }
    if record.permit.is_none() {
        match service.state.gate.try_enter() {
            Ok(permit) => record.permit = permit,
            Err(GateRefusal::Full) => {
                return Err(Failure::new(Reason::Overload, "the service is at its limit"));
            }
            Err(GateRefusal::Wait(queue)) => {
                return Ok(Step::Wait(queue, Arc::clone(&service.policy)));
            }
        }
    }
    record.take_place(InFlight::begin(endpoint));
    Ok(Step::Chosen(Choice::Forward(Arc::clone(route), Arc::clone(&service.policy))))
}

/// The leave of the circuit breaker of `service`, if it has one: that which the
/// request `has` already, or a new one.
fn pass(service: &Service, has: Option<Pass>) -> Result<Option<Pass>, Failure> {
    let Some(policy) = &service.policy.breaker else { return Ok(None) };
    let breaker = &service.state.breaker;
    if let Some(pass) = has.filter(|pass| pass.is_of(breaker)) {
        return Ok(Some(pass));
    }
    breaker.enter(policy, Instant::now()).map(Some).map_err(|left| {
        let seconds = left.as_millis().div_ceil(1000).max(1);
        Failure::new(Reason::CircuitOpen, "the service fails too much and is given a rest")
            .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
    })
}

/// The head as the instance gets it.
fn rewrite(
    parts: Parts,
    admitted: &Admitted,
    target: &PathAndQuery,
    client: &Client,
    route: &Route,
    record: &mut Record,
) -> Result<Request<()>, Failure> {
    let path = admitted.path(target);
    let target = match route.rewrite(path) {
        Some(path) => join(path, target.query()),
        None if admitted.path.is_some() => join(path.to_owned(), target.query()),
        // `http://a.example?b` has no path of its own, and needs one.
        None if target.as_str().starts_with('?') => join(path.to_owned(), target.query()),
        None => Ok(target.clone()),
    };
    let target = target.map_err(|_| Failure::invalid("the rewritten path is too long"))?;
    let mut headers = parts.headers;
    if let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
    if client.trusted
        && let Some(id) = headers.get(X_REQUEST_ID)
    {
        record.request_id = id.clone();
    }
    let via = pseudo::via(record.version);
    headers::to_instance(&mut headers, via, admitted.fields, client, &record.request_id);
    if let Some(left) = admitted.max_forwards {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left));
    }
    if admitted.fields.underscored {
        route.request_edits.remove_disguises(&mut headers);
    }
    route.request_edits.apply(&mut headers);
    let mut request = Request::new(());
    *request.method_mut() = parts.method;
    *request.uri_mut() = target.into();
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Lets the client's body follow the head, within its bounds.
fn attach_body(
    request: &mut Request<RequestBody>,
    incoming: hyper::body::Incoming,
    admitted: &Admitted,
    policy: &ServicePolicy,
    record: &mut Record,
) -> Result<(), Failure> {
    let limit = policy.body.map_or(u64::MAX, Into::into);
    let promised = http_body::Body::size_hint(&incoming).exact();
    if promised.is_some_and(|length| length > limit) {
        let detail = "the request body is longer than the service allows";
        return Err(Failure::new(Reason::RequestTooLarge, detail));
    }
    // Written anew by whoever sends it: not everybody reads "010" as ten.
    request.headers_mut().remove(CONTENT_LENGTH);
    let upload = Rc::new(Upload::default());
    record.upload = Some(Rc::clone(&upload));
    let bounds = UploadBounds {
        deadline: Rc::clone(&record.deadline),
        idle: policy.timeouts.idle,
        response: policy.timeouts.response,
        limit,
        hold: admitted.fields.expect_continue,
    };
    *request.body_mut() = RequestBody::new(incoming, upload, bounds);
    Ok(())
}
