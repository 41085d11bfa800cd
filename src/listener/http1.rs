//! One HTTP/1.1 client connection, from its first byte to its last.

use std::{
    future::{Future, poll_fn},
    io,
    os::fd::AsFd,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header::CONNECTION};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBuf, ReadBufCursor, Write},
    server::conn::http1::{self, Parts},
    service::service_fn,
};
use hyper_util::rt::TokioIo;

use crate::deadline::{Remaining, Tagged};

use super::{
    ClientStream, Farewell, ListenerSettings,
    activity::{Activity, Busy},
};

/// hyper asks for at least this much.
const LEAST_HEAD: usize = 8192;

/// The most header fields that hyper takes unless told otherwise.
const HYPER_FIELDS: usize = 100;

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
pub async fn serve<I, S, F, B, E>(
    stream: I,
    ahead: Bytes,
    settings: &ListenerSettings,
    service: S,
    shutdown: impl Future<Output = Farewell>,
) -> End
where
    I: ClientStream,
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Tagged + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let activity = Activity::new(settings.head_timeout.into(), settings.idle_timeout.into());
    let moves = stream.moves();
    let io = ClientIo { io: TokioIo::new(stream), ahead, activity: Arc::clone(&activity) };
    let service = service_fn(|request: Request<Incoming>| {
        let busy = activity.begin(!request.body().is_end_stream());
        let only_reset_tells = request.version() == Version::HTTP_10;
        let answer = service(request);
        async move {
            answer.await.map(|mut response| {
                let bound = response.extensions().get::<Remaining>().copied();
                busy.activity().bound(bound, response.body().tag());
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    busy.activity().switch();
                } else if busy.activity().is_closing() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response.map(|body| Tracked { body, busy, only_reset_tells })
            })
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
        .serve_connection(io, service)
        .with_upgrades();
    let mut shutdown = pin!(shutdown);
    let mut leaving = false;
    let end = poll_fn(|context| {
        let mut outcome = Pin::new(&mut connection).poll(context);
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
            Poll::Pending => activity.poll_over(context).map(|()| End::TimedOut),
        }
    })
    .await;
    match end {
        End::Closed if activity.is_moved() => connection.into_parts().map_or(end, taken_apart),
        end => end,
    }
}

fn taken_apart<I: ClientStream, S>(parts: Parts<ClientIo<I>, S>) -> End {
    let socket = parts.io.io.inner().socket().as_fd().try_clone_to_owned();
    // What hyper has read came before what it has not.
    let ahead = if parts.io.ahead.is_empty() {
        parts.read_buf
    } else {
        [parts.read_buf, parts.io.ahead.clone()].concat().into()
    };
    // Without a descriptor to spare it is closed.
    socket.map_or(End::Closed, |socket| End::Moved(Moved { stream: socket.into(), ahead }))
}

/// A socket that notes when bytes come in, and when they do not go out.
struct ClientIo<I: ClientStream> {
    io: TokioIo<I>,
    /// What somebody else has read of it.
    ahead: Bytes,
    activity: Arc<Activity>,
}

impl<I: ClientStream> ClientIo<I> {
    fn read_ahead(&mut self, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(length));
        self.activity.received();
        Poll::Ready(Ok(()))
    }

    fn note_write(&self, outcome: &Poll<io::Result<usize>>) {
        if outcome.is_pending() {
            self.activity.write_stalled();
        } else {
            self.activity.written();
        }
    }
}

impl<I: ClientStream> Read for ClientIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.activity.may_read() {
            return Poll::Pending;
        }
        if !self.ahead.is_empty() {
            return self.read_ahead(buffer);
        }
        let outcome = ready!(Pin::new(&mut self.io).poll_read(context, buffer));
        self.activity.received();
        Poll::Ready(outcome)
    }
}

impl<I: ClientStream> Write for ClientIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(context, data);
        self.note_write(&outcome);
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(context);
        // What is encrypted but not sent waits here, after it was written.
        if outcome.is_pending() {
            self.activity.write_stalled();
        } else {
            self.activity.flushed();
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // One that broke off must not look as if it had come to its end.
        if self.activity.is_moved() || self.activity.is_broken() {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
        while self.activity.linger() {
            let mut unread = [0; 4096];
            let mut unread = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut self.io).poll_read(context, unread.unfilled()))?;
            if unread.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(context, data);
        self.note_write(&outcome);
        outcome
    }
}

impl<I: ClientStream> Drop for ClientIo<I> {
    fn drop(&mut self) {
        if self.activity.is_broken() {
            let _ = self.io.inner().socket().set_zero_linger();
        }
    }
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
