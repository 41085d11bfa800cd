//! A client's body on its way to an instance, chunk by chunk.
//!
//! It is pulled by whoever sends it on, so a slow instance slows its client
//! and nothing piles up here, but for what may have to be sent again. What
//! went wrong with it is noted where the rest of the request can see it.

use std::{
    cell::Cell,
    io::ErrorKind,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{
    body::{BrokenBody, length},
    grpc_web::{Decoder, NoText},
    headers,
    replay::Keeping,
};
use crate::{deadline::Deadline, model::Reason};

/// What the request side knows of an upload.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// Bytes read from the client.
    pub(super) bytes: Cell<u64>,
    /// Whether the last byte was read.
    pub(super) complete: Cell<bool>,
    /// Whether the instance is ready for more and the client is what is waited
    /// for.
    pub(super) starved: Cell<bool>,
    /// Why it broke off.
    pub(super) failure: Cell<Option<Reason>>,
    /// The head of the answer has come.
    pub(super) answered: Cell<bool>,
    /// The instance was asked whether it wants the body, and has not said yet
    /// (RFC 9110 section 10.1.1). Whoever sends the body asks again for it
    /// after this has changed.
    pub(super) held: Cell<bool>,
}

/// How long an instance that says nothing to `Expect: 100-continue` is waited
/// for.
const HOLD: Duration = Duration::from_secs(1);

/// A request body on its way to an instance.
#[derive(Debug)]
pub struct RequestBody(Source);

#[derive(Debug)]
enum Source {
    /// A client's.
    Client(Box<Uploading>),
    /// Our own copy.
    Own(Option<Bytes>),
    /// Our own copy of one whose length was not known before.
    OwnChunked(Option<Bytes>),
}

#[derive(Debug)]
struct Uploading {
    incoming: Incoming,
    upload: Rc<Upload>,
    /// Of the request: moved on with each chunk.
    deadline: Rc<Deadline>,
    idle: Duration,
    response: Duration,
    limit: u64,
    /// Until when the instance may say that it wants the body.
    patience: Option<Deadline>,
    keeping: Option<Keeping>,
    /// Undoes text.
    decoder: Option<Decoder>,
}

/// The bounds of an upload.
#[derive(Debug)]
pub(super) struct UploadBounds {
    pub(super) deadline: Rc<Deadline>,
    pub(super) idle: Duration,
    pub(super) response: Duration,
    pub(super) limit: u64,
    /// Whether the instance is asked first.
    pub(super) hold: bool,
}

impl RequestBody {
    /// A body without a byte.
    pub(super) const fn empty() -> Self {
        Self(Source::Own(None))
    }

    /// `bytes` as a body, sent in chunks if it is `chunked`.
    pub(super) fn own(bytes: Bytes, chunked: bool) -> Self {
        let bytes = (!bytes.is_empty()).then_some(bytes);
        Self(if chunked { Source::OwnChunked(bytes) } else { Source::Own(bytes) })
    }

    /// `incoming`, held to `bounds`.
    pub(super) fn new(incoming: Incoming, upload: Rc<Upload>, bounds: UploadBounds) -> Self {
        let patience = bounds.hold.then(|| {
            let patience = Deadline::new();
            patience.set(HOLD);
            upload.held.set(true);
            patience
        });
        Self(Source::Client(Box::new(Uploading {
            incoming,
            upload,
            deadline: bounds.deadline,
            idle: bounds.idle,
            response: bounds.response,
            limit: bounds.limit,
            patience,
            keeping: None,
            decoder: None,
        })))
    }

    /// Undoes the text that it comes as.
    pub(super) fn decode(&mut self, decoder: Option<Decoder>) {
        if let Source::Client(body) = &mut self.0 {
            body.decoder = decoder;
        }
    }

    /// Copies what passes from here on.
    pub(super) fn keep(&mut self, keeping: Keeping) {
        if let Source::Client(body) = &mut self.0 {
            body.keeping = Some(keeping);
        }
    }
}

impl Default for RequestBody {
    fn default() -> Self {
        Self::empty()
    }
}

