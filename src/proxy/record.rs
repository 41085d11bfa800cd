//! What is written down of a request, from its head to its last byte.
//!
//! A record is made when a request begins and ends exactly once, with exactly
//! one reason. It holds what the request occupies (its place in flight, its
//! permit, its deadline), so that all of it ends together, however it ends.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderValue, Method, Request, Uri, Version, header};

use super::{Proxy, client::Client, form::Form, forwarded, upload::Upload};
use crate::{
    balance::{Pass, Permit},
    deadline::{Deadline, Elapsed},
    model::{Ending, Endpoint, InFlight, ProxyProtocol, Reason},
    routing::{Route, ServiceState},
    telemetry::AccessRecord,
    upstream::Connection,
};

/// The record of one request.
#[derive(Debug)]
pub(super) struct Record {
    proxy: Rc<Proxy>,
    client: Rc<Client>,
    /// When its head was read.
    pub(super) begun: Instant,
    method: Method,
    target: Uri,
    /// What it came by.
    pub(super) version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    /// Where a trusted proxy says that the request comes from.
    told_of: Option<HeaderValue>,
    /// How an answer of the proxy is to look.
    pub(super) form: Form,
    /// The id of the request, as sent to the instance.
    pub(super) request_id: HeaderValue,
    /// The route that matched.
    pub(super) route: Option<Arc<Route>>,
    /// The service of the route.
    pub(super) service: Option<Arc<ServiceState>>,
    /// The place on the endpoint.
    in_flight: Option<InFlight>,
    /// The endpoint that it had a place on, while it has none.
    before: Option<Arc<Endpoint>>,
    /// The place in the service.
    pub(super) permit: Option<Permit>,
    /// The leave of a circuit breaker, until it is told how the request went.
    pub(super) pass: Option<Pass>,
    /// Bounds each phase, and the whole if it is bounded.
    pub(super) deadline: Rc<Deadline>,
    total: Option<Duration>,
    /// What the request side knows of the upload, if there is one.
    pub(super) upload: Option<Rc<Upload>>,
    /// How often an endpoint was asked.
    pub(super) attempts: u8,
    /// Whether the budget did not let it be sent once more.
    pub(super) retry_refused: bool,
    /// Whether the connection had been used before.
    pub(super) reused: bool,
    /// How long the last connect took.
    pub(super) connect: Option<Duration>,
    /// When it was last sent to an instance.
    pub(super) sent: Option<Instant>,
    /// From then to the head of the answer.
    first_byte: Option<Duration>,
    /// The status sent to the client.
    pub(super) status: u16,
    upstream_status: Option<u16>,
    /// Bytes of the response body.
    pub(super) bytes_out: u64,
    ended: bool,
}

impl Record {
    /// Begins the record of `request`, which came by `version`.
    pub(super) fn begin<B>(
        proxy: &Rc<Proxy>,
        client: &Rc<Client>,
        request: &Request<B>,
        version: Version,
    ) -> Box<Self> {
        proxy.metrics.worker(proxy.worker).request_begun();
        let field = |name| request.headers().get(name).cloned();
        Box::new(Self {
            proxy: Rc::clone(proxy),
            client: Rc::clone(client),
            begun: Instant::now(),
            method: request.method().clone(),
            target: request.uri().clone(),
            version,
            host: field(header::HOST),
            user_agent: field(header::USER_AGENT),
            referer: field(header::REFERER),
            told_of: client
                .trusted
                .then(|| forwarded::told_of(request.headers(), client.settings.forwarded))
                .flatten(),
            form: Form::default(),
            request_id: proxy.request_ids.next(),
            route: None,
            service: None,
            in_flight: None,
            before: None,
            permit: None,
            pass: None,
            deadline: Rc::new(Deadline::new()),
            total: None,
            upload: None,
            attempts: 0,
            retry_refused: false,
            reused: false,
            connect: None,
            sent: None,
            first_byte: None,
            status: 0,
            upstream_status: None,
            bytes_out: 0,
            ended: false,
        })
    }

