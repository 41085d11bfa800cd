//! HTTP/1.1 towards an instance, over one connection.
//!
//! There is no task and no channel: whoever waits for an answer, or reads it,
//! polls the socket, and whoever gives up closes the connection. Only a request
//! that is still being sent when its answer comes gets a task, or a client that
//! does not read would not be listened to. An idle connection holds no memory
//! for bytes, and notes when it is ended.
//!
//! What comes back is held to the rules strictly, since it is passed on: an
//! answer that two readers could understand in two ways is [`Malformed`].

mod answer;
mod bell;
mod buffer;
mod chunked;
mod framing;
mod head;
mod malformed;
mod sending;
mod switched;
#[cfg(test)]
mod tests;

use std::{
    cell::{RefCell, RefMut},
    fmt,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{EXPECT, UPGRADE},
};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use bell::Bell;
use buffer::{Piece, ReadBuffer};
use head::{Head, HeadReader};
use sending::{Broken, Sending};

pub use answer::{Answer, AnswerError};
pub use buffer::recycle;
pub(super) use head::MOST_FIELDS;
pub use malformed::Malformed;
pub use sending::Outgoing;
pub use switched::Switched;

/// Heads that may come before the one that counts.
pub(super) const MOST_INTERIM: u32 = 16;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The connection ended before the head of an answer was there.
    #[error("the instance closed the connection without an answer")]
    Ended {
        /// An answer had begun.
        midway: bool,
    },
    /// The instance has not looked at the request, and says so.
    #[error("the instance refused the request")]
    Refused {
        /// Because the connection is to end.
        goes_away: bool,
    },
    /// What came breaks a rule of HTTP.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The body of the request broke off.
    #[error("the request broke off")]
    Request,
}

/// A request without an answer.
#[derive(Debug)]
pub struct SendError<B> {
    /// Why.
    pub fault: Fault,
    /// The body, if no byte of the request was written.
    pub unsent: Option<Outgoing<B>>,
}

/// A connection that is sent one request after another.
pub struct Connection<S>(Box<State<S>>);

struct State<S> {
    stream: Rc<RefCell<S>>,
    /// What was read and not used.
    buffer: Option<ReadBuffer>,
    /// Whether the last answer lets another one follow.
    persists: bool,
    announced: Option<Duration>,
    /// See [`Connection::for_client`].
    client: Option<SocketAddr>,
    bell: Arc<Bell>,
    ringer: Waker,
    /// When the other side ended it, if that was noticed while it was idle.
    ended: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Connection<S> {
    /// Speaks HTTP/1.1 over `stream`.
    pub fn new(stream: S) -> Self {
        let (bell, ringer) = Bell::new();
        Self(Box::new(State {
            stream: Rc::new(RefCell::new(stream)),
            buffer: None,
            persists: true,
            announced: None,
            client: None,
            bell,
            ringer,
            ended: None,
        }))
    }

    /// Notes that the other side was told that it is made for `client`.
    pub fn for_client(&mut self, client: SocketAddr) {
        self.0.client = Some(client);
    }

    /// The only client that it may be used for, if there is one.
    pub fn client(&self) -> Option<SocketAddr> {
        self.0.client
    }

    /// Sends `head` with `body`, and waits for the head of the answer. Those
    /// that come before it (RFC 9110 section 15.2) are told to `interim`; the
    /// body is asked again afterwards, in case it waited for one.
    ///
    /// # Errors
    ///
    /// When there is none. The connection is closed then.
    pub fn send<B>(
        mut self,
        head: &Request<()>,
        body: Outgoing<B>,
        mut interim: impl FnMut(StatusCode, &HeaderMap),
    ) -> impl Future<Output = Result<Response<Answer<S>>, SendError<B>>>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
    {
        let mut sending = Sending::new(head, body);
        let mut reader = AnswerReader {
            head: HeadReader::default(),
            to_head: *head.method() == Method::HEAD,
            heads: 0,
            continued: false,
        };
        // Not an `async fn`, which would have room for what it is given twice.
        async move {
            let answer = poll_fn(|context| {
                loop {
                    match sending.poll(&mut *self.stream_mut(), context) {
                        Poll::Ready(Err(Broken::Body)) => return Poll::Ready(Err(Fault::Request)),
                        Poll::Ready(Err(Broken::Connection)) if !sending.has_begun() => {
                            return Poll::Ready(Err(Fault::Ended { midway: false }));
                        }
                        // What it said before it hung up counts.
                        _ => {}
                    }
                    let head = ready!(self.poll_head(&mut reader, context))?;
                    if !head.status.is_informational()
                        || head.status == StatusCode::SWITCHING_PROTOCOLS
                    {
                        return Poll::Ready(Ok(head));
                    }
                    interim(head.status, &head.headers);
                }
            })
            .await;
            match answer {
                Ok(answer) if answer.status == StatusCode::SWITCHING_PROTOCOLS => {
                    if !head.headers().contains_key(UPGRADE) || !sending.is_done() {
                        let fault = Malformed::UnaskedSwitch.into();
                        return Err(SendError { fault, unsent: None });
                    }
                    Ok(answer.into_response(Answer::switched(self)))
                }
                Ok(answer) => {
                    self.0.persists = answer.persists;
                    self.0.announced = answer.announced.or(self.0.announced);
                    let mut body = Answer::new(self, answer.framing);
                    if !sending.is_done() {
                        // An answer in place of 100 says that the body is not wanted.
                        let unwanted = head.headers().contains_key(EXPECT)
                            && !reader.continued
                            && !sending.has_body_begun();
                        let goes_on = !unwanted && !sending.is_broken();
                        body.upload(goes_on.then_some(sending));
                    }
                    Ok(answer.into_response(body))
                }
                Err(fault) => Err(SendError { fault, unsent: sending.unsent() }),
            }
        }
    }

    /// Reads until a head is there.
    fn poll_head(
        &mut self,
        reader: &mut AnswerReader,
        context: &mut Context<'_>,
    ) -> Poll<Result<Head, Fault>> {
        loop {
            if let Some(bytes) = self.read()
                && let Some(head) = reader.read(bytes)?
            {
                return Poll::Ready(Ok(head));
            }
            if !matches!(ready!(self.poll_fill(Piece::Small, context)), Ok(1..)) {
                let midway = reader.heads > 0 || self.read().is_some();
                return Poll::Ready(Err(Fault::Ended { midway }));
            }
        }
    }

    fn poll_fill(&mut self, piece: Piece, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let state = &mut *self.0;
        ReadBuffer::poll_fill(&mut state.buffer, piece, &mut *state.stream.borrow_mut(), context)
    }

    /// What was read and not used, if there is anything.
    fn read(&mut self) -> Option<&mut BytesMut> {
        self.0.buffer.as_mut().map(ReadBuffer::bytes).filter(|bytes| !bytes.is_empty())
    }

    fn stream(&self) -> Rc<RefCell<S>> {
        Rc::clone(&self.0.stream)
    }

    fn stream_mut(&self) -> RefMut<'_, S> {
        self.0.stream.borrow_mut()
    }

