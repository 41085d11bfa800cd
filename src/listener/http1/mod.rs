//! One HTTP/1.1 client connection, from its first byte to its last.
//!
//! hyper parses and writes; `guard` stands between it and the socket and lets
//! through what no two parsers can read in two ways.

mod chunks;
mod guard;
mod head;
mod refusal;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    os::fd::AsFd,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header::CONNECTION};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::http1::{self, Parts},
    service::service_fn,
};
use hyper_util::rt::TokioIo;

use crate::deadline::{Remaining, Tagged};

use super::{
    ClientStream, Farewell, ListenerSettings,
    activity::{Activity, Busy},
};

use guard::Guard;
use head::Limits;

pub use refusal::Refusal;

/// hyper asks for at least this much.
const LEAST_HEAD: usize = 8192;

/// The most header fields that hyper takes unless told otherwise.
const HYPER_FIELDS: usize = 100;

/// What answers the requests of a connection.
pub trait Service {
    /// The body of an answer.
    type Body: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Tagged
        + Unpin
        + 'static;

    /// Answers a request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>>;

    /// Answers what is not even a request. The connection ends with it.
    fn refuse(&self, refusal: &Refusal) -> Response<Self::Body>;
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// As it should: one side closed it between two requests, or it was
    /// upgraded.
    Closed,
    /// It was idle, or took too long to send a head.
    TimedOut,
    /// hyper gave up on it. It has answered what can be answered.
    Broken(hyper::Error),
    /// Another process is to serve it from here on.
    Moved(Moved),
}

/// A connection between two requests.
#[derive(Debug)]
pub struct Moved {
    /// The socket.
    pub stream: std::net::TcpStream,
    /// Bytes that were read already.
    pub ahead: Bytes,
}

/// Serves one connection, of which `ahead` was read already, with `service`
/// until it ends or, after `shutdown`, moves if it can.
pub async fn serve<I: ClientStream, S: Service>(
    stream: I,
    ahead: Bytes,
    settings: &ListenerSettings,
    service: &S,
    shutdown: impl Future<Output = Farewell>,
) -> End {
    let moves = stream.moves();
    let activity = Activity::new(settings.head_timeout.into(), settings.idle_timeout.into());
    let most_fields = settings.max_head_fields.get();
    let largest = settings.max_head_size.bytes();
    let limits = Limits::new(largest, settings.max_target_size.bytes(), most_fields);
    let guard = Guard::new(stream, ahead, Arc::clone(&activity), limits);
    let answer = async |request: Request<Incoming>, busy: Busy| {
        let only_reset_tells = request.version() == Version::HTTP_10;
        let mut response = match busy.activity().refusal() {
            None => service.answer(request).await,
            Some(refusal) => service.refuse(refusal),
        };
        let bound = response.extensions().get::<Remaining>().copied();
        busy.activity().bound(bound, response.body().tag());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            busy.activity().switch();
        } else if busy.activity().is_closing() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(response.map(|body| Tracked { body, busy, only_reset_tells }))
    };
    let service = service_fn(|request: Request<Incoming>| {
        let refused = activity.refusal().is_some();
        let busy = activity.begin(refused || !request.body().is_end_stream());
        answer(request, busy)
    });
    let mut builder = http1::Builder::new();
    let most_fields = most_fields as usize;
    if most_fields != HYPER_FIELDS {
        // Asked for even the bound that it has anyway, hyper fills its tables
        // of fields anew for every request.
        builder.max_headers(most_fields);
    }
    let mut connection = builder
        .max_buf_size(largest.max(LEAST_HEAD))
        .serve_connection(TokioIo::new(guard), service)
        .with_upgrades();
    let mut shutdown = pin!(shutdown);
    let mut leaving = false;
    let end = poll_fn(|context| {
        let mut outcome = Pin::new(&mut connection).poll(context);
        while outcome.is_pending() && activity.lets_go() {
            outcome = Pin::new(&mut connection).poll(context);
        }
        // Only then: a request that is there already is to be answered.
        if outcome.is_pending()
            && !leaving
            && let Poll::Ready(farewell) = shutdown.as_mut().poll(context)
        {
            leaving = true;
            activity.leave(if moves { farewell } else { Farewell::Close });
        }
        if outcome.is_pending() && leaving && activity.begin_move() {
            // hyper ends at once if it is between two requests; else, in the
            // middle of a head or an upload, the connection ends here.
            Pin::new(&mut connection).graceful_shutdown();
            outcome = Pin::new(&mut connection).poll(context);
            if outcome.is_pending() {
                activity.stay();
            }
        }
        match outcome {
            Poll::Ready(Ok(())) => Poll::Ready(End::Closed),
            Poll::Ready(Err(error)) => Poll::Ready(End::Broken(error)),
            Poll::Pending if activity.poll_over(context).is_pending() => Poll::Pending,
            // Now it is told to the client, or the connection is closed.
            Poll::Pending if activity.end_wait() => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(End::TimedOut),
        }
    })
    .await;
    match end {
        End::Closed if activity.is_moved() => connection.into_parts().map_or(end, taken_apart),
        end => end,
    }
}

fn taken_apart<I: ClientStream, S>(parts: Parts<TokioIo<Guard<I>>, S>) -> End {
    let guard = parts.io.inner();
    let socket = guard.stream().socket().as_fd().try_clone_to_owned();
    // What hyper has read came before what it has not.
    let ahead = [&parts.read_buf, guard.held()].concat().into();
    // Without a descriptor to spare it is closed.
    socket.map_or(End::Closed, |socket| End::Moved(Moved { stream: socket.into(), ahead }))
}

/// A response body that keeps its connection busy.
struct Tracked<B> {
    body: B,
    busy: Busy,
    /// To HTTP/1.0 a goodbye is how a response without a length ends, also one
    /// that broke off (RFC 9112 section 8).
    only_reset_tells: bool,
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if self.only_reset_tells && matches!(frame, Poll::Ready(Some(Err(_)))) {
            self.busy.activity().break_off();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
