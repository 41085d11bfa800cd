//! One connection to an endpoint, and what is known of its life.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

use super::{ConnectError, Stream};
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;

/// A connection that can be sent a request once it is ready.
pub struct Connection<B> {
    sender: http1::SendRequest<B>,
    life: Rc<Life>,
    /// How long it was idle before it was used last.
    pub(super) rested: Duration,
}

#[derive(Debug, Default)]
struct Life {
    ended: Cell<Option<Instant>>,
    announced: Cell<Option<Duration>>,
}

impl<B> Connection<B>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Speaks HTTP/1.1 over `stream`, in a task of its own on this worker.
    ///
    /// # Errors
    ///
    /// When the connection is already broken.
    pub async fn open(stream: Stream) -> Result<Self, ConnectError> {
        let (sender, connection) = http1::Builder::new()
            .max_headers(256)
            .max_buf_size(256 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ConnectError::Handshake)?;
        let life = Rc::new(Life::default());
        let noted = Rc::clone(&life);
        tokio::task::spawn_local(async move {
            // Whoever waits for an answer is told what went wrong.
            let _ = connection.with_upgrades().await;
            noted.ended.set(Some(Instant::now()));
        });
        Ok(Self { sender, life, rested: Duration::ZERO })
    }
}

impl<B: Body + 'static> Connection<B> {
    /// Sends `request`, and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// When there is none. The error holds the request if no byte of it was
    /// written.
    pub fn send(
        &mut self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<B>>>> {
        self.sender.try_send_request(request)
    }

    /// Notes that the endpoint closes the connection when it has been idle for
    /// `timeout`.
    pub fn announced(&self, timeout: Duration) {
        self.life.announced.set(Some(timeout));
    }

    /// What was noted last.
    pub(super) fn announcement(&self) -> Option<Duration> {
        self.life.announced.get()
    }

    /// Whether it has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether a request would be written at once.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// When it ended.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.life.ended.get()
    }
}

impl<B> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("life", &self.life).finish_non_exhaustive()
    }
}
