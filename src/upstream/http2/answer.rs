//! The body of an answer that comes by a stream.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::{
    Http2Tunnel, Place, heads,
    upload::{Broken, Upload},
};
use crate::upstream::Malformed;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum Http2Error {
    /// The instance, or the connection to it, ended the stream.
    #[error(transparent)]
    Stream(#[from] h2::Error),
    /// The body of the request, which was still being sent, broke off.
    #[error("the request broke off")]
    Request,
    /// The trailers are too many.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The body of an answer. Its stream ends with it.
#[derive(Debug)]
pub struct Http2Answer {
    stream: RecvStream,
    ended: bool,
    /// What the head says of its length.
    length: Option<u64>,
    upload: Option<Uploading>,
    place: Place,
    /// The way back, where another protocol was agreed on.
    switched: Option<SendStream<Bytes>>,
}

/// The rest of a request, which is sent while its answer is read.
#[derive(Debug)]
struct Uploading {
    task: JoinHandle<()>,
    progress: Rc<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    broken: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http2Answer {
    pub(super) const fn new(stream: RecvStream, length: Option<u64>, place: Place) -> Self {
        Self { stream, ended: false, length, upload: None, place, switched: None }
    }

    /// An agreement to speak another protocol over the stream.
    pub(super) const fn switched(
        stream: RecvStream,
        sender: SendStream<Bytes>,
        place: Place,
    ) -> Self {
        let switched = Some(sender);
        Self { stream, ended: false, length: None, upload: None, place, switched }
    }

    /// The bytes that follow such an agreement.
    pub fn into_switched(self) -> Option<Http2Tunnel> {
        let Self { stream, place, switched, .. } = self;
        Some(Http2Tunnel::new(switched?, stream, place))
    }

    /// Sends on what is left of the request.
    pub(super) fn upload<B>(&mut self, mut upload: Upload<B>)
    where
        B: Body<Data = Bytes> + Unpin + 'static,
    {
        upload.forget();
        let progress = Rc::<Progress>::default();
        let noted = Rc::clone(&progress);
        let task = tokio::task::spawn_local(async move {
            let sent = std::future::poll_fn(|context| upload.poll(context)).await;
            noted.broken.set(sent == Err(Broken::Body));
            if let Some(waker) = noted.waker.borrow_mut().take() {
                waker.wake();
            }
        });
        self.upload = Some(Uploading { task, progress });
    }

    /// Stops what is left of the request.
    pub fn close(&mut self) {
        self.upload = None;
    }

    fn poll_broken(&self, context: &Context<'_>) -> bool {
        let Some(Uploading { progress, .. }) = &self.upload else { return false };
        progress.waker.replace(Some(context.waker().clone()));
        progress.broken.get()
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http2Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.poll_broken(context) {
            return Poll::Ready(Some(Err(Http2Error::Request)));
        }
        match ready!(self.stream.poll_data(context)) {
            Some(Ok(data)) => {
                // Whoever asks takes it on: the next one may come.
                let _ = self.stream.flow_control().release_capacity(data.len());
                self.length = self.length.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => {
                let trailers = ready!(self.stream.poll_trailers(context));
                self.ended = true;
                Poll::Ready(trailers.transpose().map(|trailers| {
                    let trailers = trailers?;
                    heads::check_number(&trailers).map_err(|_| Malformed::Trailers)?;
                    Ok(Frame::trailers(trailers))
                }))
            }
        }
    }
}

impl Body for Http2Answer {
    type Data = Bytes;
    type Error = Http2Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http2Error>>> {
        let frame = self.poll_next(context);
        if matches!(frame, Poll::Ready(Some(Err(_)))) {
            self.ended = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() {
            return SizeHint::with_exact(0);
        }
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
