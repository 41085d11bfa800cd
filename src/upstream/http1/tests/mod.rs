//! Whole exchanges over a connection in memory, cut into every kind of piece.

mod answers;
mod differential;
mod requests;

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, header::HeaderMap};
use http_body::Body;
use http_body_util::Empty;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Answer, AnswerError, Connection, Fault, Outgoing, SendError};

/// What comes after the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Nothing.
    Silence,
    /// A goodbye.
    End,
    /// A reset.
    Reset,
}

/// A connection to nobody, which says what it was told to.
#[derive(Debug)]
struct Script {
    pieces: VecDeque<Bytes>,
    then: Then,
    /// The last read said that there is nothing yet.
    paused: bool,
    wire: Rc<RefCell<Wire>>,
}

/// What was sent over a [`Script`], and how it is taken.
#[derive(Debug, Default)]
struct Wire {
    sent: Vec<u8>,
    /// How many calls it took.
    writes: usize,
    /// The most bytes that a call takes; 0 is no bound.
    most: usize,
    /// Every other call takes nothing.
    hesitant: bool,
    hesitated: bool,
    /// It breaks when it has taken so many bytes.
    broken_after: Option<usize>,
}

impl Wire {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.sent).into_owned()
    }
}

impl Script {
    fn new(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>, then: Then) -> Self {
        let copy = |piece: &_| Bytes::copy_from_slice(AsRef::<[u8]>::as_ref(piece));
        let pieces = pieces.into_iter().map(|piece| copy(&piece)).filter(|piece| !piece.is_empty());
        Self { pieces: pieces.collect(), then, paused: false, wire: Rc::default() }
    }

    fn wire(&self) -> Rc<RefCell<Wire>> {
        Rc::clone(&self.wire)
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Before each piece there is a wait.
        self.paused = !self.paused;
        if self.paused {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = self.pieces.front_mut() else {
            return match self.then {
                Then::Silence => Poll::Pending,
                Then::End => Poll::Ready(Ok(())),
                Then::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        };
        let length = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece.split_to(length));
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.borrow_mut();
        wire.hesitated = wire.hesitant && !wire.hesitated;
        if wire.hesitated {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = wire.broken_after.map_or(usize::MAX, |most| most - wire.sent.len());
        if room == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let most = if wire.most == 0 { usize::MAX } else { wire.most };
        let length = data.len().min(most).min(room);
        wire.sent.extend_from_slice(&data[..length]);
        wire.writes += 1;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What came of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    status: u16,
    fields: Vec<(String, String)>,
    body: String,
    trailers: Vec<(String, String)>,
    /// Interim answers before it.
    interim: Vec<u16>,
    broken: Option<AnswerError>,
    /// The connection came back.
    reusable: bool,
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// Runs `exchange` as a worker would.
fn run<F: Future>(exchange: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, exchange)
}

/// Reads `answer` to its end.
async fn read_body(answer: &mut Answer<Script>, seen: &mut Seen) {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *answer).poll_frame(context)).await {
        match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => seen.body += &String::from_utf8_lossy(&data),
                Err(frame) => seen.trailers = fields(&frame.into_trailers().expect("trailers")),
            },
            Err(error) => {
                seen.broken = Some(error);
                return;
            }
        }
    }
    assert!(answer.is_end_stream());
}

async fn send<B>(
    connection: Connection<Script>,
    head: &Request<()>,
    body: B,
    seen: &mut Seen,
) -> Result<Response<Answer<Script>>, SendError<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
{
    let interim = |status: http::StatusCode, _: &_| seen.interim.push(status.as_u16());
    let response = connection.send(head, Outgoing::new(body), interim).await?;
    seen.status = response.status().as_u16();
    seen.fields = fields(response.headers());
    Ok(response)
}

/// Sends a request of `method` without a body over `script`.
fn ask(method: &str, script: Script) -> Result<Seen, Fault> {
    run(async {
        let head = Request::builder().method(method).uri("/").body(()).expect("a request");
        let mut seen = Seen::default();
        let response = send(Connection::new(script), &head, Empty::new(), &mut seen).await;
        let mut answer = response.map_err(|error| error.fault)?.into_body();
        read_body(&mut answer, &mut seen).await;
        seen.reusable = answer.take_connection().is_some();
        Ok(seen)
    })
}

/// `text` in pieces that end at `cuts`.
fn cut<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|end| end % (text.len() + 1)).collect();
    ends.extend([0, text.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect()
}
