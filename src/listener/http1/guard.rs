//! What stands between the socket of a client and hyper: it lets one complete
//! head through at a time, and the body that the head frames.
//!
//! hyper reads into its own buffer, and what comes is looked at there: a
//! request that arrives in one piece is neither copied nor held. What may not
//! be seen yet (a part of a head, the request behind this one) is held here
//! until it may, and only then is there a buffer. A head that breaks a rule
//! never gets to hyper; one that stands in for it does, and the service is
//! asked for a refusal in place of an answer.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    activity::Activity,
    chunks::{Chunks, Passed, Then},
    head::{Breach, Framing, HeadScan, Limits, Progress},
    refusal::Refusal,
};
use crate::{listener::ClientStream, model::Reason};

/// What is read of the requests behind the one that is being answered: enough
/// to see a client leave that has sent some ahead.
const MOST_AHEAD: usize = 16 * 1024;

/// Where the bytes are that come next.
#[derive(Debug)]
enum Phase {
    /// In a head, or before one.
    Head(HeadScan),
    /// In a body with so much left.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunks),
    /// Behind what is not a body.
    Broken(&'static str),
    /// Behind what was refused. Nobody will look at them.
    Refused,
}

impl Phase {
    fn head() -> Self {
        Self::Head(HeadScan::default())
    }
}

/// What decides which bytes may pass. Knows no socket.
#[derive(Debug)]
struct Gate {
    phase: Phase,
    limits: Limits,
}

impl Gate {
    /// How many of `bytes`, all that there are, may pass: at most to the end of
    /// one message. Those that may not have to be there the next time too.
    fn pass(&mut self, bytes: &[u8]) -> Result<usize, Breach> {
        let mut passed = 0;
        if let Phase::Head(scan) = &mut self.phase {
            match scan.scan(bytes, &self.limits) {
                Progress::Partial => return Ok(0),
                Progress::Refused(breach) => return Err(breach),
                Progress::Complete { length, framing } => {
                    passed = length;
                    self.phase = match framing {
                        Framing::Nothing => Phase::head(),
                        Framing::Length(length) => Phase::Length(length),
                        Framing::Chunked => Phase::Chunked(Chunks::new(self.limits.fields)),
                    };
                }
            }
        }
        Ok(passed + self.pass_body(&bytes[passed..]))
    }

    fn pass_body(&mut self, bytes: &[u8]) -> usize {
        match &mut self.phase {
            Phase::Head(_) | Phase::Broken(_) | Phase::Refused => 0,
            Phase::Length(left) => {
                let length =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= length as u64;
                if *left == 0 {
                    self.phase = Phase::head();
                }
                length
            }
            Phase::Chunked(chunks) => {
                let Passed { length, then } = chunks.pass(bytes);
                match then {
                    Then::More => {}
                    Then::Over => self.phase = Phase::head(),
                    Then::Broken(detail) => self.phase = Phase::Broken(detail),
                }
                length
            }
        }
    }
}

/// A socket of which hyper sees what it may.
#[derive(Debug)]
pub(super) struct Guard<S: ClientStream> {
    stream: S,
    activity: Arc<Activity>,
    gate: Gate,
    /// Read, and not handed on yet. Empty, and without memory of its own, for
    /// a connection whose requests come one by one and in one piece.
    held: BytesMut,
    /// How much of it may pass.
    passed: usize,
}

impl<S: ClientStream> Guard<S> {
    /// Guards `stream`, of which `ahead` was read already.
    pub(super) fn new(stream: S, ahead: Bytes, activity: Arc<Activity>, limits: Limits) -> Self {
        let gate = Gate { phase: Phase::head(), limits };
        Self { stream, activity, gate, held: ahead.into(), passed: 0 }
    }

    /// Takes back what hyper was let see and has not used.
    pub(super) fn take_back(&mut self, unused: &[u8]) {
        if !unused.is_empty() {
            self.held = [unused, &self.held].concat().as_slice().into();
            self.passed += unused.len();
        }
    }

    /// The socket.
    pub(super) const fn stream(&self) -> &S {
        &self.stream
    }

    /// What was read and not handed on.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Reads into `buffer`, as a scratch, and holds what came. Answers with
    /// whether there was anything.
    fn read_more(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let new = &buffer.filled()[before..];
        let any = !new.is_empty();
        self.held.extend_from_slice(new);
        buffer.set_filled(before);
        Poll::Ready(Ok(any))
    }

