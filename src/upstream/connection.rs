//! One connection to an endpoint, and what is known of its life.

use std::{
    future::Future,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{TryFutureExt, future::Either};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;

use super::{
    Incoming, Stream,
    http1::{self, Outgoing, SendError},
    http2::{self, Place},
};

/// A connection over which a request can be sent.
#[derive(Debug)]
pub struct Connection {
    kind: Kind,
    /// How long it was idle before it was used last.
    pub(super) rested: Duration,
}

#[derive(Debug)]
enum Kind {
    /// One that is used for one request after another.
    Http1(http1::Connection<Stream>),
    /// A place on one that is used for many at once.
    Http2(Place),
}

impl From<http1::Connection<Stream>> for Connection {
    fn from(http1: http1::Connection<Stream>) -> Self {
        Self { kind: Kind::Http1(http1), rested: Duration::ZERO }
    }
}

impl From<Place> for Connection {
    fn from(place: Place) -> Self {
        let rested = place.idle_for;
        Self { kind: Kind::Http2(place), rested }
    }
}

impl Connection {
    /// Speaks HTTP/1.1 over `stream`. If the other side was told for which
    /// `client` it is made, it is used for no other.
    #[must_use]
    pub fn open(stream: Stream, client: Option<SocketAddr>) -> Self {
        let mut http1 = http1::Connection::new(stream);
        if let Some(client) = client {
            http1.for_client(client);
        }
        http1.into()
    }

    /// The only client that it may be used for, if there is one.
    pub(super) fn client(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Http1(http1) => http1.client(),
            Kind::Http2(_) => None,
        }
    }

    /// Sends `head` with `body`, and waits for the head of the answer. Those
    /// that come before it, 100 and 103, are told to `interim`.
    ///
    /// # Errors
    ///
    /// When there is none. The error holds the body if no byte of the request
    /// was written.
    pub fn send<B>(
        self,
        head: &Request<()>,
        body: Outgoing<B>,
        interim: impl FnMut(StatusCode, &HeaderMap),
    ) -> impl Future<Output = Result<Response<Incoming>, SendError<B>>>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
    {
        match self.kind {
            Kind::Http1(http1) => {
                let sent = http1.send(head, body, interim);
                Either::Left(sent.map_ok(|answer| answer.map(Incoming::Http1)))
            }
            // Apart: it needs more room.
            Kind::Http2(place) => {
                let sent = Box::pin(http2::send(place, head, body, interim));
                Either::Right(sent.map_ok(|answer| answer.map(Incoming::Http2)))
            }
        }
    }

    /// Whether others share it.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Http2(_))
    }

    /// Whether a WebSocket can be carried by it.
    #[must_use]
    pub fn carries_websocket(&self) -> bool {
        match &self.kind {
            Kind::Http1(_) => true,
            Kind::Http2(place) => place.extends_connect(),
        }
    }

    /// How long it was idle before it was taken out of its pool.
    #[must_use]
    pub const fn rested(&self) -> Duration {
        self.rested
    }

    /// For how long the endpoint said last that it keeps it when idle.
    pub(super) fn announcement(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Http1(http1) => http1.announced(),
            Kind::Http2(_) => None,
        }
    }

    /// Lets it be idle. False if it has ended.
    pub(super) fn rest(&mut self) -> bool {
        match &mut self.kind {
            Kind::Http1(http1) => http1.rest(),
            // The pool has what it belongs to.
            Kind::Http2(_) => false,
        }
    }

    /// Whether it can be used after it was idle.
    pub(super) fn is_open(&mut self) -> bool {
        match &mut self.kind {
            Kind::Http1(http1) => http1.is_open(),
            Kind::Http2(_) => false,
        }
    }

    /// When it ended while it was idle.
    pub(super) fn ended(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Http1(http1) => http1.ended(),
            Kind::Http2(_) => None,
        }
    }
}
