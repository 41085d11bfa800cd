//! The body of an instance's answer, whatever protocol it came by.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    Connection, Stream, Tunnel,
    http1::{Answer, AnswerError},
    http2::{Http2Answer, Http2Error},
};

/// The body of an instance's answer.
#[derive(Debug)]
pub enum Incoming {
    /// By HTTP/1.1. The connection rides in it.
    Http1(Answer<Stream>),
    /// By HTTP/2.
    Http2(Http2Answer),
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// By HTTP/1.1.
    #[error(transparent)]
    Http1(AnswerError),
    /// By HTTP/2.
    #[error(transparent)]
    Http2(Http2Error),
}

impl Incoming {
    /// The connection, once the body has ended and if it is free for another
    /// request. One that was not taken is closed with the body.
    pub fn take_connection(&mut self) -> Option<Connection> {
        match self {
            Self::Http1(answer) => answer.take_connection().map(Connection::from),
            Self::Http2(_) => None,
        }
    }

    /// Gives the body up: nobody reads on, and what is left of the request is
    /// not sent.
    pub fn close(&mut self) {
        match self {
            Self::Http1(answer) => answer.close(),
            Self::Http2(answer) => answer.close(),
        }
    }

    /// The bytes that follow an answer of 101.
    #[must_use]
    pub fn into_switched(self) -> Option<Tunnel> {
        match self {
            Self::Http1(answer) => answer.into_switched().map(Tunnel::Http1),
            Self::Http2(answer) => answer.into_switched().map(Tunnel::Http2),
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        match self.get_mut() {
            Self::Http1(answer) => Pin::new(answer)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(IncomingError::Http1))),
            Self::Http2(incoming) => Pin::new(incoming)
                .poll_frame(context)
                .map(|frame| frame.map(|frame| frame.map_err(IncomingError::Http2))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(answer) => answer.is_end_stream(),
            Self::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(answer) => answer.size_hint(),
            Self::Http2(incoming) => incoming.size_hint(),
        }
    }
}