    /// Hands on what may pass of what is held.
    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.passed.min(buffer.remaining());
        buffer.put_slice(&self.held[..length]);
        self.held.advance(length);
        self.passed -= length;
        if self.held.is_empty() {
            self.held = BytesMut::new();
        }
    }

    /// Watches a client that waits for its answer. What it sends ahead stays
    /// here: hyper would not see it leave if it had a byte of that.
    fn poll_ahead(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.held.len() < MOST_AHEAD {
            match self.read_more(context, buffer)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        if !self.held.is_empty() {
            // hyper does not ask again by itself.
            self.activity.hold();
        }
        Poll::Pending
    }

    /// Refuses the head that is held.
    #[cold]
    fn refuse(&mut self, breach: Breach) {
        let refusal = Refusal::new(breach, &self.held);
        let stand_in = refusal.stand_in();
        self.held = stand_in.into();
        self.passed = stand_in.len();
        self.gate.phase = Phase::Refused;
        self.activity.refuse(refusal);
    }

    /// The time for a head is over.
    #[cold]
    fn end_wait(&mut self) {
        let part = !self.held.is_empty();
        if part {
            let detail = "the head of the request did not come in time";
            self.refuse(Breach { reason: Reason::HeadTimeout, detail });
        }
    }

    fn poll_guarded(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.passed > 0 {
                self.hand_on(buffer);
                return Poll::Ready(Ok(()));
            }
            match self.gate.phase {
                Phase::Head(_) if self.activity.is_serving() => {
                    return self.poll_ahead(context, buffer);
                }
                Phase::Refused => return Poll::Pending,
                Phase::Broken(detail) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, detail)));
                }
                _ => {}
            }
            if !self.held.is_empty() {
                self.activity.received();
                self.pass_held();
                if self.passed > 0 || matches!(self.gate.phase, Phase::Broken(_)) {
                    continue;
                }
            }
            if self.activity.is_late() {
                self.end_wait();
                if self.passed == 0 {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            if !self.held.is_empty() {
                if !ready!(self.read_more(context, buffer))? {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let new = &buffer.filled()[before..];
            if new.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.activity.received();
            let (passed, breach) = match self.gate.pass(new) {
                Ok(passed) => (passed, None),
                Err(breach) => (0, Some(breach)),
            };
            self.note_message();
            if passed < new.len() {
                self.held.extend_from_slice(&new[passed..]);
                buffer.set_filled(before + passed);
            }
            if let Some(breach) = breach {
                self.refuse(breach);
            }
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Looks at what is held.
    fn pass_held(&mut self) {
        if matches!(self.gate.phase, Phase::Head(_)) {
            // RFC 9112 section 2.2: an empty line before a head is of no
            // meaning.
            while self.held.starts_with(b"\r\n") {
                self.held.advance(2);
            }
        }
        match self.gate.pass(&self.held) {
            Ok(passed) => self.passed = passed,
            Err(breach) => self.refuse(breach),
        }
        self.note_message();
    }

    fn note_message(&self) {
        self.activity.message(!matches!(self.gate.phase, Phase::Head(_)));
    }
}

impl<S: ClientStream> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if !guard.activity.may_read() {
            return Poll::Pending;
        }
        if !guard.activity.is_switched() {
            return guard.poll_guarded(context, buffer);
        }
        if guard.held.is_empty() {
            return Pin::new(&mut guard.stream).poll_read(context, buffer);
        }
        guard.passed = guard.held.len();
        guard.hand_on(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: ClientStream> Guard<S> {
    fn note_write(&self, outcome: &Poll<io::Result<usize>>) {
        if outcome.is_pending() {
            self.activity.write_stalled();
        } else {
            self.activity.written();
        }
    }
}

impl<S: ClientStream> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, data);
        self.note_write(&outcome);
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
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
        if self.activity.is_apart() || self.activity.is_broken() {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        while self.activity.linger() {
            let mut unread = [0; 4096];
            let mut unread = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut unread))?;
            if unread.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.note_write(&outcome);
        outcome
    }
}

impl<S: ClientStream> Drop for Guard<S> {
    fn drop(&mut self) {
        if self.activity.is_broken() {
            let _ = self.stream.socket().set_zero_linger();
        }
    }
}

#[cfg(test)]
mod tests;
