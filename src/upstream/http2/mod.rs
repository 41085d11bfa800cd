//! HTTP/2 towards an instance: connections that requests share.
//!
//! A connection has a task that reads and writes it, and a stream for each
//! request. The window of the connection is as large as those of all its
//! streams together, so a client that does not take its answer holds up nobody
//! else's; no stream holds more than its own window.

mod answer;
mod exchange;
mod heads;
mod task;
mod tunnel;
mod upload;

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncWrite};

pub use answer::{Http2Answer, Http2Error};
pub(super) use exchange::send;
pub use tunnel::Http2Tunnel;

/// Streams on one connection, even if the instance allows more: one connection
/// is one core of the instance, and one loss.
const MOST_STREAMS: usize = 100;

/// Bytes of an answer that are taken before a client has taken them.
const STREAM_WINDOW: u32 = 64 << 10;

/// Bytes of a request that are held for an instance that does not take them.
const SEND_BUFFER: usize = 64 << 10;

/// Bytes of the head of an answer.
const HEADER_LIST: u32 = 256 << 10;

/// Streams that clients have cancelled, whose frames are still expected: with
/// fewer of them remembered, late frames of an instance would be taken for a
/// breach, and the connection ended.
const REMEMBERED: usize = 10_000;

/// For how long.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// Streams that were reset here because of what the instance sent.
const MOST_BROKEN: usize = 100_000;

/// A connection that requests share.
#[derive(Clone)]
pub struct Shared(Rc<State>);

struct State {
    sender: RefCell<SendRequest<Bytes>>,
    streams: Cell<usize>,
    /// When its last stream ended.
    idle_since: Cell<Instant>,
    life: Rc<Life>,
    /// What its requests say that they come by.
    scheme: Scheme,
}

/// What its task and its users know of a connection.
#[derive(Debug, Default)]
struct Life {
    ended: Cell<Option<Instant>>,
    /// Whether somebody waits for an answer of it.
    busy: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Life {
    fn set_busy(&self, busy: bool) {
        self.busy.set(busy);
        if busy && let Some(waker) = self.task.borrow_mut().take() {
            // Its pings begin.
            waker.wake();
        }
    }
}

impl Shared {
    /// Speaks HTTP/2 over `stream`, with prior knowledge or as was agreed. The
    /// instance is asked whether it does too before anything is sent that it
    /// may refuse: its settings come before its answer (RFC 9113 section 3.4).
    ///
    /// # Errors
    ///
    /// When the connection is broken already.
    pub async fn open<S>(stream: S, encrypted: bool) -> Result<Self, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let most_streams = u32::try_from(MOST_STREAMS).unwrap_or(u32::MAX);
        let (sender, mut connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_max_send_streams(MOST_STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAM_WINDOW * most_streams)
            .max_header_list_size(HEADER_LIST)
            .max_send_buffer_size(SEND_BUFFER)
            .max_concurrent_reset_streams(REMEMBERED)
            .reset_stream_duration(REMEMBERED_FOR)
            .max_local_error_reset_streams(Some(MOST_BROKEN))
            .handshake::<_, Bytes>(stream)
            .await?;
        let life = Rc::<Life>::default();
        let pings = task::meet(&mut connection).await?;
        tokio::task::spawn_local(task::run(connection, pings, Rc::clone(&life)));
        Ok(Self(Rc::new(State {
            sender: RefCell::new(sender),
            streams: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            life,
            scheme: if encrypted { Scheme::HTTPS } else { Scheme::HTTP },
        })))
    }

    /// A stream on it; none if it is full, or told to go away.
    pub fn place(&self, now: Instant) -> Option<Place> {
        let state = &self.0;
        let streams = state.streams.get();
        let mut sender = state.sender.borrow_mut();
        if streams >= sender.current_max_send_streams().min(MOST_STREAMS)
            || !is_open(state, &mut sender)
        {
            return None;
        }
        let idle_for = self.idle_for(now);
        state.streams.set(streams + 1);
        state.life.set_busy(true);
        Some(Place { shared: self.clone(), idle_for })
    }

    /// Whether it can be used.
    pub fn is_open(&self) -> bool {
        is_open(&self.0, &mut self.0.sender.borrow_mut())
    }

    /// How long it has been without a stream.
    pub fn idle_for(&self, now: Instant) -> Duration {
        let since = self.0.idle_since.get();
        if self.0.streams.get() > 0 { Duration::ZERO } else { now.saturating_duration_since(since) }
    }

    /// When it ended.
    pub fn ended(&self) -> Option<Instant> {
        self.0.life.ended.get()
    }

    fn sender(&self) -> SendRequest<Bytes> {
        self.0.sender.borrow().clone()
    }
}

/// Whether it has neither ended nor been told to go away. A stream that could
/// not be opened yet does not count against it.
fn is_open(state: &State, sender: &mut SendRequest<Bytes>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    state.life.ended.get().is_none()
        && !matches!(sender.poll_ready(&mut context), Poll::Ready(Err(_)))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = self.0.streams.get();
        f.debug_struct("Shared").field("streams", &streams).finish_non_exhaustive()
    }
}

/// A place for one stream on a connection, until it is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Shared,
    /// How long the connection was without a stream before this one.
    pub(super) idle_for: Duration,
}

impl Place {
    /// Whether the instance takes extended CONNECT (RFC 8441 section 3).
    pub(super) fn extends_connect(&self) -> bool {
        self.shared.0.sender.borrow().is_extended_connect_protocol_enabled()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = &self.shared.0;
        let left = state.streams.get().saturating_sub(1);
        state.streams.set(left);
        if left == 0 {
            state.idle_since.set(Instant::now());
            state.life.set_busy(false);
        }
    }
}
