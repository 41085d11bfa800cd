//! The body of an answer, and the connection that it comes over.
//!
//! It is read when it is asked for, piece by piece, each a part of the buffer
//! that it was read into. At its end the connection can be taken out, if it is
//! of use for another request.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

use super::{
    Connection, Malformed, Switched,
    buffer::Piece,
    chunked::{Chunked, Found},
    framing::Framing,
    sending::{Broken, Sending},
};

/// Why a body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The connection ended before the body did.
    #[error("the instance broke off")]
    Truncated,
    /// What came was no body.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The body of the request, which was still being sent, broke off.
    #[error("the request broke off")]
    Request,
}

/// The body of an answer.
#[derive(Debug)]
pub struct Answer<S> {
    /// None once it was taken out, or given up.
    connection: Option<Connection<S>>,
    rest: Rest,
    /// What was found behind the last piece.
    found: Option<Result<HeaderMap, Malformed>>,
    piece: Piece,
    upload: Upload,
}

/// What is to come.
#[derive(Debug)]
enum Rest {
    Nothing,
    Length(u64),
    Chunks(Chunked),
    UntilEnd,
    /// Another protocol.
    Switched,
}

/// What becomes of the request while its answer is read.
#[derive(Debug)]
enum Upload {
    /// It was sent before.
    Done,
    /// It is of no use to anybody.
    Dropped,
    /// A task sends it: whoever is slow to take the answer has a right to be
    /// listened to all the same.
    Running(JoinHandle<()>, Rc<Progress>),
}

#[derive(Debug, Default)]
struct Progress {
    outcome: Cell<Option<Result<(), Broken>>>,
    waker: RefCell<Option<Waker>>,
}

impl Upload {
    fn is_done(&self) -> bool {
        match self {
            Self::Done => true,
            Self::Dropped => false,
            Self::Running(_, progress) => progress.outcome.get() == Some(Ok(())),
        }
    }

    /// Whether the body of the request broke off. Else whoever waits is woken
    /// when it does.
    fn poll_broken(&self, context: &Context<'_>) -> bool {
        let Self::Running(_, progress) = self else { return false };
        match progress.outcome.get() {
            None => drop(progress.waker.replace(Some(context.waker().clone()))),
            Some(outcome) => return outcome == Err(Broken::Body),
        }
        false
    }

