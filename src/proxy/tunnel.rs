//! Upgraded connections: bytes both ways until both sides have said goodbye.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

use super::record::Record;
use crate::{
    deadline::{Deadline, Elapsed},
    model::Reason,
};

const BUFFER: usize = 16 * 1024;

/// Carries bytes between a client and an instance once both have switched
/// protocols; `record` ends with the tunnel.
pub(super) async fn run(
    mut record: Box<Record>,
    client: OnUpgrade,
    instance: impl AsyncRead + AsyncWrite + Unpin,
    idle: Duration,
) {
    // What was needed to route is not needed to carry bytes.
    record.permit = None;
    // The bound of a request is not one for a conversation.
    let deadline = Rc::new(Deadline::new());
    deadline.set(idle);
    if let Some(endpoint) = record.endpoint() {
        deadline.tag(endpoint.id.value());
    }
    let client = match deadline.limit(client).await {
        Ok(Ok(client)) => TokioIo::new(client),
        Err(Elapsed::Expired) => return record.end(Reason::DrainTimeout),
        _ => return record.end(Reason::ClientGone),
    };
    let mut client = Watched::new(client, &deadline, idle);
    let mut instance = Watched::new(instance, &deadline, idle);
    let copy = copy_bidirectional_with_sizes(&mut client, &mut instance, BUFFER, BUFFER);
    let outcome = deadline.limit(copy).await;
    record.bytes_out = instance.read;
    record.end(match outcome {
        Ok(_) => Reason::TunnelClosed,
        Err(Elapsed::Expired) => Reason::DrainTimeout,
        Err(_) => Reason::TunnelIdleTimeout,
    });
}

/// Moves the deadline on with each byte read.
struct Watched<S> {
    io: S,
    deadline: Rc<Deadline>,
    idle: Duration,
    read: u64,
}

impl<S> Watched<S> {
    fn new(io: S, deadline: &Rc<Deadline>, idle: Duration) -> Self {
        Self { io, deadline: Rc::clone(deadline), idle, read: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(context, buffer);
        if outcome.is_ready() {
            self.read += (buffer.filled().len() - before) as u64;
            self.deadline.set(self.idle);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