impl Uploading {
    fn poll_hold(&mut self, context: &Context<'_>) -> Poll<()> {
        if let Some(patience) = &self.patience {
            if self.upload.held.get() && patience.poll(context).is_pending() {
                return Poll::Pending;
            }
            self.patience = None;
            self.upload.held.set(false);
        }
        Poll::Ready(())
    }

    fn fail<T>(&self, reason: Reason) -> Poll<Option<Result<T, BrokenBody>>> {
        self.upload.failure.set(Some(reason));
        Poll::Ready(Some(Err(BrokenBody)))
    }

    /// Copies `frame`, if it may be asked for again.
    fn keep(&self, frame: &Frame<Bytes>) {
        if let Some(kept) = self.keeping.as_ref().and_then(Keeping::upgrade) {
            match frame.data_ref() {
                Some(data) => kept.push(data),
                None => kept.give_up(),
            }
        }
    }

    fn complete(&self) {
        self.upload.complete.set(true);
        if let Some(kept) = self.keeping.as_ref().and_then(Keeping::upgrade) {
            kept.complete();
        }
        // From here on it is the instance's turn.
        self.deadline.set(if self.upload.answered.get() { self.idle } else { self.response });
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let body = match &mut self.0 {
            Source::Client(body) => body,
            Source::Own(bytes) | Source::OwnChunked(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
        };
        ready!(body.poll_hold(context));
        loop {
            let frame = ready!(body.poll_next(context));
            // Half a group of letters is no byte yet.
            if !matches!(&frame, Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty)) {
                return Poll::Ready(frame);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Client(body) => body.incoming.is_end_stream(),
            Source::Own(bytes) | Source::OwnChunked(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Client(body) if body.decoder.is_some() => SizeHint::new(),
            Source::Client(body) => body.incoming.size_hint(),
            Source::Own(bytes) => length(bytes.as_ref()),
            Source::OwnChunked(_) => SizeHint::new(),
        }
    }
}

impl Uploading {
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let body = self;
        body.upload.starved.set(true);
        let frame = ready!(Pin::new(&mut body.incoming).poll_frame(context));
        body.upload.starved.set(false);
        body.deadline.set(body.idle);
        match frame {
            None if body.is_cut() => body.fail(Reason::RequestInvalid),
            None => {
                body.complete();
                Poll::Ready(None)
            }
            Some(Err(error)) => body.fail(blame(&error)),
            Some(Ok(mut frame)) => {
                if let Some(data) = frame.data_ref() {
                    let bytes = body.upload.bytes.get() + data.len() as u64;
                    body.upload.bytes.set(bytes);
                    if bytes > body.limit {
                        return body.fail(Reason::RequestTooLarge);
                    }
                    if let Some(decoder) = &mut body.decoder {
                        match decoder.push(data) {
                            Ok(decoded) => frame = Frame::data(decoded),
                            Err(NoText) => return body.fail(Reason::RequestInvalid),
                        }
                    }
                } else if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_trailers(trailers);
                }
                body.keep(&frame);
                // Behind trailers nothing comes, and nobody looks for it.
                if frame.is_trailers() || body.incoming.is_end_stream() {
                    if body.is_cut() {
                        return body.fail(Reason::RequestInvalid);
                    }
                    body.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// Whether text ends in the middle of a group.
    fn is_cut(&self) -> bool {
        self.decoder.as_ref().is_some_and(|decoder| !decoder.is_whole())
    }
}

/// Why a client's body broke off: it left, or what it sent is not a body.
fn blame(error: &hyper::Error) -> Reason {
    let source = std::error::Error::source(error);
    if let Some(error) = source.and_then(|cause| cause.downcast_ref::<h2::Error>()) {
        // What is not a body was found out here, not told by the client.
        return if error.is_library() { Reason::RequestInvalid } else { Reason::ClientGone };
    }
    let cause = source.and_then(|cause| cause.downcast_ref());
    match cause.map(std::io::Error::kind) {
        Some(ErrorKind::InvalidInput | ErrorKind::InvalidData) => Reason::RequestInvalid,
        _ => Reason::ClientGone,
    }
}