    /// Notes the head of the answer of an instance.
    pub(super) fn answered(&mut self, status: u16) {
        let first_byte = self.count_answer(status);
        self.status = status;
        self.upstream_status = Some(status);
        self.first_byte = Some(first_byte);
        if let Some(pass) = self.pass.take() {
            pass.tell(status < 500, Instant::now());
        }
    }

    /// Counts the head of an answer, which the client may or may not get.
    pub(super) fn count_answer(&self, status: u16) -> Duration {
        let first_byte = self.sent.unwrap_or(self.begun).elapsed();
        if let Some(endpoint) = self.endpoint() {
            endpoint.outcomes.answered(status, first_byte);
        }
        if let Some(service) = &self.service {
            service.metrics.upstream(self.proxy.worker, status, first_byte);
        }
        first_byte
    }

    /// Takes a place on an endpoint. What it had on another moves there.
    pub(super) fn take_place(&mut self, place: InFlight) {
        let tag = place.endpoint().id.value();
        let before = self.before.take();
        let mut last = self.in_flight.replace(place);
        if let Some(last) = &mut last {
            last.moves();
        }
        if before.is_some() || last.is_some() {
            self.outlive();
        }
        self.deadline.tag(tag);
    }

    /// The time of an endpoint that has left is not that of the request.
    fn outlive(&self) {
        if self.deadline.is_expired() {
            self.deadline.clear_total();
            if let Some(total) = self.total {
                self.deadline.set_total(total.saturating_sub(self.elapsed()));
            }
        }
    }

    /// Gives up the place on an endpoint that is done with it, to take one on
    /// another if there ever is one.
    pub(super) fn give_place_up(&mut self) -> Option<Arc<Endpoint>> {
        let mut last = self.in_flight.take()?;
        last.moves();
        self.outlive();
        self.deadline.tag(0);
        self.before = Some(Arc::clone(last.endpoint()));
        self.before.clone()
    }