    fn stop(&mut self) {
        *self = Self::Dropped;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Self::Running(task, _) = self {
            task.abort();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Answer<S> {
    /// The body that comes over `connection` as `framing` says.
    pub(super) fn new(connection: Connection<S>, framing: Framing) -> Self {
        let (rest, piece) = match framing {
            Framing::None => (Rest::Nothing, Piece::Small),
            Framing::Length(length) => (Rest::Length(length), Piece::of(length)),
            Framing::Chunked => (Rest::Chunks(Chunked::default()), Piece::Small),
            Framing::UntilEnd => (Rest::UntilEnd, Piece::Small),
        };
        let connection = Some(connection);
        let mut answer = Self { connection, rest, found: None, piece, upload: Upload::Done };
        answer.look_ahead();
        answer
    }

    /// What comes over `connection` after 101.
    pub(super) fn switched(connection: Connection<S>) -> Self {
        let (connection, rest) = (Some(connection), Rest::Switched);
        Self { connection, rest, found: None, piece: Piece::Small, upload: Upload::Done }
    }

    /// Sends on what is left of the request while the answer is read; none if
    /// that would be in vain.
    pub(super) fn upload<B>(&mut self, sending: Option<Sending<B>>)
    where
        B: Body<Data = Bytes> + Unpin + 'static,
    {
        self.upload.stop();
        let stream = self.connection.as_ref().map(Connection::stream);
        let (Some(mut sending), Some(stream), false) = (sending, stream, self.is_end_stream())
        else {
            return;
        };
        let progress = Rc::new(Progress::default());
        let noted = Rc::clone(&progress);
        let task = tokio::task::spawn_local(async move {
            let sent =
                std::future::poll_fn(|context| sending.poll(&mut *stream.borrow_mut(), context));
            noted.outcome.set(Some(sent.await));
            if let Some(waker) = noted.waker.borrow_mut().take() {
                waker.wake();
            }
        });
        self.upload = Upload::Running(task, progress);
    }

    /// The connection, if the answer has ended and another request may follow
    /// it. Else it is closed.
    pub fn take_connection(&mut self) -> Option<Connection<S>> {
        let mut connection = self.connection.take()?;
        let clean = self.is_end_stream() && self.upload.is_done() && connection.is_clean();
        self.upload.stop();
        clean.then_some(connection)
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.upload.stop();
        self.connection = None;
    }

    /// The stream, if it speaks another protocol from here on.
    pub fn into_switched(mut self) -> Option<Switched<S>> {
        let connection = self.connection.take().filter(|_| matches!(self.rest, Rest::Switched))?;
        let (ahead, stream) = connection.into_parts()?;
        Some(Switched::new(ahead, stream))
    }

    /// Looks at what was read behind the last piece: that it was the last one
    /// is of use to know soon.
    fn look_ahead(&mut self) {
        if let Rest::Chunks(chunked) = &mut self.rest {
            let read = self.connection.as_mut().and_then(Connection::read);
            let skipped = read.map_or(Ok(None), |bytes| chunked.skip(bytes));
            self.found = skipped.transpose();
            if chunked.is_ended() {
                self.rest = Rest::Nothing;
            }
        }
    }

    /// The next frame in what was read.
    fn next(&mut self) -> Result<Option<Frame<Bytes>>, Malformed> {
        if let Some(found) = self.found.take() {
            return found.map(|trailers| Some(Frame::trailers(trailers)));
        }
        let Some(bytes) = self.connection.as_mut().and_then(Connection::read) else {
            return Ok(None);
        };
        let data = match &mut self.rest {
            Rest::Nothing | Rest::Switched => return Ok(None),
            Rest::UntilEnd => take(bytes, u64::MAX),
            Rest::Length(left) => {
                let data = take(bytes, *left);
                *left -= data.as_ref().map_or(0, Bytes::len) as u64;
                if *left == 0 {
                    self.rest = Rest::Nothing;
                }
                data
            }
            Rest::Chunks(chunked) => match chunked.next(bytes)? {
                Found::Data(data) => {
                    self.look_ahead();
                    Some(data)
                }
                Found::Trailers(trailers) => {
                    self.rest = Rest::Nothing;
                    return Ok(Some(Frame::trailers(trailers)));
                }
                Found::End => {
                    self.rest = Rest::Nothing;
                    None
                }
                Found::Nothing => None,
            },
        };
        Ok(data.map(Frame::data))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        loop {
            if let Some(frame) = self.next().transpose() {
                return Poll::Ready(Some(frame.map_err(AnswerError::Malformed)));
            }
            if matches!(self.rest, Rest::Nothing | Rest::Switched) {
                return Poll::Ready(None);
            }
            if self.upload.poll_broken(context) {
                return Poll::Ready(Some(Err(AnswerError::Request)));
            }
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            match std::task::ready!(connection.poll_fill(self.piece, context)) {
                Ok(0) if matches!(self.rest, Rest::UntilEnd) => self.rest = Rest::Nothing,
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(AnswerError::Truncated))),
                Ok(count) => self.piece = self.piece.after(count),
            }
        }
    }
}

/// Up to `most` of `bytes`, if there are any.
fn take(bytes: &mut BytesMut, most: u64) -> Option<Bytes> {
    let length = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
    (length > 0).then(|| bytes.split_to(length).freeze())
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Body for Answer<S> {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        self.poll_next(context).map(|frame| {
            if matches!(frame, Some(Err(_))) {
                self.close();
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::Nothing | Rest::Switched) && self.found.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Rest::Length(left) => SizeHint::with_exact(*left),
            // Trailers have no place behind a body without a byte.
            Rest::Nothing | Rest::Switched if self.found.is_none() => SizeHint::with_exact(0),
            _ => SizeHint::new(),
        }
    }
}
