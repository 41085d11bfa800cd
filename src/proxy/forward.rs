//! The life of one request, top to bottom.
//!
//! [`handle`] does what can be done without waiting (admission, table,
//! endpoint) and sees that failures become answers and that the record ends;
//! what waits for an instance is an [`Errand`]. What follows the head of the
//! answer rides in the body.

use std::{future::Future, rc::Rc, sync::Arc, time::Instant};

use http::{Method, Request, Response, request::Parts, uri::PathAndQuery};
use hyper::{body::Incoming, upgrade::OnUpgrade};

use super::{
    Proxy,
    admission::{self, Admitted},
    answer,
    body::ResponseBody,
    client::Client,
    errand::Errand,
    failure::{Failure, elapsed},
    form::Form,
    hold::Holder,
    pseudo,
    record::Record,
    websocket::Asked,
};
use crate::{
    balance::{GateQueue, GateRefusal, Pass},
    model::{InFlight, Reason, ServicePolicy},
    routing::{Action, Lookup, Route, Service, Table},
};

/// Answers one request of `client`.
///
/// Each request passes through the memory of this future, and all connections
/// of a worker share its caches: it holds little but what is needed while an
/// instance is waited for. That it is no `async fn` saves a second place for
/// the request.
#[allow(clippy::manual_async_fn, reason = "see above")]
pub(super) fn handle(
    proxy: Rc<Proxy>,
    client: Rc<Client>,
    mut request: Request<Incoming>,
) -> impl Future<Output = Response<ResponseBody>> {
    async move {
        let version = request.version();
        let flat = pseudo::flatten(&mut request, &client);
        let mut record = Record::begin(&proxy, &client, &request, version);
        let mut stage = begin(&proxy, &client, (request, flat), &mut record);
        loop {
            match stage {
                Stage::Goes(ref mut errand) => {
                    return match errand.run(&proxy, &mut record).await {
                        Ok(answer) => answer.into_response(&proxy, record),
                        Err(failure) => answer::failure(record, &failure),
                    };
                }
                // Apart, so that requests that do not wait carry no room for it.
                Stage::Waits(waiting) => {
                    stage = Box::pin(waiting.wait(&proxy, &mut record)).await;
                }
                Stage::Settled(settled) => return settled.into_response(record),
            }
        }
    }
}

/// How far a request has come.
#[allow(clippy::large_enum_variant, reason = "nearly all are the large one")]
enum Stage {
    /// To an instance.
    Goes(Errand),
    /// For room in the service, or for an endpoint.
    Waits(Box<Waiting>),
    Settled(Settled),
}

impl From<Result<Self, Settled>> for Stage {
    fn from(stage: Result<Self, Settled>) -> Self {
        stage.unwrap_or_else(Self::Settled)
    }
}

/// A request that no instance is needed for.
enum Settled {
    Redirect {
        status: u16,
        location: String,
    },
    /// It was for the proxy itself.
    Options,
    /// It was for the proxy itself, from a CA that wants to see this.
    Proof(Arc<str>),
    Failed(Failure),
}

