//! An instance's body on its way to a client, chunk by chunk.
//!
//! It is pulled by whoever sends it on, so a slow client slows its instance
//! and nothing piles up here. The record of the request rides in it: it ends
//! with its last byte, or with the connection that was to take it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use super::{grpc_web::WebCall, headers, record::Record};
use crate::{
    deadline::{Elapsed, Tagged},
    model::Reason,
    upstream::Incoming,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body broke off. The reason is in the record of its request.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body broke off")]
pub struct BrokenBody;

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
    idle: Duration,
    /// Something was handed on, and may not have left yet.
    leaving: bool,
    /// It broke off; not told yet.
    broken: Option<Reason>,
    /// It is translated for a browser.
    web: Option<WebCall>,
}

impl ResponseBody {
    /// `bytes` as a body.
    pub(super) fn own(bytes: Bytes) -> Self {
        Self(Kind::Own((!bytes.is_empty()).then_some(bytes)))
    }

    /// `incoming`, translated for `web` if that is said; `record` ends with it.
    pub(super) fn forwarded(
        incoming: Incoming,
        record: Box<Record>,
        idle: Duration,
        web: Option<WebCall>,
    ) -> Self {
        record.deadline.set(idle);
        if let Some(upload) = &record.upload {
            upload.answered.set(true);
        }
        let record = Some(record);
        let mut body = Forwarded { incoming, record, idle, leaving: true, broken: None, web };
        if body.incoming.is_end_stream() {
            body.end(Reason::Ok);
        }
        Self(Kind::Forwarded(body))
    }
}

impl Forwarded {
    fn end(&mut self, reason: Reason) {
        let Some(record) = self.record.take() else { return };
        let now = Instant::now();
        if reason != Reason::Ok {
            self.incoming.close();
        } else if let Some(connection) = self.incoming.take_connection() {
            record.keep(connection, now);
        }
        record.end_at(reason, now);
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        if let Some(reason) = self.broken.take() {
            self.end(reason);
            return Poll::Ready(Some(Err(BrokenBody)));
        }
        let Some(record) = &mut self.record else { return Poll::Ready(None) };
        let frame = match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                self.leaving = false;
                let over = ready!(record.deadline.poll(context));
                self.end(ended_by(over));
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
                if self.leaving {
                    // With an error whoever sends this on forgets what it has
                    // not sent, which may be the head.
                    self.broken = Some(reason);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.end(reason);
                Poll::Ready(Some(Err(BrokenBody)))
            }
            Some(Ok(mut frame)) => {
                record.deadline.set(self.idle);
                self.leaving = true;
                if let Some(data) = frame.data_ref() {
                    record.bytes_out += data.len() as u64;
                } else if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_trailers(trailers);
                }
                Poll::Ready(Some(Ok(match self.web {
                    None => frame,
                    Some(web) => translated(web, frame),
                })))
            }
        }
    }
}

/// `frame` as a browser gets it. Trailers are data like any other then.
fn translated(web: WebCall, frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_data() {
        Ok(data) => Frame::data(web.data(data)),
        Err(frame) => Frame::data(web.trailers(&frame.into_trailers().unwrap_or_default())),
    }
}

/// Why a response did not get to its end in time.
const fn ended_by(over: Elapsed) -> Reason {
    match over {
        Elapsed::Phase => Reason::ResponseIdleTimeout,
        Elapsed::Total => Reason::RequestTimeout,
        Elapsed::Expired => Reason::DrainTimeout,
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        // hyper does not ask again once it has what the length promised.
        let over = self.record.as_ref().and_then(|record| record.over());
        let reason = match (self.broken, self.incoming.is_end_stream(), over) {
            (Some(reason), ..) => reason,
            (None, true, _) => Reason::Ok,
            (None, false, Some(over)) => ended_by(over),
            (None, false, None) => Reason::ClientGone,
        };
        self.end(reason);
    }
}

impl Tagged for ResponseBody {
    fn tag(&self) -> Option<u64> {
        match &self.0 {
            Kind::Forwarded(body) => Some(body.record.as_ref()?.endpoint()?.id.value()),
            Kind::Own(_) => None,
        }
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
            Kind::Forwarded(body) if body.web.is_some() && !body.incoming.is_end_stream() => {
                SizeHint::new()
            }
            Kind::Forwarded(body) => body.incoming.size_hint(),
            Kind::Own(bytes) => length(bytes.as_ref()),
        }
    }
}

/// The size of `bytes`.
pub(super) fn length(bytes: Option<&Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.map_or(0, |bytes| bytes.len() as u64))
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("end", &self.is_end_stream()).finish()
    }
}
