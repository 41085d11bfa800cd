//! Heads of answers, held to what those of HTTP/1.1 are: their number, that of
//! their fields, and one length.
//!
//! The library has seen to names, values and pseudo-fields.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use h2::{RecvStream, client::ResponseFuture};
use http::{HeaderMap, Response, header::CONTENT_LENGTH};

use super::exchange::fault;
use crate::upstream::{
    Fault, Malformed,
    http1::{MOST_FIELDS, MOST_INTERIM},
};

/// Counts the heads that come before the one that counts.
#[derive(Debug, Default)]
pub(super) struct Heads {
    interim: u32,
}

impl Heads {
    /// The next head before the one that counts; pending if none is there.
    pub(super) fn poll_interim(
        &mut self,
        response: &mut ResponseFuture,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Malformed>> {
        let Poll::Ready(Some(Ok(head))) = response.poll_informational(context) else {
            return Poll::Pending;
        };
        self.interim += 1;
        if self.interim > MOST_INTERIM {
            return Poll::Ready(Err(Malformed::TooManyInterim));
        }
        // RFC 9110 section 8.6.
        if head.headers().contains_key(CONTENT_LENGTH) {
            return Poll::Ready(Err(Malformed::LengthUnclear));
        }
        Poll::Ready(check(head.headers()).map(|()| head))
    }
}

/// The head that counts.
pub(super) fn poll_answer(
    response: &mut ResponseFuture,
    context: &mut Context<'_>,
) -> Poll<Result<Response<RecvStream>, Fault>> {
    let answer = ready!(Pin::new(response).poll(context)).map_err(|error| fault(&error))?;
    check(answer.headers())?;
    Poll::Ready(Ok(answer))
}

fn check(headers: &HeaderMap) -> Result<(), Malformed> {
    check_number(headers)?;
    if headers.contains_key(CONTENT_LENGTH) && length(headers).is_none() {
        return Err(Malformed::LengthUnclear);
    }
    Ok(())
}

/// Holds `fields`, of a head or trailers, to the most there may be.
pub(super) fn check_number(fields: &HeaderMap) -> Result<(), Malformed> {
    if fields.len() > MOST_FIELDS { Err(Malformed::TooManyFields) } else { Ok(()) }
}

/// The length that a head says, if it says one and in one way.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let line = lines.next()?.as_bytes();
    if lines.next().is_some() || line.is_empty() || !line.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(line).ok()?.parse().ok()
}
