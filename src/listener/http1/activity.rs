//! What an HTTP/1.1 connection is doing, and how long it may go on.
//!
//! hyper knows one timeout for the head of a request, which is then also the
//! one for an idle connection. Here they are two: an idle client is welcome
//! for a minute, one that has begun to send a head has seconds to end it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use super::Refusal;
use crate::{
    deadline::{Deadline, Elapsed, Remaining},
    listener::Farewell,
};

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
/// Busy, and the client does not take what it is sent.
const STALLED: u8 = 3;
/// All is said, and the client may still be sending.
const LINGERING: u8 = 4;
/// It speaks another protocol, and there is no next request.
const SWITCHED: u8 = 5;

/// How long a connection may stay idle once it is to end: long enough for a
/// request that is on its way.
const GRACE: Duration = Duration::from_secs(1);

/// Nobody has said goodbye.
const STAYING: u8 = 0;
/// The next response is the last one.
const CLOSING: u8 = 1;
/// No request is begun here any more if that can be helped.
const MOVING: u8 = 2;
/// Taken apart, to be served elsewhere.
const MOVED: u8 = 3;
/// Taken apart, to rest.
const RESTING: u8 = 4;

/// How long a connection keeps all that it takes to serve one, with nothing to
/// serve.
const REST_AFTER: Duration = Duration::from_secs(1);

/// What is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The time that it has.
    Time,
    /// The time that it stays as it is. It is being taken apart.
    Rest,
}

/// How long a client that goes on sending is listened to after the last
/// answer.
const LINGER: Duration = Duration::from_secs(2);

/// The phase of one connection. It is only ever used on one thread; it is
/// made of atomics because hyper wants the socket, which notes the first byte
/// of a head here, to be `Send`.
#[derive(Debug)]
pub(super) struct Activity {
    phase: AtomicU8,
    /// The last request came with a body, which may be coming still.
    uploading: AtomicBool,
    /// The end of a message has not been seen.
    message: AtomicBool,
    /// Bytes wait for the socket to take them.
    unwritten: AtomicBool,
    farewell: AtomicU8,
    /// A response broke off in a way that only a reset can show.
    broken: AtomicBool,
    /// Bytes were read that hyper may only see later.
    held: AtomicBool,
    /// The time for a head is over.
    late: AtomicBool,
    /// Why what comes next is not answered. Nothing comes behind it.
    refusal: OnceLock<Refusal>,
    deadline: Deadline,
    head: Duration,
    idle: Duration,
}

impl Activity {
    /// A connection that has just been accepted has as long for its first head
    /// as for any other.
    pub(super) fn new(head: Duration, idle: Duration) -> Arc<Self> {
        let deadline = Deadline::new();
        deadline.set(head);
        Arc::new(Self {
            phase: AtomicU8::new(HEAD),
            uploading: AtomicBool::new(false),
            message: AtomicBool::new(false),
            unwritten: AtomicBool::new(false),
            farewell: AtomicU8::new(STAYING),
            broken: AtomicBool::new(false),
            held: AtomicBool::new(false),
            late: AtomicBool::new(false),
            refusal: OnceLock::new(),
            deadline,
            head,
            idle,
        })
    }

