//! One HTTP/1.1 client connection, from its first byte to its last.
//!
//! hyper parses and writes; `guard` stands between it and the socket and lets
//! through what no two parsers can read in two ways.

mod activity;
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

use super::{ClientStream, Farewell, ListenerSettings};

use activity::{Activity, Busy, Over};
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
/// until it ends or, after `shutdown`, moves if it can. If that is `late`, the
/// head that it begins has had its time.
///
/// While nothing happens on it, only the socket is kept: what it takes to serve
/// a request is made again when bytes come.
pub async fn serve<I: ClientStream, S: Service>(
    stream: I,
    (ahead, late): (Bytes, bool),
    settings: &ListenerSettings,
    service: &S,
    shutdown: impl Future<Output = Farewell>,
) -> End {
    let activity = Activity::new(settings.head_timeout.into(), settings.idle_timeout.into());
    if late {
        activity.hurry();
    }
    let mut goodbye = Goodbye { moves: stream.moves(), said: false, shutdown: pin!(shutdown) };
    let largest = settings.max_head_size.bytes();
    let most_fields = settings.max_head_fields.get();
    let limits = Limits::new(largest, settings.max_target_size.bytes(), most_fields);
    let mut guard = Guard::new(stream, ahead, Arc::clone(&activity), limits);
    loop {
        // In a place of its own, which is given back while it rests.
        let turn = Box::pin(converse(guard, &activity, settings, service, &mut goodbye));
        guard = match turn.await {
            Turn::Ended(end) => return end,
            Turn::Rests(guard) => guard,
        };
        if let Some(end) = rest(&guard, &activity, &mut goodbye).await {
            return end;
        }
        activity.rise();
    }
}

/// When a connection is to end here, and whether that has been said to it.
struct Goodbye<'a, F> {
    moves: bool,
    said: bool,
    shutdown: Pin<&'a mut F>,
}

impl<F: Future<Output = Farewell>> Goodbye<'_, F> {
    /// Says it when it is time. Answers with whether it has been said.
    fn poll(&mut self, context: &mut Context<'_>, activity: &Activity) -> bool {
        if !self.said
            && let Poll::Ready(farewell) = self.shutdown.as_mut().poll(context)
        {
            self.said = true;
            activity.leave(if self.moves { farewell } else { Farewell::Close });
        }
        self.said
    }
}

/// What became of a connection that hyper has served.
enum Turn<I: ClientStream> {
    Ended(End),
    /// It is between two requests, and has been for a while.
    Rests(Guard<I>),
}

/// Serves a connection until it ends, moves or rests.
async fn converse<I: ClientStream, S: Service>(
    guard: Guard<I>,
    activity: &Arc<Activity>,
    settings: &ListenerSettings,
    service: &S,
    goodbye: &mut Goodbye<'_, impl Future<Output = Farewell>>,
) -> Turn<I> {
    let service = service_fn(|request: Request<Incoming>| {
        let refused = activity.refusal().map(|refusal| Box::new(service.refuse(refusal)));
        let only_reset_tells = request.version() == Version::HTTP_10;
        let busy = activity.begin(refused.is_some() || !request.body().is_end_stream());
        async move {
            let response = match refused {
                None => service.answer(request).await,
                Some(refused) => *refused,
            };
            Ok::<_, Infallible>(track(response, busy, only_reset_tells))
        }
    });
    let mut builder = http1::Builder::new();
    let most_fields = settings.max_head_fields.get() as usize;
    if most_fields != HYPER_FIELDS {
        // Asked for even the bound that it has anyway, hyper fills its tables
        // of fields anew for every request.
        builder.max_headers(most_fields);
    }
    let mut connection = builder
        .max_buf_size(settings.max_head_size.bytes().max(LEAST_HEAD))
        .serve_connection(TokioIo::new(guard), service)
        .with_upgrades();
    let end = poll_fn(|context| {
        let mut outcome = Pin::new(&mut connection).poll(context);
        while outcome.is_pending() && activity.lets_go() {
            outcome = Pin::new(&mut connection).poll(context);
        }
        // Only then: a request that is there already is to be answered.
        let mut apart =
            outcome.is_pending() && goodbye.poll(context, activity) && activity.begin_move();
        let mut over = Poll::Pending;
        if outcome.is_pending() && !apart {
            over = activity.poll_over(context);
            apart = over == Poll::Ready(Over::Rest);
        }
        if apart {
            // hyper ends at once if it is between two requests; else, in the
            // middle of a head or an upload, the connection ends here.
            Pin::new(&mut connection).graceful_shutdown();
            outcome = Pin::new(&mut connection).poll(context);
            if outcome.is_pending() {
                activity.stay();
                over = activity.poll_over(context);
            }
        }
        match outcome {
            Poll::Ready(Ok(())) => Poll::Ready(End::Closed),
            Poll::Ready(Err(error)) => Poll::Ready(End::Broken(error)),
            Poll::Pending if over.is_pending() => Poll::Pending,
            // Now it is told to the client, or the connection is closed.
            Poll::Pending if activity.end_wait() => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(End::TimedOut),
        }
    })
    .await;
    if !matches!(end, End::Closed) || !activity.is_apart() {
        return Turn::Ended(end);
    }
    let Some(Parts { io, read_buf, .. }) = connection.into_parts() else {
        return Turn::Ended(end);
    };
    let mut guard = io.into_inner();
    guard.take_back(&read_buf);
    match activity.rest() {
        true => Turn::Rests(guard),
        false => Turn::Ended(moved(&guard)),
    }
}

/// What becomes of its connection once `response` is there.
fn track<B: Tagged>(
    mut response: Response<B>,
    busy: Busy,
    only_reset_tells: bool,
) -> Response<Tracked<B>> {
    let bound = response.extensions().get::<Remaining>().copied();
    busy.activity().bound(bound, response.body().tag());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        busy.activity().switch();
    } else if busy.activity().is_closing() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Tracked { body, busy, only_reset_tells })
}

/// Waits until there is something to read. Answers with how the connection
/// ended if it did.
async fn rest<I: ClientStream>(
    guard: &Guard<I>,
    activity: &Activity,
    goodbye: &mut Goodbye<'_, impl Future<Output = Farewell>>,
) -> Option<End> {
    poll_fn(|context| {
        // An error is for whoever reads.
        if guard.stream().socket().poll_read_ready(context).is_ready() {
            return Poll::Ready(None);
        }
        if goodbye.poll(context, activity) && activity.moves_at_rest() {
            return Poll::Ready(Some(moved(guard)));
        }
        activity.poll_over(context).map(|_| Some(End::TimedOut))
    })
    .await
}

/// A connection that another process is to serve.
fn moved<I: ClientStream>(guard: &Guard<I>) -> End {
    let socket = guard.stream().socket().as_fd().try_clone_to_owned();
    let ahead = Bytes::copy_from_slice(guard.held());
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
