//! What an HTTP/2 connection is doing, and how long it may go on.
//!
//! The bounds are those of HTTP/1.1: a time for a head, a time without a
//! request, and a time without the client taking what it is sent. The last one
//! holds for the connection as well as for each stream of it, since a client
//! may go on reading and yet open no window for a stream.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task::spawn_local;

use super::frames::{Abuse, Frames};
use crate::deadline::{Deadline, Remaining};

/// How long a connection that is to end may be without a stream: a request may
/// be on its way, and the client has to say that it has understood (RFC 9113
/// section 6.8).
const GRACE: Duration = Duration::from_secs(1);

/// What is written without any stream: acknowledgements, a window.
const CONTROL: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The preface, or the head of a request, is under way.
    Head,
    /// No stream is open.
    Idle,
    Busy,
    /// The client does not take what it is sent.
    Stalled,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Cell<Phase>,
    deadline: Deadline,
    head: Duration,
    idle: Duration,
    /// Streams and tunnels that are being served.
    open: Cell<u32>,
    unwritten: Cell<bool>,
    closing: Cell<bool>,
    frames: RefCell<Frames>,
    abuse: Cell<Option<Abuse>>,
    /// The stream whose task is about to be spawned.
    begins: RefCell<Option<Rc<Stream>>>,
}

impl Activity {
    pub(super) fn new(head: Duration, idle: Duration, max_cancels: u32) -> Rc<Self> {
        let deadline = Deadline::new();
        deadline.set(head);
        Rc::new(Self {
            phase: Cell::new(Phase::Head),
            deadline,
            head,
            idle,
            open: Cell::new(0),
            unwritten: Cell::new(false),
            closing: Cell::new(false),
            frames: RefCell::new(Frames::new(max_cancels)),
            abuse: Cell::new(None),
            begins: RefCell::default(),
        })
    }

    /// Takes note of `bytes` that came in; whether they may be acted upon.
    pub(super) fn received(&self, bytes: &[u8]) -> bool {
        let walked = self.frames.borrow_mut().walk(bytes);
        if let Err(abuse) = walked {
            self.abuse.set(Some(abuse));
        }
        self.look();
        walked.is_ok()
    }

    /// Takes note of a write that took `count` bytes, or none of them.
    pub(super) fn wrote(&self, count: Option<usize>) {
        self.unwritten.set(count.is_none());
        let was = self.phase.get();
        self.look();
        // The tail of a response that has left our hands.
        if was == Phase::Idle && count.is_some_and(|count| count > CONTROL) {
            self.enter(self.phase.get());
        }
    }

    /// Whether what was written last was written whole.
    pub(super) fn is_written(&self) -> bool {
        !self.unwritten.get()
    }

    /// The last stream that the client has begun.
    pub(super) fn last_stream(&self) -> u32 {
        self.frames.borrow().last_stream()
    }

    /// What the client does too much of.
    pub(super) fn abuse(&self) -> Option<Abuse> {
        self.abuse.get()
    }

    /// The connection is to end once its streams have.
    pub(super) fn leave(&self) {
        self.closing.set(true);
        self.enter(self.phase.get());
    }

    /// Whether it is to end.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Whether the preface, or the head of a request, has begun and not ended.
    pub(super) fn is_in_part(&self) -> bool {
        self.frames.borrow().is_in_part()
    }

    /// Whether it is between two requests.
    pub(super) fn is_idle(&self) -> bool {
        self.phase.get() == Phase::Idle
    }

    /// Ready when the connection has been in its phase for too long.
    pub(super) fn poll_over(&self, context: &Context<'_>) -> Poll<()> {
        self.deadline.poll(context).map(|_| ())
    }

    fn look(&self) {
        let frames = self.frames.borrow();
        let phase = if self.unwritten.get() {
            Phase::Stalled
        } else if !frames.has_begun() || frames.in_head() {
            Phase::Head
        } else if self.open.get() == 0 {
            Phase::Idle
        } else {
            Phase::Busy
        };
        drop(frames);
        if phase != self.phase.get() {
            self.enter(phase);
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        match phase {
            Phase::Head => self.deadline.set(self.head),
            Phase::Idle if self.closing.get() => self.deadline.set(self.idle.min(GRACE)),
            Phase::Idle | Phase::Stalled => self.deadline.set(self.idle),
            Phase::Busy => self.deadline.clear(),
        }
    }

    /// A request has come.
    pub(super) fn begin(self: &Rc<Self>) -> Rc<Stream> {
        let stream = Rc::new(Stream { deadline: Deadline::new(), _open: Open::new(self) });
        self.begins.replace(Some(Rc::clone(&stream)));
        stream
    }

    /// How long a stream may wait for its client.
    pub(super) const fn patience(&self) -> Duration {
        self.idle
    }
}

/// Counts what keeps a connection busy.
#[derive(Debug)]
struct Open(Rc<Activity>);

impl Open {
    fn new(activity: &Rc<Activity>) -> Self {
        activity.open.set(activity.open.get() + 1);
        activity.look();
        Self(Rc::clone(activity))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.look();
    }
}

/// One stream that is being served. Its deadline is that of the client: it
/// runs while a response has bytes that the client has opened no window for.
#[derive(Debug)]
pub(super) struct Stream {
    deadline: Deadline,
    _open: Open,
}

impl Stream {
    /// Bounds the rest of the request, if it is bounded as a whole or by what
    /// has `tag`.
    pub(super) fn bound(&self, rest: Option<Remaining>, tag: Option<u64>) {
        if let Some(tag) = tag {
            self.deadline.tag(tag);
        }
        if let Some(Remaining(rest)) = rest {
            self.deadline.set_total(rest);
        }
    }
}

/// Spawns what hyper wants to be done beside a connection: a task for each
/// stream, and one for each tunnel.
#[derive(Clone, Debug)]
pub(super) struct Streams(pub(super) Rc<Activity>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, task: F) {
        match self.0.begins.take() {
            Some(stream) => spawn_local(Bounded { task: Box::pin(task), stream }),
            None => {
                let open = Open::new(&self.0);
                spawn_local(async move {
                    task.await;
                    drop(open);
                })
            }
        };
    }
}

/// The task of a stream, which ends when the time of its client is over. That
/// resets the stream and leaves its neighbours alone.
struct Bounded<F> {
    task: Pin<Box<F>>,
    stream: Rc<Stream>,
}

impl<F: Future<Output = ()>> Future for Bounded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.task.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        self.stream.deadline.poll(context).map(|_| ())
    }
}

/// A response body that notes when its client is waited for.
pub(super) struct Tracked<B> {
    pub(super) body: B,
    pub(super) stream: Rc<Stream>,
    /// How long the client may take for what it was given last.
    pub(super) patience: Duration,
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        // Whoever asks has room, and is bounded by the body from here on.
        self.stream.deadline.clear();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.stream.deadline.set(self.patience);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
