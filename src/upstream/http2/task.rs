//! The task of a connection: it reads and writes for all streams, and asks the
//! instance whether it is still there while anybody waits for it.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{Ping, PingPong, Reason, client::Connection};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Life;
use crate::deadline::Deadline;

/// How often an instance is asked.
const EVERY: Duration = Duration::from_secs(20);

/// How long it has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until the instance at the other end of `connection` has answered.
///
/// # Errors
///
/// When it ends first.
pub(super) async fn meet<S>(
    connection: &mut Connection<S, Bytes>,
) -> Result<Option<PingPong>, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(mut pings) = connection.ping_pong() else { return Ok(None) };
    pings.send_ping(Ping::opaque())?;
    poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(context) {
            return Poll::Ready(ended.and(Err(Reason::NO_ERROR.into())));
        }
        pings.poll_pong(context).map_ok(|_| ())
    })
    .await?;
    Ok(Some(pings))
}

/// Serves `connection` until it ends, or the instance does not answer any more.
pub(super) async fn run<S>(
    connection: Connection<S, Bytes>,
    pings: Option<PingPong>,
    life: Rc<Life>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut pings = pings.map(Pings::new);
    let mut connection = pin!(connection);
    poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(pings) = &mut pings else { return Poll::Pending };
        if life.busy.get() {
            pings.poll_lost(context)
        } else {
            pings.rest();
            life.task.replace(Some(context.waker().clone()));
            Poll::Pending
        }
    })
    .await;
    life.ended.set(Some(Instant::now()));
}

struct Pings {
    pings: PingPong,
    deadline: Deadline,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Resting,
    Waiting,
    Asked,
}

impl Pings {
    fn new(pings: PingPong) -> Self {
        Self { pings, deadline: Deadline::new(), state: State::Resting }
    }

    fn rest(&mut self) {
        if self.state == State::Waiting {
            self.deadline.clear();
            self.state = State::Resting;
        }
    }

    /// Ready when the instance has not answered in time.
    fn poll_lost(&mut self, context: &mut std::task::Context<'_>) -> Poll<()> {
        loop {
            match self.state {
                State::Resting => {
                    self.deadline.set(EVERY);
                    self.state = State::Waiting;
                }
                State::Waiting => {
                    if self.deadline.poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    if self.pings.send_ping(Ping::opaque()).is_err() {
                        return Poll::Ready(());
                    }
                    self.deadline.set(PATIENCE);
                    self.state = State::Asked;
                }
                State::Asked => match self.pings.poll_pong(context) {
                    Poll::Ready(Ok(_)) => self.state = State::Resting,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return self.deadline.poll(context).map(|_| ()),
                },
            }
        }
    }
}