    /// The time for the head that has begun is over.
    pub(super) fn hurry(&self) {
        self.deadline.set(Duration::ZERO);
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.phase.store(HEAD, Ordering::Relaxed);
            self.deadline.restart(self.head, None);
        }
    }

    /// What has come ends in the middle of a message, or not.
    pub(super) fn message(&self, is_open: bool) {
        self.message.store(is_open, Ordering::Relaxed);
    }

    /// The client has not taken all that it was to be sent. It has as long to
    /// go on as an idle one; without a bound, a client that never reads would
    /// keep an instance busy for ever.
    pub(super) fn write_stalled(&self) {
        self.unwritten.store(true, Ordering::Relaxed);
        if self.phase.load(Ordering::Relaxed) == BUSY {
            self.phase.store(STALLED, Ordering::Relaxed);
            self.deadline.set(self.idle);
        }
    }

    /// The client takes what it is sent.
    pub(super) fn written(&self) {
        self.unwritten.store(false, Ordering::Relaxed);
        match self.phase.load(Ordering::Relaxed) {
            STALLED => {
                self.phase.store(BUSY, Ordering::Relaxed);
                self.deadline.clear();
            }
            // The tail of a response that has left our hands.
            IDLE => self.deadline.restart(REST_AFTER, Some(self.idle_bound())),
            _ => {}
        }
    }

    /// Nothing is left that the client has to take.
    pub(super) fn flushed(&self) {
        if self.unwritten.load(Ordering::Relaxed) {
            self.written();
        }
    }

    /// Bounds the rest of the request, if it is bounded as a whole or by what
    /// has `tag`: the body is not asked for more while the client does not take
    /// what it has.
    pub(super) fn bound(&self, rest: Option<Remaining>, tag: Option<u64>) {
        if let Some(tag) = tag {
            self.deadline.tag(tag);
        }
        if let Some(Remaining(rest)) = rest {
            self.deadline.set_total(rest);
        }
    }

    /// A request has begun, `with_body` or without; its own deadlines hold
    /// from here on.
    pub(super) fn begin(self: &Arc<Self>, with_body: bool) -> Busy {
        self.phase.store(BUSY, Ordering::Relaxed);
        self.uploading.store(with_body, Ordering::Relaxed);
        self.deadline.clear();
        Busy(Arc::clone(self))
    }

    /// The connection is a tunnel from here on.
    pub(super) fn switch(&self) {
        self.phase.store(SWITCHED, Ordering::Relaxed);
    }

    /// Whether the connection is a tunnel.
    pub(super) fn is_switched(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == SWITCHED
    }

    /// Whether a request is being answered.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.phase.load(Ordering::Relaxed), BUSY | STALLED)
    }

    /// Bytes were read that hyper may only see once it has answered.
    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Whether bytes were held that hyper may see now. It waits for the socket,
    /// which has nothing to tell it.
    pub(super) fn lets_go(&self) -> bool {
        self.held.load(Ordering::Relaxed)
            && !self.is_serving()
            && self.held.swap(false, Ordering::Relaxed)
    }

    /// What comes next is not answered.
    pub(super) fn refuse(&self, refusal: Refusal) {
        let _ = self.refusal.set(refusal);
    }

    /// Why what came is not answered, if it is not.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.get()
    }

    /// Ends the wait for a head, if that is what was waited for: whoever reads
    /// it has to do what there is to do.
    pub(super) fn end_wait(&self) -> bool {
        let ends =
            self.phase.load(Ordering::Relaxed) == HEAD && !self.late.swap(true, Ordering::Relaxed);
        if ends {
            self.deadline.set(self.head);
        }
        ends
    }

    /// Whether the time for a head is over.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// A response has broken off and has no other way to say so.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether the connection has to end with a reset.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// The connection is to end here.
    pub(super) fn leave(&self, farewell: Farewell) {
        let farewell = match farewell {
            Farewell::Close => CLOSING,
            Farewell::Move => MOVING,
        };
        self.farewell.store(farewell, Ordering::Relaxed);
        if farewell == CLOSING && self.phase.load(Ordering::Relaxed) == IDLE {
            self.deadline.set_total(self.idle_bound());
        }
    }

    /// How long it may be idle.
    fn idle_bound(&self) -> Duration {
        if self.is_closing() { self.idle.min(GRACE) } else { self.idle }
    }

    /// Whether the client is to be told that a response is the last one.
    pub(super) fn is_closing(&self) -> bool {
        self.farewell.load(Ordering::Relaxed) == CLOSING
    }

    /// Whether bytes may be read. Those of the next request belong to whoever
    /// serves the connection next. A connection that is being taken apart and
    /// still wants to read is in the middle of something, so it stays.
    pub(super) fn may_read(&self) -> bool {
        match self.farewell.load(Ordering::Relaxed) {
            MOVING => self.phase.load(Ordering::Relaxed) != IDLE,
            MOVED | RESTING => {
                self.stay();
                true
            }
            _ => true,
        }
    }

    /// Begins to take the connection apart, if it is to move and stands between
    /// two requests with nothing left to send.
    pub(super) fn begin_move(&self) -> bool {
        let at_rest = matches!(self.phase.load(Ordering::Relaxed), IDLE | HEAD)
            && !self.unwritten.load(Ordering::Relaxed);
        let moves = at_rest && self.farewell.load(Ordering::Relaxed) == MOVING;
        if moves {
            self.farewell.store(MOVED, Ordering::Relaxed);
        }
        moves
    }

    /// It cannot move after all.
    pub(super) fn stay(&self) {
        self.farewell.store(CLOSING, Ordering::Relaxed);
    }

    /// Whether it is being taken apart: its socket is not to be closed.
    pub(super) fn is_apart(&self) -> bool {
        matches!(self.farewell.load(Ordering::Relaxed), MOVED | RESTING)
    }

    /// It has been taken apart, to rest until the client sends something.
    /// Answers with whether that is so.
    pub(super) fn rest(&self) -> bool {
        self.farewell
            .compare_exchange(RESTING, STAYING, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// It has rested. How long it may be idle in all is as before.
    pub(super) fn rise(&self) {
        self.deadline.set(REST_AFTER);
    }

    /// Whether another process is to serve it, and it rests.
    pub(super) fn moves_at_rest(&self) -> bool {
        self.farewell.load(Ordering::Relaxed) == MOVING
    }

    /// Whether the client has to be listened to before the connection is
    /// closed: what it is still sending would be answered with a reset, which
    /// may take the last answer with it (RFC 9112 section 9.6).
    pub(super) fn linger(&self) -> bool {
        let uploading = self.uploading.load(Ordering::Relaxed);
        if uploading && self.phase.swap(LINGERING, Ordering::Relaxed) != LINGERING {
            self.deadline.set(LINGER);
        }
        uploading
    }

    /// Ready when the connection has been in its phase for too long. One that
    /// is idle is taken apart first, if it stands between two requests with
    /// nothing left to send.
    pub(super) fn poll_over(&self, context: &Context<'_>) -> Poll<Over> {
        let elapsed = ready!(self.deadline.poll(context));
        if elapsed != Elapsed::Phase || self.phase.load(Ordering::Relaxed) != IDLE {
            return Poll::Ready(Over::Time);
        }
        self.deadline.clear();
        let at_rest =
            !self.unwritten.load(Ordering::Relaxed) && !self.message.load(Ordering::Relaxed);
        if at_rest && self.farewell.load(Ordering::Relaxed) == STAYING {
            self.farewell.store(RESTING, Ordering::Relaxed);
            return Poll::Ready(Over::Rest);
        }
        self.deadline.poll(context).map(|_| Over::Time)
    }
}

/// A request is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let idle = self.0.idle_bound();
        if self.0.phase.load(Ordering::Relaxed) == SWITCHED {
            self.0.deadline.restart(idle, None);
        } else {
            self.0.phase.store(IDLE, Ordering::Relaxed);
            self.0.deadline.restart(REST_AFTER, Some(idle));
        }
    }
}
