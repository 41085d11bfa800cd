//! The body of a request on its way into a stream.
//!
//! It is asked for more only when the instance has opened a window for it, so
//! a slow instance slows its client.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http_body::Body;

use super::super::Outgoing;

/// What of a body is held on to, so that it can be sent elsewhere if the
/// instance refuses the stream.
const MOST_KEPT: usize = 64 << 10;

/// Why an upload ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The body broke off.
    Body,
    /// The instance takes no more.
    Stream,
}

/// A body that is being sent.
#[derive(Debug)]
pub(super) struct Upload<B> {
    stream: SendStream<Bytes>,
    body: Outgoing<B>,
    /// Taken out of the body, and not sent.
    pending: Bytes,
    /// What was sent; none once it is too much, or more than bytes.
    kept: Option<Vec<Bytes>>,
    kept_bytes: usize,
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    pub(super) fn new(stream: SendStream<Bytes>, body: Outgoing<B>) -> Self {
        Self { stream, body, pending: Bytes::new(), kept: Some(Vec::new()), kept_bytes: 0 }
    }

    /// Nothing that was sent is needed any more.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    /// The body as it was before, if what was sent of it is still here.
    pub(super) fn into_unsent(self) -> Option<Outgoing<B>> {
        let kept = self.kept?;
        let ahead = match &kept[..] {
            [] => None,
            [one] => Some(one.clone()),
            several => {
                let mut whole = BytesMut::with_capacity(self.kept_bytes);
                several.iter().for_each(|chunk| whole.extend_from_slice(chunk));
                Some(whole.freeze())
            }
        };
        Some(self.body.put_back(ahead))
    }

    /// Sends what can be sent. Ready once all of it was.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            // A byte of room is asked for even before there is one to send.
            self.stream.reserve_capacity(self.pending.len().max(1));
            while self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(context)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(Err(Broken::Stream)),
                }
            }
            if !self.pending.is_empty() {
                let room = self.stream.capacity().min(self.pending.len());
                let data = self.pending.split_to(room);
                let last = self.pending.is_empty() && self.body.is_end_stream();
                self.stream.send_data(data, last).map_err(|_| Broken::Stream)?;
                if last {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    // Nobody else would be told.
                    let reset = self.stream.poll_reset(context);
                    return reset.map(|_| Err(Broken::Stream));
                }
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.keep(&data);
                        self.pending = data;
                    }
                    Err(frame) => {
                        self.kept = None;
                        if let Ok(trailers) = frame.into_trailers() {
                            let sent = self.stream.send_trailers(trailers);
                            return Poll::Ready(sent.map_err(|_| Broken::Stream));
                        }
                    }
                },
                Some(Err(_)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(Broken::Body));
                }
                None => {
                    let sent = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(sent.map_err(|_| Broken::Stream));
                }
            }
        }
    }

    fn keep(&mut self, data: &Bytes) {
        self.kept_bytes += data.len();
        if self.kept_bytes > MOST_KEPT {
            self.kept = None;
        } else if let Some(kept) = &mut self.kept {
            kept.push(data.clone());
        }
    }
}
