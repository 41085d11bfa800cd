//! One HTTP/1.1 client connection, from its first byte to its last.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    ListenerSettings,
    activity::{Activity, Busy},
};

/// hyper asks for at least this much.
const LEAST_HEAD: usize = 8192;

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
}

/// Serves one connection with `service` until it ends. Once `shutdown` is
/// done, the request in progress is the last one.
pub async fn serve<S, F, B, E>(
    stream: TcpStream,
    settings: &ListenerSettings,
    service: S,
    shutdown: impl Future<Output = ()>,
) -> End
where
    S: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let activity = Activity::new(settings.head_timeout.into(), settings.idle_timeout.into());
    let io = ClientIo { io: TokioIo::new(stream), activity: Arc::clone(&activity) };
    let service = service_fn(|request| {
        let busy = activity.begin();
        let answer = service(request);
        async move { answer.await.map(|response| response.map(|body| Tracked { body, _busy: busy })) }
    });
    let connection = http1::Builder::new()
        .max_headers(settings.max_head_fields.get() as usize)
        .max_buf_size(settings.max_head_size.bytes().max(LEAST_HEAD))
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut shutdown = pin!(shutdown);
    let mut leaving = false;
    poll_fn(|context| {
        if !leaving && shutdown.as_mut().poll(context).is_ready() {
            leaving = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(context) {
            Poll::Ready(Ok(())) => Poll::Ready(End::Closed),
            Poll::Ready(Err(error)) => Poll::Ready(End::Broken(error)),
            Poll::Pending => activity.poll_over(context).map(|()| End::TimedOut),
        }
    })
    .await
}

/// A socket that notes when bytes come in, and when they do not go out.
struct ClientIo {
    io: TokioIo<TcpStream>,
    activity: Arc<Activity>,
}

impl ClientIo {
    fn note_write(&self, outcome: &Poll<io::Result<usize>>) {
        if outcome.is_pending() {
            self.activity.write_stalled();
        } else {
            self.activity.written();
        }
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.io).poll_read(context, buffer));
        self.activity.received();
        Poll::Ready(outcome)
    }
}

impl Write for ClientIo {
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
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
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

/// A response body that keeps its connection busy.
struct Tracked<B> {
    body: B,
    _busy: Busy,
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
