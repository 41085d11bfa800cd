//! Waiting for something within a [`Deadline`].

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{Deadline, Elapsed};

pin_project! {
    /// See [`Deadline::limit`]. Not an `async fn`: that would have room for the
    /// future twice, which every request would have to carry.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Limit<'a, F> {
        pub(super) deadline: &'a Deadline,
        #[pin]
        pub(super) future: F,
    }
}

impl<F: Future> Future for Limit<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this.deadline.poll(context).map(Err),
        }
    }
}
