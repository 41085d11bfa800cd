//! Bodies on their way through, chunk by chunk, in both directions.
//!
//! A body is pulled by whoever sends it on, so a slow reader slows the writer
//! and nothing piles up here. The record of the request rides in the response
//! body: it ends with its last byte, or with the connection that was to take
//! it.

use std::{
    cell::Cell,
    fmt,
    io::ErrorKind,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{RequestConnection, headers, record::Record};
use crate::{
    deadline::{Deadline, Elapsed},
    model::Reason,
};

/// A body broke off. The reason is in the record of its request.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body broke off")]
pub struct BrokenBody;

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
    /// The instance was asked whether it wants the body, and has not said yet.
    pub(super) held: Cell<bool>,
    /// The answer is complete: the rest of the body is of no use to anybody.
    pub(super) abandoned: Cell<bool>,
}

/// Holds an upload back until the instance wants it (RFC 9110 section 10.1.1).
#[derive(Debug, Default)]
pub(super) struct Hold {
    released: AtomicBool,
    waker: AtomicWaker,
}

impl Hold {
    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// How long an instance that says nothing to `Expect: 100-continue` is waited
/// for.
const HOLD: Duration = Duration::from_secs(1);

/// A request body on its way to an instance.
#[derive(Debug)]
pub struct RequestBody(Option<Box<Uploading>>);

#[derive(Debug)]
struct Uploading {
    incoming: Incoming,
    upload: Rc<Upload>,
    /// Of the request: moved on with each chunk.
    deadline: Rc<Deadline>,
    idle: Duration,
    response: Duration,
    limit: u64,
    hold: Option<(Arc<Hold>, Deadline)>,
}

/// The bounds of an upload.
#[derive(Debug)]
pub(super) struct UploadBounds {
    pub(super) deadline: Rc<Deadline>,
    pub(super) idle: Duration,
    pub(super) response: Duration,
    pub(super) limit: u64,
    pub(super) hold: Option<Arc<Hold>>,
}

impl RequestBody {
    /// A body without a byte.
    pub(super) const fn empty() -> Self {
        Self(None)
    }

    /// `incoming`, held to `bounds`.
    pub(super) fn new(incoming: Incoming, upload: Rc<Upload>, bounds: UploadBounds) -> Self {
        let hold = bounds.hold.map(|hold| {
            let patience = Deadline::new();
            patience.set(HOLD);
            upload.held.set(true);
            (hold, patience)
        });
        Self(Some(Box::new(Uploading {
            incoming,
            upload,
            deadline: bounds.deadline,
            idle: bounds.idle,
            response: bounds.response,
            limit: bounds.limit,
            hold,
        })))
    }
}

impl Uploading {
    fn poll_hold(&mut self, context: &Context<'_>) -> Poll<()> {
        if let Some((hold, patience)) = &self.hold {
            hold.waker.register(context.waker());
            if !hold.released.load(Ordering::Acquire) && patience.poll(context).is_pending() {
                return Poll::Pending;
            }
            self.hold = None;
            self.upload.held.set(false);
        }
        Poll::Ready(())
    }

    fn fail<T>(&self, reason: Reason) -> Poll<Option<Result<T, BrokenBody>>> {
        self.upload.failure.set(Some(reason));
        Poll::Ready(Some(Err(BrokenBody)))
    }

    fn complete(&self) {
        self.upload.complete.set(true);
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
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        if body.upload.abandoned.get() {
            return Poll::Ready(Some(Err(BrokenBody)));
        }
        ready!(body.poll_hold(context));
        body.upload.starved.set(true);
        let frame = ready!(Pin::new(&mut body.incoming).poll_frame(context));
        body.upload.starved.set(false);
        body.deadline.set(body.idle);
        match frame {
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
                } else if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_trailers(trailers);
                }
                if body.incoming.is_end_stream() {
                    body.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |body| body.incoming.size_hint())
    }
}

/// Why a client's body broke off: it left, or what it sent is not a body.
fn blame(error: &hyper::Error) -> Reason {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref());
    match cause.map(std::io::Error::kind) {
        Some(ErrorKind::InvalidInput | ErrorKind::InvalidData) => Reason::RequestInvalid,
        _ => Reason::ClientGone,
    }
}

/// A response body on its way to a client.
pub struct ResponseBody(Kind);

enum Kind {
    /// An instance's.
    Forwarded(Forwarded),
    /// Our own.
    Own(Option<Bytes>),
}

struct Forwarded {
    incoming: Incoming,
    record: Option<Box<Record>>,
    connection: Option<RequestConnection>,
    idle: Duration,
}

impl ResponseBody {
    /// `bytes` as a body.
    pub(super) fn own(bytes: Bytes) -> Self {
        Self(Kind::Own((!bytes.is_empty()).then_some(bytes)))
    }

    /// `incoming`, which came over `connection`; `record` ends with it.
    pub(super) fn forwarded(
        incoming: Incoming,
        record: Box<Record>,
        connection: RequestConnection,
        idle: Duration,
    ) -> Self {
        record.deadline.set(idle);
        if let Some(upload) = &record.upload {
            upload.answered.set(true);
        }
        let connection = Some(connection);
        let mut body = Forwarded { incoming, record: Some(record), connection, idle };
        if body.incoming.is_end_stream() {
            body.end(Reason::Ok);
        }
        Self(Kind::Forwarded(body))
    }
}

impl Forwarded {
    fn end(&mut self, reason: Reason) {
        let Some(record) = self.record.take() else { return };
        let connection = self.connection.take();
        match &record.upload {
            // An exchange that is half done leaves no connection behind.
            Some(upload) if !upload.complete.get() => upload.abandoned.set(true),
            _ if reason == Reason::Ok => {
                if let Some(connection) = connection {
                    record.keep(connection);
                }
            }
            _ => {}
        }
        record.end(reason);
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let Some(record) = &mut self.record else { return Poll::Ready(None) };
        let frame = match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let reason = match ready!(record.deadline.poll(context)) {
                    Elapsed::Phase => Reason::ResponseIdleTimeout,
                    Elapsed::Total => Reason::RequestTimeout,
                };
                self.end(reason);
                return Poll::Ready(Some(Err(BrokenBody)));
            }
        };
        match frame {
            None => {
                self.end(Reason::Ok);
                Poll::Ready(None)
            }
            Some(Err(_)) => {
                let reason = record.upload_failure().unwrap_or(Reason::ResponseTruncated);
                self.end(reason);
                Poll::Ready(Some(Err(BrokenBody)))
            }
            Some(Ok(mut frame)) => {
                record.deadline.set(self.idle);
                if let Some(data) = frame.data_ref() {
                    record.bytes_out += data.len() as u64;
                } else if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_trailers(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        // hyper does not ask again once it has what the length promised.
        let is_over = self.record.as_ref().is_some_and(|record| record.deadline.is_total_over());
        let reason = match (self.incoming.is_end_stream(), is_over) {
            (true, _) => Reason::Ok,
            (false, true) => Reason::RequestTimeout,
            (false, false) => Reason::ClientGone,
        };
        self.end(reason);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        match &mut self.0 {
            Kind::Forwarded(body) => body.poll_frame(context),
            Kind::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Forwarded(body) => body.incoming.is_end_stream(),
            Kind::Own(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Forwarded(body) => body.incoming.size_hint(),
            Kind::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("end", &self.is_end_stream()).finish()
    }
}
