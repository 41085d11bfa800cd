//! A connection that brings some bytes, in pieces, and then ends.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use portolan::listener::ClientStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    runtime::{Builder, Runtime},
};

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_io().build().expect("a runtime");
    /// Stands for the socket below, of which nobody reads.
    static SOCKET: Arc<TcpStream> = RUNTIME.with(|runtime| {
        let _inside = runtime.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = std::net::TcpStream::connect(address).expect("a connection");
        stream.set_nonblocking(true).expect("a socket");
        Arc::new(TcpStream::from_std(stream).expect("a socket"))
    });
}

/// Turns that something has that waits for nothing but a [`Wire`].
const TURNS: usize = 20_000;

/// Runs `future` on the runtime of this thread; none if it does not end, since
/// it waits for a time that nobody tells here.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    let patience = async {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    };
    let both = async {
        let (mut future, mut patience) = (pin!(future), pin!(patience));
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => patience.as_mut().poll(context).map(|()| None),
        })
        .await
    };
    RUNTIME.with(|runtime| runtime.block_on(both))
}

/// How often it is asked for more, behind the last byte, before it ends: time
/// for whoever reads to do all that it can with what it has.
const LINGER: u8 = 100;

/// The connection. What is written to it is gone.
#[derive(Debug)]
pub(crate) struct Wire {
    rest: Vec<u8>,
    /// Chooses the length of the pieces; 0 for one piece.
    seed: u8,
    ready: bool,
    /// How often it is still asked before it ends.
    linger: u8,
    /// Whoever waits for the other side to be asked.
    unasked: Option<Option<Waker>>,
    socket: Arc<TcpStream>,
}

impl Wire {
    pub(crate) fn new(bytes: &[u8], seed: u8) -> Self {
        let socket = SOCKET.with(Arc::clone);
        Self { rest: bytes.to_vec(), seed, ready: true, linger: 0, unasked: None, socket }
    }

    /// One that does not end while there is an answer to write: to a server,
    /// whoever ends has left.
    pub(crate) fn asking(bytes: &[u8], seed: u8) -> Self {
        Self { linger: LINGER, ..Self::new(bytes, seed) }
    }

    /// One that brings nothing before something was written to it.
    pub(crate) fn answering(bytes: &[u8], seed: u8) -> Self {
        Self { unasked: Some(None), ..Self::new(bytes, seed) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(waiting) = &mut self.unasked {
            *waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        if !self.ready {
            // What comes after a piece comes later.
            self.ready = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() && self.linger > 0 {
            self.linger -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut length = self.rest.len();
        if self.seed != 0 {
            self.seed = self.seed.wrapping_mul(37).wrapping_add(11) | 1;
            length = length.min(usize::from(self.seed % 24) + 1);
            self.ready = false;
        }
        let length = length.min(buffer.remaining());
        buffer.put_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(Some(waiting)) = self.unasked.take() {
            waiting.wake();
        }
        if self.linger > 0 {
            self.linger = LINGER;
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl ClientStream for Wire {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn moves(&self) -> bool {
        false
    }
}
