//! The life of one request: admission, table, endpoint, connection, answer.
//!
//! A [`Proxy`] is one worker's: it stays on its thread and shares nothing with
//! the others but the table and atomics. Begin to read at `forward`.

mod admission;
mod answer;
mod attempt;
mod body;
mod client;
mod errand;
mod failure;
mod form;
mod forward;
mod forwarded;
mod grpc;
mod grpc_web;
mod headers;
mod hold;
mod opening;
mod proxy_status;
mod pseudo;
mod record;
mod replay;
mod request_id;
mod send;
mod switch;
mod tunnel;
mod unread;
mod upload;
mod websocket;

use std::{future::Future, rc::Rc, sync::Arc};

use http::{HeaderMap, HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;

use crate::{
    model::{Reason, SharedGuard},
    routing::Reader,
    telemetry::{AccessLog, Metrics},
    tls::Proofs,
    upstream::Pools,
};

use failure::Failure;
use form::Form;
use record::Record;

pub use body::{BrokenBody, ResponseBody};
pub use client::Client;
pub use upload::RequestBody;

/// The fields of `request` as an instance gets them from `client`, as far as no
/// route changes them: for whoever wants to try that out on many requests.
///
/// # Errors
///
/// The reason that the request is refused for.
pub fn passed_on(request: Request<()>, client: &Client) -> Result<HeaderMap, Reason> {
    let admitted = admission::admit(&request, client).map_err(|failure| failure.reason)?;
    let mut headers = request.into_parts().0.headers;
    let (via, id) = (HeaderValue::from_static("1.1 portolan"), HeaderValue::from_static("id"));
    headers::to_instance(&mut headers, via, admitted.fields, client, &id);
    Ok(headers)
}

/// Takes out of `trailers`, of either side, what does not reach the other: for
/// whoever wants to try that out.
pub fn pass_trailers_on(trailers: &mut HeaderMap) {
    headers::clean_trailers(trailers);
}

/// The proxy of one worker.
#[derive(Debug)]
pub struct Proxy {
    /// The number of the worker, from 0.
    pub worker: usize,
    /// Where requests go.
    pub tables: Reader,
    /// Idle connections to instances.
    pub pools: Pools,
    /// Counters of the process.
    pub metrics: Arc<Metrics>,
    /// The access log of the process.
    pub access_log: AccessLog,
    /// The address rules.
    pub guard: SharedGuard,
    /// What proves names to a CA.
    pub proofs: Proofs,
    /// What has to end before the worker does: connections and tunnels.
    pub tasks: TaskTracker,
    request_ids: request_id::RequestIds,
}

impl Proxy {
    /// The proxy of `worker`.
    #[must_use]
    pub fn new(
        worker: usize,
        tables: Reader,
        metrics: Arc<Metrics>,
        access_log: AccessLog,
        guard: SharedGuard,
        proofs: Proofs,
    ) -> Self {
        let request_ids = request_id::RequestIds::default();
        let pools = Pools::default();
        let tasks = TaskTracker::new();
        Self { worker, tables, pools, metrics, access_log, guard, proofs, tasks, request_ids }
    }
}

/// What a client connection is served with.
#[derive(Clone, Debug)]
pub struct ClientService {
    proxy: Rc<Proxy>,
    client: Rc<Client>,
}

impl ClientService {
    /// Serves `client` with `proxy`.
    #[must_use]
    pub fn new(proxy: Rc<Proxy>, client: Client) -> Self {
        Self { proxy, client: Rc::new(client) }
    }

    /// Answers `request`. Failures are answers too.
    pub fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<ResponseBody>> + use<> {
        forward::handle(Rc::clone(&self.proxy), Rc::clone(&self.client), request)
    }

    /// See [`Proxy::refused_unread`].
    pub fn refused_unread(&self, protocol: Version, reason: Reason) {
        self.proxy.refused_unread(&self.client, protocol, reason);
    }

    /// Answers what was refused before it was a request, of which `request` is
    /// what could be read.
    pub fn refuse(
        &self,
        request: &Request<()>,
        reason: Reason,
        detail: &'static str,
    ) -> Response<ResponseBody> {
        let mut record = Record::begin(&self.proxy, &self.client, request, request.version());
        record.form = Form::asked_by(request.headers());
        answer::failure(record, &Failure::new(reason, detail))
    }
}
