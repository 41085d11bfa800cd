//! What a client connection is doing, and how long it may go on.
//!
//! hyper knows one timeout for the head of a request, which is then also the
//! one for an idle connection. Here they are two: an idle client is welcome
//! for a minute, one that has begun to send a head has seconds to end it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use crate::deadline::{Deadline, Remaining};

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;
/// Busy, and the client does not take what it is sent.
const STALLED: u8 = 3;
/// All is said, and the client may still be sending.
const LINGERING: u8 = 4;

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
    /// A response broke off in a way that only a reset can show.
    broken: AtomicBool,
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
        let (uploading, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { phase: AtomicU8::new(HEAD), uploading, broken, deadline, head, idle })
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.phase.store(HEAD, Ordering::Relaxed);
            self.deadline.set(self.head);
        }
    }

    /// The client has not taken all that it was to be sent. It has as long to
    /// go on as an idle one; without a bound, a client that never reads would
    /// keep an instance busy for ever.
    pub(super) fn write_stalled(&self) {
        if self.phase.load(Ordering::Relaxed) == BUSY {
            self.phase.store(STALLED, Ordering::Relaxed);
            self.deadline.set(self.idle);
        }
    }

    /// The client takes what it is sent.
    pub(super) fn written(&self) {
        match self.phase.load(Ordering::Relaxed) {
            STALLED => {
                self.phase.store(BUSY, Ordering::Relaxed);
                self.deadline.clear();
            }
            // The tail of a response that has left our hands.
            IDLE => self.deadline.set(self.idle),
            _ => {}
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

    /// A response has broken off and has no other way to say so.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether the connection has to end with a reset.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// The connection is to end; if nothing is in progress, at once.
    pub(super) fn leave(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.uploading.store(false, Ordering::Relaxed);
        }
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

    /// Ready when the connection has been in its phase for too long.
    pub(super) fn poll_over(&self, context: &Context<'_>) -> Poll<()> {
        self.deadline.poll(context).map(|_| ())
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
        self.0.phase.store(IDLE, Ordering::Relaxed);
        self.0.deadline.set(self.0.idle);
        self.0.deadline.clear_total();
    }
}