    /// The endpoint that it has a place on.
    pub(super) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.in_flight.as_ref().map(InFlight::endpoint)
    }

    /// Bounds the whole of the request to `total` from now.
    pub(super) fn bound(&mut self, total: Duration) {
        self.deadline.set_total(total);
        self.total = Some(total + self.elapsed());
    }

    /// Why there is no time left, if there is none. That bound by the clock,
    /// since others who hold to it may have noticed a tick before.
    pub(super) fn over(&self) -> Option<Elapsed> {
        if self.deadline.is_expired() {
            return Some(Elapsed::Expired);
        }
        self.total.filter(|total| self.elapsed() >= *total).map(|_| Elapsed::Total)
    }

    /// Time since the request began.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Why the upload broke off, if it did.
    pub(super) fn upload_failure(&self) -> Option<Reason> {
        self.upload.as_ref().and_then(|upload| upload.failure.get())
    }

    /// The client that a connection is made for, if the instance is told.
    pub(super) fn announced_as(&self, protocol: ProxyProtocol) -> Option<SocketAddr> {
        let peer = &self.client.peer;
        (protocol != ProxyProtocol::Off).then(|| peer.announced.unwrap_or(peer.address))
    }

    /// How the instance is told.
    pub(super) fn announcement(&self, protocol: ProxyProtocol) -> Vec<u8> {
        let local = self.client.peer.local;
        let header = |client| protocol.header(client, local);
        self.announced_as(protocol).map(header).unwrap_or_default()
    }

    /// Keeps `connection`, idle from `now` on, for the next request to the
    /// same endpoint.
    pub(super) fn keep(&self, connection: Connection, now: Instant) {
        if let Some(endpoint) = self.endpoint() {
            self.proxy.pools.put(endpoint, connection, now);
        }
    }

    /// Ends the record.
    pub(super) fn end(self: Box<Self>, reason: Reason) {
        self.end_at(reason, Instant::now());
    }

    /// Ends the record at `now`.
    pub(super) fn end_at(mut self: Box<Self>, reason: Reason, now: Instant) {
        self.finish(reason, now);
    }

    fn finish(&mut self, reason: Reason, now: Instant) {
        self.ended = true;
        let took = now.saturating_duration_since(self.begun);
        let bytes_in = self.upload.as_ref().map_or(0, |upload| upload.bytes.get());
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.ends(reason.ending());
            let endpoint = in_flight.endpoint();
            if blames_instance(reason) {
                endpoint.record_failure(reason == Reason::ConnectRefused);
            } else if self.upstream_status.is_some() {
                endpoint.outcomes.ended_well();
            }
        }
        if let Some(before) = &self.before
            && reason.ending() == Ending::Failed
        {
            before.moved_in_vain();
        }
        // Else nothing was learned of the service.
        if let Some(pass) = self.pass.take()
            && (blames_instance(reason) || reason == Reason::RequestTimeout)
        {
            pass.tell(false, self.begun + took);
        }
        let local = self.upstream_status.is_none() && self.status != 0;
        self.proxy.metrics.worker(self.proxy.worker).request_ended(reason, local);
        let unrouted = self.proxy.metrics.unrouted();
        let route = self.route.as_ref().map_or(unrouted, |route| &route.metrics);
        let (worker, bytes_out) = (self.proxy.worker, self.bytes_out);
        route.record(worker, &self.method, self.status, took, bytes_in, bytes_out);
        if self.proxy.access_log.wants(reason, self.status) {
            self.log(reason, took, bytes_in);
        }
    }

    /// Who has asked, as far as trusted proxies tell.
    fn client_address(&self) -> IpAddr {
        let told = self
            .told_of
            .as_ref()
            .and_then(|line| forwarded::client_in(line, &self.client.settings.trusted_proxies));
        told.unwrap_or_else(|| self.client.peer.ip())
    }

    /// Who has sent the request.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    #[cold]
    fn log(&self, reason: Reason, took: Duration, bytes_in: u64) {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        self.proxy.access_log.write(Box::new(AccessRecord {
            time: SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH),
            request_id: text(&self.request_id),
            client: self.client_address(),
            peer: self.client.peer.address,
            method: self.method.clone(),
            scheme: self.client.peer.scheme(),
            host: self.host.as_ref().map(text).unwrap_or_default(),
            path: self.target.path().to_owned(),
            query: self.target.query().map(str::to_owned),
            tls_version: self.client.peer.tls.as_ref().map(|tls| tls.version),
            sni: self.client.peer.tls.as_ref().and_then(|tls| tls.server_name.clone()),
            protocol: self.version,
            status: self.status,
            reason,
            route: self.route.as_ref().map(|route| Arc::clone(&route.name)),
            service: self.service.as_ref().map(|service| service.name.clone()),
            endpoint: self.endpoint().cloned(),
            attempts: self.attempts.into(),
            retry: self.retry_refused.then_some("budget"),
            upstream_status: self.upstream_status,
            duration: took,
            upstream: self.first_byte,
            connect: self.connect,
            bytes_in,
            bytes_out: self.bytes_out,
            conn_reused: self.reused,
            user_agent: self.user_agent.clone(),
            referer: self.referer.clone(),
        }));
    }
}

impl Drop for Record {
    /// Nobody is left who could have ended it.
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Reason::ClientGone, Instant::now());
        }
    }
}

const fn blames_instance(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectRefused
            | Reason::ConnectFailed
            | Reason::ConnectTimeout
            | Reason::DnsError
            | Reason::TlsCertificateError
            | Reason::TlsProtocolError
            | Reason::UpstreamReset
            | Reason::UpstreamProtocolError
            | Reason::ResponseTimeout
            | Reason::ResponseIdleTimeout
            | Reason::ResponseTruncated
    )
}
