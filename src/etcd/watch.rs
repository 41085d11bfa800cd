//! A watch, and how it is noticed that it has gone quiet.
//!
//! A stream whose server has lost its leader, its clients or its senses stays
//! open and says nothing. So the server is asked how far it is when nothing
//! was heard for a while, and has to say something then.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tonic::Streaming;

use super::{
    Error, call,
    client::revision,
    end_of,
    link::Link,
    messages::{
        Event, WatchCall, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
    },
};

/// How long a watch may be quiet before it is asked: 15 to 30 s, each time
/// another, so that many do not ask at once.
const QUIET: Duration = Duration::from_secs(15);

/// How long it then has to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How long, if it is asked because the member is silent otherwise.
const DOUBTED: Duration = Duration::from_millis(2000);

/// A watch of all keys under a prefix.
#[derive(Debug)]
pub struct Watch {
    link: Link,
    calls: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    wanted: i64,
    asked: bool,
    /// When it is asked, or given up if it was.
    patience: Instant,
}

/// What a watch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This has happened, in this order.
    Events(Vec<Event>),
    /// Nothing has happened up to this revision.
    Progress(i64),
}

impl Watch {
    pub(super) async fn open(link: &Link, prefix: &[u8], revision: i64) -> Result<Self, Error> {
        let (calls, requests) = mpsc::channel(4);
        let create = WatchCreateRequest {
            key: if prefix.is_empty() {
                Bytes::from_static(&[0])
            } else {
                Bytes::copy_from_slice(prefix)
            },
            range_end: end_of(prefix),
            start_revision: revision,
            fragment: true,
            ..WatchCreateRequest::default()
        };
        // There is room: nothing was sent yet.
        let _ = calls.try_send(WatchRequest { request: Some(WatchCall::Create(create)) });
        let requests = futures_util::stream::unfold(requests, |mut requests| async move {
            requests.recv().await.map(|request| (request, requests))
        });
        let path = "/etcdserverpb.Watch/Watch";
        let answers = call::streaming(link, path, requests, call::ANSWER).await?;
        Ok(Self {
            link: link.clone(),
            calls,
            answers,
            wanted: revision,
            // That it has begun is said at once.
            asked: true,
            patience: Instant::now() + ANSWER,
        })
    }

    /// The connection that it is on.
    pub(super) const fn number(&self) -> u64 {
        self.link.number
    }

    /// The address of the member that it is on.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<str> {
        &self.link.endpoint
    }

    /// Asks how far it is at once: its member is silent otherwise.
    pub fn doubt(&mut self) {
        let until = Instant::now() + DOUBTED;
        if !self.asked || self.patience > until {
            self.ask(until);
        }
    }

    /// Asks how far it is.
    pub fn ask_progress(&mut self) {
        if !self.asked {
            self.ask(Instant::now() + ANSWER);
        }
    }

    fn ask(&mut self, until: Instant) {
        (self.asked, self.patience) = (true, until);
        let progress = WatchCall::Progress(WatchProgressRequest {});
        // If there is no room, it does not listen either.
        let _ = self.calls.try_send(WatchRequest { request: Some(progress) });
    }

    /// What is said next. Can be dropped and called again: nothing is lost.
    ///
    /// # Errors
    ///
    /// When the watch is over: it was ended, broke, or has gone quiet.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            let answer = match timeout_at(self.patience, self.answers.message()).await {
                Err(_) if self.asked => return Err(call::silent(&self.link, ANSWER)),
                Err(_) => {
                    self.ask(Instant::now() + ANSWER);
                    continue;
                }
                Ok(Err(status)) => return Err(Error::from_status(&status, &self.link.endpoint)),
                Ok(Ok(None)) => {
                    let why = "it has ended the watch".to_owned();
                    return Err(Error::Broken { endpoint: self.link.endpoint.to_string(), why });
                }
                Ok(Ok(Some(answer))) => answer,
            };
            self.asked = false;
            self.patience = Instant::now() + QUIET.mul_f64(1.0 + fastrand::f64());
            if answer.canceled {
                return Err(self.canceled(answer));
            }
            if answer.created {
                continue;
            }
            return Ok(match answer.events.is_empty() {
                true => Heard::Progress(revision(answer.header)),
                false => Heard::Events(answer.events),
            });
        }
    }

    fn canceled(&self, answer: WatchResponse) -> Error {
        if answer.compact_revision != 0 {
            return Error::Compacted { wanted: self.wanted };
        }
        let status = tonic::Status::unknown(answer.cancel_reason);
        match Error::from_status(&status, &self.link.endpoint) {
            Error::Answered { endpoint, message, .. }
                if ["auth", "permission", "token"].iter().any(|word| message.contains(word)) =>
            {
                Error::Denied { endpoint, message, token: true }
            }
            error => error,
        }
    }
}
