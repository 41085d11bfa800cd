//! A stream that carries another protocol (RFC 8441 section 5).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Place;

/// Bytes that are put into a stream at once.
const CHUNK: usize = 16 << 10;

/// What is left of a stream after the other side has agreed: bytes both ways.
#[derive(Debug)]
pub struct Http2Tunnel {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    /// What has come and was not asked for yet.
    ahead: Bytes,
    _place: Place,
}

impl Http2Tunnel {
    pub(super) const fn new(sender: SendStream<Bytes>, receiver: RecvStream, place: Place) -> Self {
        Self { sender, receiver, ahead: Bytes::new(), _place: place }
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for Http2Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.ahead.is_empty() {
            match ready!(self.receiver.poll_data(context)) {
                Some(data) => self.ahead = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..length]);
        self.ahead.advance(length);
        let released = self.receiver.flow_control().release_capacity(length);
        Poll::Ready(released.map_err(broken))
    }
}

impl AsyncWrite for Http2Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.sender.reserve_capacity(data.len().min(CHUNK));
        while self.sender.capacity() == 0 {
            match ready!(self.sender.poll_capacity(context)) {
                Some(granted) => drop(granted.map_err(broken)?),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = self.sender.capacity().min(data.len());
        let data = Bytes::copy_from_slice(&data[..length]);
        Poll::Ready(self.sender.send_data(data, false).map(|()| length).map_err(broken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // One that has ended already has nobody to say goodbye to.
        let _ = self.sender.send_data(Bytes::new(), true);
        Poll::Ready(Ok(()))
    }
}
