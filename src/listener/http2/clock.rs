//! The clock that hyper sends its pings by: the coarse deadlines of the worker.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

use crate::deadline::Deadline;

/// Makes deadlines of this worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock;

struct Wait(Deadline);

impl Wait {
    fn until(deadline: Instant) -> Self {
        let wait = Self(Deadline::new());
        wait.0.set(deadline.saturating_duration_since(Instant::now()));
        wait
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll(context).map(|_| ())
    }
}

impl Sleep for Wait {}

impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait::until(deadline))
    }
}