impl From<Failure> for Settled {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Settled {
    fn into_response(self, record: Box<Record>) -> Response<ResponseBody> {
        match self {
            Self::Redirect { status, location } => answer::redirect(record, status, &location),
            Self::Options => answer::options(record),
            Self::Proof(text) => answer::proof(record, &text),
            Self::Failed(failure) => answer::failure(record, &failure),
        }
    }
}

/// What a client wants.
pub(super) struct Wanted {
    pub(super) admitted: Admitted,
    pub(super) parts: Parts,
    pub(super) target: PathAndQuery,
    pub(super) incoming: Incoming,
    /// The client's half of an upgrade that it asks for.
    pub(super) upgrade: Option<OnUpgrade>,
    /// What it asked for by HTTP/2.
    pub(super) asked: Option<Asked>,
}

fn begin(
    proxy: &Proxy,
    client: &Rc<Client>,
    (request, flat): (Request<Incoming>, Result<(), Failure>),
    record: &mut Record,
) -> Stage {
    let admitted = flat.and_then(|()| admission::admit(&request, client));
    match admitted {
        Ok(admitted) => settle_or_go(proxy, client, (request, admitted), record).into(),
        Err(failure) => {
            record.form = Form::asked_by(request.headers());
            Stage::Settled(Settled::Failed(failure))
        }
    }
}

fn settle_or_go(
    proxy: &Proxy,
    client: &Rc<Client>,
    (mut request, mut admitted): (Request<Incoming>, Admitted),
    record: &mut Record,
) -> Result<Stage, Settled> {
    record.form = admitted.fields.form;
    if admitted.for_proxy {
        return Err(Settled::Options);
    }
    if let Some(text) = proxy.proofs.text(request.uri().path()) {
        return Err(Settled::Proof(text));
    }
    if client.settings.redirect_to_https {
        return Err(to_https(&request, &admitted, client)?);
    }
    // RFC 6455 section 4.1. An upgrade with a body would be two messages in one.
    admitted.fields.websocket &=
        request.method() == Method::GET && http_body::Body::is_end_stream(request.body());
    let asked = request.extensions_mut().remove::<Asked>();
    let upgrade = admitted.fields.websocket.then(|| hyper::upgrade::on(&mut request));
    let (parts, incoming) = request.into_parts();
    let target = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let wanted = Wanted { admitted, parts, target, incoming, upgrade, asked };
    match proxy.tables.with(|table| step(table, &wanted, record))? {
        Step::Chosen(choice) => Ok(Stage::Goes(choice.errand(wanted, client, record)?)),
        Step::Wait(wait) => {
            let client = Rc::clone(client);
            Ok(Stage::Waits(Box::new(Waiting { wanted, client, wait })))
        }
    }
}

/// The redirect of a listener that answers with nothing else.
fn to_https(
    request: &Request<impl http_body::Body>,
    admitted: &Admitted,
    client: &Client,
) -> Result<Settled, Failure> {
    let host = admitted.host();
    if host.is_empty() {
        return Err(Failure::invalid("a redirect needs a Host"));
    }
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let location = match client.settings.https_port.get() {
        443 => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    Ok(Settled::Redirect { status: 308, location })
}

enum Choice {
    Forward(Arc<Route>, Arc<ServicePolicy>),
    Redirect { status: u16, location: String },
}

impl Choice {
    fn errand(
        self,
        wanted: Wanted,
        client: &Client,
        record: &mut Record,
    ) -> Result<Errand, Settled> {
        match self {
            Self::Forward(route, policy) => {
                Ok(Errand::new(wanted, client, (route, policy), record)?)
            }
            Self::Redirect { status, location } => Err(Settled::Redirect { status, location }),
        }
    }
}

enum Step {
    Chosen(Choice),
    Wait(Wait),
}

enum Wait {
    /// The service is at its limit.
    Queue(GateQueue, Arc<ServicePolicy>),
    /// It has no instance; what that comes to, and how long it may last.
    Hold(Failure, Arc<ServicePolicy>),
}

/// A request without a place on an endpoint.
struct Waiting {
    wanted: Wanted,
    client: Rc<Client>,
    wait: Wait,
}

impl Waiting {
    /// Waits for a place.
    async fn wait(self: Box<Self>, proxy: &Proxy, record: &mut Record) -> Stage {
        let Self { wanted, client, wait } = *self;
        match choose(&wanted, wait, proxy, record).await {
            Ok(choice) => choice.errand(wanted, &client, record).map(Stage::Goes).into(),
            Err(failure) => Stage::Settled(Settled::Failed(failure)),
        }
    }
}

async fn choose(
    wanted: &Wanted,
    mut wait: Wait,
    proxy: &Proxy,
    record: &mut Record,
) -> Result<Choice, Failure> {
    let mut holder = Holder::default();
    loop {
        match wait {
            Wait::Queue(queue, policy) => {
                record.deadline.set(policy.timeouts.queue);
                let detail = "the wait for the service was too long";
                let timed_out = Failure::new(Reason::QueueTimeout, detail);
                let entered = record.deadline.limit(queue.wait()).await;
                record.deadline.clear();
                record.permit = entered.map_err(|over| elapsed(over, timed_out))?;
            }
            Wait::Hold(failure, policy) => {
                // Who waits for nobody keeps nobody else from trying.
                (record.permit, record.pass) = (None, None);
                if !holder.wait(proxy, &policy, record).await {
                    return Err(failure);
                }
            }
        }
        // What was true before the wait may not be any more: look again.
        match proxy.tables.with(|table| step(table, wanted, record))? {
            Step::Chosen(choice) => return Ok(choice),
            Step::Wait(again) => wait = again,
        }
    }
}

/// The part that sees one table, and has no await: a worker that acknowledges
/// a newer table has none of these half done.
fn step(table: &Table, wanted: &Wanted, record: &mut Record) -> Result<Step, Failure> {
    let Wanted { admitted, parts, target, .. } = wanted;
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
        return Ok(Step::Wait(Wait::Hold(none, Arc::clone(&service.policy))));
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
                return Ok(Step::Wait(Wait::Queue(queue, Arc::clone(&service.policy))));
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
