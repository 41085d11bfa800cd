//! Leaving: a drain that ends in bounded time whatever the proxy does, and the
//! deregistration.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{super::client::ClientError, registration::Registration, say};
use crate::control::view::LeavingView;

/// A drain is waited for in pieces, so that a proxy that has fallen silent is
/// told from one that waits.
const PIECE: Duration = Duration::from_secs(2);

/// How much longer than asked for an answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a proxy that does not answer holds up a stop.
const GIVE_UP: Duration = Duration::from_secs(3);

/// How long one does that takes the call and says nothing: it may be handing
/// over to another process.
const GIVE_UP_SILENT: Duration = Duration::from_secs(20);

/// The wait between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// What came of a drain.
#[derive(Debug)]
pub(super) enum Drained {
    /// Nothing is on its way to the command, nor will be.
    Safe,
    /// The time is over.
    Late {
        /// What is still on it.
        in_flight: u32,
    },
    /// The proxy could not be asked.
    Unknown(ClientError),
}

impl Registration {
    /// Has nothing new sent to the command and waits until what is there has
    /// ended, for `patience` at most.
    pub(super) async fn drain(&self, patience: Duration) -> Drained {
        let deadline = Instant::now() + patience;
        let mut failing_since = None;
        let (mut method, mut path) = (Method::POST, format!("{}/drain", self.path));
        loop {
            let asked = Instant::now();
            let wait = deadline.saturating_duration_since(asked).min(PIECE).min(self.period());
            let error = match self.leave(method.clone(), &path, wait).await {
                Ok(view) if view.drained => return Drained::Safe,
                Ok(view) if Instant::now() >= deadline => {
                    return Drained::Late { in_flight: view.in_flight };
                }
                Ok(_) => {
                    failing_since = None;
                    // The lease must not end before the requests do.
                    self.renew().await.ok();
                    continue;
                }
                // Forgotten, but what was sent to it may still be there: a
                // deregistration tells.
                Err(ClientError::Refused(problem))
                    if problem.status == StatusCode::NOT_FOUND && method == Method::POST =>
                {
                    (method, path) = (Method::DELETE, self.path.clone());
                    continue;
                }
                Err(error) => error,
            };
            let since = *failing_since.get_or_insert(asked);
            let silent = matches!(error, ClientError::Timeout { .. });
            let give_up = if silent { GIVE_UP_SILENT } else { GIVE_UP };
            if since.elapsed() + RETRY > give_up || Instant::now() + RETRY > deadline {
                return Drained::Unknown(error);
            }
            sleep(RETRY).await;
        }
    }

    async fn leave(
        &self,
        method: Method,
        path: &str,
        wait: Duration,
    ) -> Result<LeavingView, ClientError> {
        let (wait_ms, generation) = (wait.as_millis(), self.generation());
        let path = format!("{path}?wait=drained&timeout={wait_ms}ms&{generation}");
        let answer = self.client.call(method, &path, None, wait + ANSWER).await?;
        let json = answer.json()?;
        LeavingView::deserialize(&json).map_err(|error| answer.foreign(&error.to_string()))
    }

    /// Takes it out of the registry; says so if that cannot be had.
    pub(super) async fn end(&self) {
        let deadline = Instant::now() + GIVE_UP;
        let path = format!("{}?{}", self.path, self.generation());
        loop {
            let call = self.client.call(Method::DELETE, &path, None, GIVE_UP);
            let Err(error) = call.await.and_then(|answer| answer.json()) else { return };
            if Instant::now() + RETRY > deadline || matches!(error, ClientError::Refused(_)) {
                let error = anyhow::Error::from(error);
                say(&format!("cannot deregister: {error:#}; its lease will end"));
                return;
            }
            sleep(RETRY).await;
        }
    }
}
