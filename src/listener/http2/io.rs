//! The socket beneath an HTTP/2 connection, which looks at what passes.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
const ENHANCE_YOUR_CALM: u8 = 0xb;

/// A socket that tells its [`Activity`] what comes in and whether what goes out
/// is taken.
pub(super) struct ClientIo<T> {
    pub(super) stream: T,
    /// What somebody else has read of it.
    pub(super) ahead: Bytes,
    pub(super) activity: Rc<Activity>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> ClientIo<T> {
    /// Tells a client that does too much of something, as far as it can be told
    /// at once: it is not waited for, and a frame is not begun within another.
    fn refuse(&mut self, context: &mut Context<'_>) -> io::Error {
        if self.activity.is_written() {
            let [s0, s1, s2, s3] = self.activity.last_stream().to_be_bytes();
            let error = ENHANCE_YOUR_CALM;
            let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, s0, s1, s2, s3, 0, 0, 0, error];
            let _ = Pin::new(&mut self.stream).poll_write(context, &goaway);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        io::ErrorKind::ConnectionAborted.into()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.activity.abuse().is_some() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        if self.ahead.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(length));
        }
        if self.activity.received(&buffer.filled()[before..]) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(self.refuse(context)))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, data);
        self.note(&outcome);
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.note(&outcome);
        outcome
    }
}

impl<T> ClientIo<T> {
    fn note(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Ready(Ok(count)) => self.activity.wrote(Some(*count)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.wrote(None),
        }
    }
}