    /// Whether another request may follow the answer that has ended: bytes
    /// behind one are nobody's answer.
    fn is_clean(&mut self) -> bool {
        self.0.persists && self.read().is_none()
    }

    /// The stream, and what was read of it.
    fn into_parts(self) -> Option<(Bytes, S)> {
        let State { stream, buffer, .. } = *self.0;
        let ahead = buffer.map(ReadBuffer::into_bytes).unwrap_or_default();
        Some((ahead, Rc::into_inner(stream)?.into_inner()))
    }

    /// Lets it be idle from here on. False if it is of no use: it has ended,
    /// or somebody speaks who was not asked.
    pub fn rest(&mut self) -> bool {
        self.0.buffer = None;
        self.0.bell.take();
        self.is_silent()
    }

    /// Whether it can be used after it was idle.
    pub fn is_open(&mut self) -> bool {
        if self.0.ended.is_some() {
            return false;
        }
        if !self.0.bell.has_rung() {
            return true;
        }
        let rung = self.0.bell.take();
        let silent = self.is_silent();
        if !silent {
            self.0.ended = rung;
        }
        silent
    }

    /// When it ended, if it was idle then.
    pub fn ended(&self) -> Option<Instant> {
        self.0.ended
    }

    /// How long the instance says it keeps the connection.
    pub fn announced(&self) -> Option<Duration> {
        self.0.announced
    }

    fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(&self.0.ringer);
        Pin::new(&mut *self.stream_mut()).poll_read(&mut context, &mut byte).is_pending()
    }
}

impl<S> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { buffer, persists, announced, ended, .. } = &*self.0;
        let mut shown = f.debug_struct("Connection");
        shown.field("buffer", buffer).field("persists", persists);
        shown.field("announced", announced).field("ended", ended).finish_non_exhaustive()
    }
}

/// Reads the heads that come in answer to one request.
struct AnswerReader {
    head: HeadReader,
    to_head: bool,
    heads: u32,
    /// Whether one of them said that the body is wanted.
    continued: bool,
}

impl AnswerReader {
    fn read(&mut self, bytes: &mut BytesMut) -> Result<Option<Head>, Malformed> {
        let Some(head) = self.head.read(bytes, self.to_head)? else { return Ok(None) };
        self.heads += 1;
        self.continued |= head.status == StatusCode::CONTINUE;
        if head.status.is_informational() && self.heads > MOST_INTERIM {
            return Err(Malformed::TooManyInterim);
        }
        Ok(Some(head))
    }
}

impl Head {
    fn into_response<S>(self, body: Answer<S>) -> Response<Answer<S>> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.version_mut() = self.version;
        *response.headers_mut() = self.headers;
        // hyper's server writes what is in this extension.
        let reason = self.reason.and_then(|reason| hyper::ext::ReasonPhrase::try_from(reason).ok());
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        response
    }
}
