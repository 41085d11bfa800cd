//! Eureka: the registry of a server, read once and then followed by its
//! changes.
//!
//! Servers keep what they know in memory and replicate when they can, so a
//! server that comes back, or another one, may know less than was known
//! before: what it lacks is kept until its clients have had time to return.

pub(crate) mod document;
mod registry;
mod settings;

use std::{convert::Infallible, time::Duration};

use http::StatusCode;
use tokio::time::{Instant, sleep_until};

pub use self::settings::EurekaSettings;
use self::{
    document::{Applications, Document},
    registry::Registry,
};
use super::{
    Backoff, Feed, News,
    client::{CallError, Client},
};
use crate::tls::TlsError;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);

/// A server tells of a change for three minutes; after a longer silence
/// everything has to be read.
const REMEMBERED: Duration = Duration::from_secs(150);

/// How long after everything was read it is read again at the earliest
/// because changes do not add up: servers are known to be off for a while.
const DOUBTS: Duration = Duration::from_secs(10);

/// How often everything is read anew, give or take a fifth.
const ANEW: Duration = Duration::from_secs(300);

/// Why a server could not be followed.
#[derive(Debug, thiserror::Error)]
enum EurekaError {
    /// A call brought nothing.
    #[error("{path}: {error}")]
    Call {
        /// What was asked for.
        path: &'static str,
        /// Why not.
        error: CallError,
    },
    /// The answer has no list of applications, not even an empty one.
    #[error("/apps/: the answer has no list of applications")]
    NoList,
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Tells what the servers have, and what changes.
pub async fn run(settings: EurekaSettings, feed: Feed) {
    let mut backoff = Backoff::default();
    let mut registry = Registry::after(&settings, &feed);
    loop {
        if settings.urls.is_empty() {
            feed.tell(News::Lost("it has no urls".to_owned()));
        }
        for url in &settings.urls {
            let client = Client::new(url.clone(), &settings.tls);
            let followed = async {
                let server = Server { client: client?, settings: &settings, feed: &feed };
                server.follow(&mut registry).await
            };
            let Err(error) = followed.await;
            feed.tell(News::Lost(format!("{url}: {error}")));
        }
        feed.pause(backoff.failed()).await;
    }
}

/// One server.
struct Server<'a> {
    client: Client,
    settings: &'a EurekaSettings,
    feed: &'a Feed,
}

impl Server<'_> {
    /// Follows what it has until that fails. What its first answer lacks is
    /// kept for a time: whoever is asked now may know less than whoever was
    /// asked before, be that by this process or by the one before it.
    async fn follow(&self, registry: &mut Registry) -> Result<Infallible, EurekaError> {
        let mut keep = Some(self.settings.keep.0);
        let mut has_deltas = true;
        loop {
            let all = self.everything().await?;
            registry.replace(&all, keep.take(), self.settings, self.feed);
            let read = Instant::now();
            let anew = read + about(ANEW);
            let mut heard = read;
            loop {
                let kept_until = registry.told().kept_until();
                let next = heard + about(self.settings.interval.0.max(Duration::from_millis(100)));
                tokio::select! {
                    () = self.feed.list_wanted() => break,
                    () = sleep_until(next) => {}
                    () = until(kept_until) => {
                        registry.told().let_go(self.feed);
                        continue;
                    }
                }
                let now = Instant::now();
                if !has_deltas || now >= anew || now - heard > REMEMBERED {
                    break;
                }
                let Some(delta) = self.changes().await? else {
                    has_deltas = false;
                    break;
                };
                heard = Instant::now();
                registry.change(&delta, self.settings, self.feed);
                if !registry.agrees_with(&delta) && heard - read >= DOUBTS {
                    break;
                }
            }
        }
    }

    async fn everything(&self) -> Result<Applications, EurekaError> {
        let path = "/apps/";
        let failed = |error| EurekaError::Call { path, error };
        let answer = self.client.get(path, WITHIN).await.map_err(failed)?;
        let read: Document = answer.json().await.map_err(failed)?;
        match &read.applications {
            Applications { application: None, hash_code: None } => Err(EurekaError::NoList),
            _ => Ok(read.applications),
        }
    }

    /// What has changed within the last minutes; none if the server does not
    /// tell that.
    async fn changes(&self) -> Result<Option<Applications>, EurekaError> {
        let path = "/apps/delta";
        let failed = |error| EurekaError::Call { path, error };
        let answer = self.client.get(path, WITHIN).await.map_err(failed)?;
        if matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            return Ok(None);
        }
        let read: Document = answer.json().await.map_err(failed)?;
        Ok(Some(read.applications))
    }
}

/// `time`, give or take a fifth, so that many who ask the same server do not
/// ask at once.
fn about(time: Duration) -> Duration {
    time.mul_f64(0.8 + 0.4 * fastrand::f64())
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
