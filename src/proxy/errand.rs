//! A request on its way to an instance, once it is known to which service: its
//! head as instances get it, its body, and what is done with the answer.

use std::{mem, rc::Rc, sync::Arc, time::Duration};

use http::{
    HeaderValue, Request, Response, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, MAX_FORWARDS},
    request::Parts,
    uri::PathAndQuery,
};
use hyper::upgrade::OnUpgrade;

use super::{
    Proxy,
    admission::Admitted,
    body::ResponseBody,
    client::Client,
    failure::Failure,
    forward::Wanted,
    grpc,
    grpc_web::WebCall,
    headers::{self, X_REQUEST_ID},
    pseudo,
    record::Record,
    send, switch, tunnel,
    upload::{RequestBody, Upload, UploadBounds},
    websocket::Asked,
};
use crate::{
    deadline::Remaining,
    model::{Reason, ServicePolicy},
    routing::{Route, join},
    upstream::{self, Incoming, Outgoing},
};

/// A request that can be sent.
pub(super) struct Errand {
    head: Request<()>,
    body: Outgoing<RequestBody>,
    route: Arc<Route>,
    policy: Arc<ServicePolicy>,
    /// Bounds the request as a whole.
    total: Option<Duration>,
    /// The client's half of an upgrade that it asks for.
    upgrade: Option<OnUpgrade>,
    /// What it asked for by HTTP/2.
    asked: Option<Asked>,
    /// A browser waits for the answer.
    web: Option<WebCall>,
}

impl Errand {
    /// What `client` wants, sent to the service of `route`.
    ///
    /// # Errors
    ///
    /// The reason that it cannot be sent there for.
    pub(super) fn new(
        wanted: Wanted,
        client: &Client,
        (route, policy): (Arc<Route>, Arc<ServicePolicy>),
        record: &mut Record,
    ) -> Result<Self, Failure> {
        let Wanted { admitted, parts, target, incoming, upgrade, asked } = wanted;
        let total = route.timeout.or(policy.timeouts.request).filter(|total| !total.is_zero());
        let patience =
            admitted.fields.grpc_timeout.then(|| grpc::timeout(&parts.headers)).flatten();
        let total = total.into_iter().chain(patience).min();
        if let Some(total) = total {
            record.bound(total);
        }
        let mut head = rewrite(parts, &admitted, &target, client, &route, record)?;
        let mut body = RequestBody::empty();
        if !http_body::Body::is_end_stream(&incoming) {
            body = upload(&mut head, incoming, &admitted, &policy, record)?;
        }
        let web = route.settings.grpc_web.then(|| WebCall::asked_by(head.headers())).flatten();
        if let Some(web) = web {
            web.translate(&mut head);
            body.decode(web.decoder());
        }
        let body = Outgoing::new(body);
        Ok(Self { head, body, route, policy, total, upgrade, asked, web })
    }

    /// Sends it, to one instance after the other if that is safe, until there
    /// is an answer.
    ///
    /// # Errors
    ///
    /// The reason that there is none for.
    pub(super) async fn run(
        &mut self,
        proxy: &Proxy,
        record: &mut Record,
    ) -> Result<Answer, Failure> {
        let Self { head, body, route, policy, .. } = self;
        let sent = send::send(proxy, head, body, (route, policy), record).await;
        upstream::recycle(mem::take(self.head.headers_mut()));
        self.accept(sent?, record)
    }

    fn accept(
        &mut self,
        mut response: Response<Incoming>,
        record: &mut Record,
    ) -> Result<Answer, Failure> {
        record.answered(response.status().as_u16());
        if let Some(total) = self.total {
            let rest = total.saturating_sub(record.elapsed());
            response.extensions_mut().insert(Remaining(rest));
        }
        let upgrade = switch::accept(&mut response, self.upgrade.take(), self.asked.take())?;
        let web = self.web.filter(|web| web.answer(response.headers_mut()));
        self.route.response_edits.apply(response.headers_mut());
        if record.upload.as_ref().is_some_and(|upload| upload.held.get()) {
            // The client may or may not send the body that was not asked for.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(Answer { response, policy: Arc::clone(&self.policy), upgrade, web })
    }
}

/// The head of an instance's answer, and where the rest comes from.
pub(super) struct Answer {
    response: Response<Incoming>,
    policy: Arc<ServicePolicy>,
    /// The client's half of an upgrade that the instance agreed to.
    upgrade: Option<OnUpgrade>,
    /// A browser waits for it.
    web: Option<WebCall>,
}

impl Answer {
    /// The answer that the client gets.
    pub(super) fn into_response(
        self,
        proxy: &Proxy,
        record: Box<Record>,
    ) -> Response<ResponseBody> {
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

/// The client's body behind `head`, within its bounds.
fn upload(
    head: &mut Request<()>,
    incoming: hyper::body::Incoming,
    admitted: &Admitted,
    policy: &ServicePolicy,
    record: &mut Record,
) -> Result<RequestBody, Failure> {
    let limit = policy.body.map_or(u64::MAX, Into::into);
    let promised = http_body::Body::size_hint(&incoming).exact();
    if promised.is_some_and(|length| length > limit) {
        let detail = "the request body is longer than the service allows";
        return Err(Failure::new(Reason::RequestTooLarge, detail));
    }
    // Written anew by whoever sends it: not everybody reads "010" as ten.
    head.headers_mut().remove(CONTENT_LENGTH);
    let upload = Rc::new(Upload::default());
    record.upload = Some(Rc::clone(&upload));
    let bounds = UploadBounds {
        deadline: Rc::clone(&record.deadline),
        idle: policy.timeouts.idle,
        response: policy.timeouts.response,
        limit,
        hold: admitted.fields.expect_continue,
    };
    Ok(RequestBody::new(incoming, upload, bounds))
}
