//! A request on its way out: its head, then its body frame by frame.
//!
//! What is there is put together and sent at once, so that a small request is
//! one segment. A large chunk is sent from where it is. While the socket takes
//! nothing, the body is not asked for more.

use std::{
    io::{IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use tokio::io::AsyncWrite;

use super::{
    buffer::Front,
    head::{self, Outline},
};

/// Chunks up to this many bytes are copied behind what is before them.
const COPIED: usize = 16 << 10;

/// With this many bytes together, no more are waited for.
const ENOUGH: usize = 16 << 10;

/// The body of a request that is to be sent. What was taken out of it and did
/// not leave is put back.
#[derive(Debug, Default)]
pub struct Outgoing<B> {
    ahead: Option<Bytes>,
    body: B,
}

impl<B> Outgoing<B> {
    /// All of `body`.
    pub const fn new(body: B) -> Self {
        Self { ahead: None, body }
    }

    /// The same with `ahead`, which was taken out of it, before it.
    pub(in crate::upstream) fn put_back(self, ahead: Option<Bytes>) -> Self {
        Self { ahead, ..self }
    }

    /// The body.
    pub const fn body(&self) -> &B {
        &self.body
    }

    /// The body.
    pub const fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.ahead.take() {
            Some(ahead) => Poll::Ready(Some(Ok(Frame::data(ahead)))),
            None => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.as_ref().map_or(0, Bytes::len) as u64;
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint.set_lower(hint.lower().saturating_add(ahead));
        hint
    }
}

/// Why sending stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The body broke off, or was not as long as it said.
    Body,
    /// The instance takes no more.
    Connection,
}

/// A request that is being sent.
#[derive(Debug)]
pub(super) struct Sending<B> {
    outgoing: Outgoing<B>,
    outline: Outline,
    /// Nothing more is to come out of the body.
    ended: bool,
    /// A byte has left.
    begun: bool,
    /// A byte of the body has left.
    body_begun: bool,
    /// What of the body is in `front` or `data` while no byte has left.
    first: Option<Bytes>,
    /// Whether something other was taken out of the body then.
    spent: bool,
    front: Front,
    data: Bytes,
    back: &'static [u8],
    unflushed: bool,
    broken: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Sending<B> {
    /// The request of `head` and `outgoing`, of which nothing was sent.
    pub(super) fn new(head: &Request<()>, outgoing: Outgoing<B>) -> Self {
        let outline = if outgoing.is_end_stream() {
            Outline::Empty
        } else {
            outgoing.size_hint().exact().map_or(Outline::Chunked, Outline::Length)
        };
        let mut front = Front::new();
        head::write(&mut front.bytes, head, outline);
        Self {
            outgoing,
            outline,
            ended: matches!(outline, Outline::Empty | Outline::Length(0)),
            begun: false,
            body_begun: false,
            first: None,
            spent: false,
            front,
            data: Bytes::new(),
            back: b"",
            unflushed: false,
            broken: false,
        }
    }

    /// Whether all of it was sent.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.is_empty() && !self.unflushed && !self.broken
    }

    /// Whether the instance takes no more.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether a byte of the body was sent.
    pub(super) const fn has_body_begun(&self) -> bool {
        self.body_begun
    }

    /// Whether a byte of it was sent.
    pub(super) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// The body, if no byte of the request was sent.
    pub(super) fn unsent(mut self) -> Option<Outgoing<B>> {
        if self.begun || self.spent {
            return None;
        }
        self.outgoing.ahead = self.first.take();
        Some(self.outgoing)
    }

    /// Sends what can be sent. Ready once all of it was.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            if self.broken {
                return Poll::Ready(Err(Broken::Connection));
            }
            self.gather(context)?;
            if self.is_empty() && !self.unflushed {
                return if self.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            if let Err(broken) = ready!(self.poll_write(stream, context)) {
                self.broken = broken == Broken::Connection;
                return Poll::Ready(Err(broken));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.front.rest().is_empty() && self.data.is_empty() && self.back.is_empty()
    }

    /// Puts together what the body has ready.
    fn gather(&mut self, context: &mut Context<'_>) -> Result<(), Broken> {
        let may_more = |sending: &Self| {
            // What is put together now leaves before what is behind it.
            let in_turn = sending.data.is_empty() && sending.back.is_empty();
            let room = in_turn && sending.front.rest().len() < ENOUGH;
            // Only one can be put back.
            !sending.ended && room && (sending.begun || sending.first.is_none())
        };
        while may_more(self) {
            let Poll::Ready(frame) = Pin::new(&mut self.outgoing).poll_frame(context) else {
                break;
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.push(data)?,
                    Err(frame) => self.end(frame.into_trailers().ok())?,
                },
                Some(Err(_)) => return Err(Broken::Body),
                None => self.end(None)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, data: Bytes) -> Result<(), Broken> {
        // A chunk without data would be the last one.
        if data.is_empty() {
            return Ok(());
        }
        if !self.begun {
            self.first = Some(data.clone());
        }
        self.body_begun = true;
        let chunked = match &mut self.outline {
            Outline::Empty => return Err(Broken::Body),
            Outline::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Broken::Body)?;
                self.ended = *left == 0;
                false
            }
            Outline::Chunked => true,
        };
        if chunked {
            let _ = write!(self.front.bytes, "{:x}\r\n", data.len());
        }
        let end: &[u8] = if chunked { b"\r\n" } else { b"" };
        if data.len() <= COPIED {
            self.front.bytes.extend_from_slice(&data);
            self.front.bytes.extend_from_slice(end);
        } else {
            (self.data, self.back) = (data, end);
        }
        // Nothing is left to be asked for the end.
        if chunked && self.data.is_empty() && self.outgoing.is_end_stream() {
            self.end(None)?;
        }
        Ok(())
    }

    /// The body has ended.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        self.ended = true;
        self.spent |= trailers.is_some() && !self.begun;
        if self.outline != Outline::Chunked {
            // It was to be longer.
            return Err(Broken::Body);
        }
        let out = &mut self.front.bytes;
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.iter().flatten() {
            head::write_field(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Sends all that was put together.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        while !self.is_empty() {
            let (front, data) = (self.front.rest(), &*self.data);
            let stream = Pin::new(&mut *stream);
            let written = if data.is_empty() && self.back.is_empty() {
                stream.poll_write(context, front)
            } else if stream.is_write_vectored() {
                let parts = [front, data, self.back].map(IoSlice::new);
                stream.poll_write_vectored(context, &parts)
            } else {
                let first = [front, data].into_iter().find(|part| !part.is_empty());
                stream.poll_write(context, first.unwrap_or(self.back))
            };
            match ready!(written) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Connection)),
                Ok(count) => self.sent(count),
            }
        }
        let flushed = ready!(Pin::new(stream).poll_flush(context));
        self.unflushed = false;
        Poll::Ready(flushed.map_err(|_| Broken::Connection))
    }

    fn sent(&mut self, count: usize) {
        (self.begun, self.first, self.unflushed) = (true, None, true);
        let of_front = count.min(self.front.rest().len());
        self.front.sent += of_front;
        if self.front.rest().is_empty() && self.front.sent > 0 {
            // Its memory is of use to others.
            self.front = Front::default();
        }
        let rest = count - of_front;
        let of_data = rest.min(self.data.len());
        self.data.advance(of_data);
        if self.data.is_empty() {
            self.data = Bytes::new();
        }
        self.back = self.back.get(rest - of_data..).unwrap_or_default();
    }
}
