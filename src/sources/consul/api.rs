//! The calls of Consul's HTTP API that are needed, and the rules of their
//! indexes.
//!
//! An index says of which state an answer is; a request that names one is
//! answered once there is a later state. That of `/v1/health/service/NAME` is
//! of that service alone.

use std::{collections::BTreeMap, fmt::Write as _, num::NonZeroU64, time::Duration};

use http::{HeaderName, StatusCode};
use serde::de::DeserializeOwned;

use super::{ConsulSettings, entry::Entry};
use crate::{
    sources::{
        client::{Answer, CallError, Client, escape},
        loose::{List, Loose, Maybe},
    },
    tls::TlsError,
};

/// How long an answer may take that does not wait for a change.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How often a request is sent that is answered with 429.
const TRIES: u32 = 5;

/// Nothing fits it: of an answer only its index is wanted.
const NOTHING_OF_SERVICE: &str = "filter=Service.ID%20%3D%3D%20%22%22";
const NOTHING_OF_CHECKS: &str = "filter=CheckID%20%3D%3D%20%22%22";

/// Where the names are.
pub(super) const NAMES: &str = "/v1/catalog/services";

/// The names of all services, with the tags that their instances have.
pub(super) type Names = BTreeMap<String, List<Loose>>;

/// The instances of a service.
pub(super) type Entries = List<Maybe<Entry>>;

/// Why the catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConsulError {
    /// A call brought nothing.
    #[error("{path}: {error}")]
    Call {
        /// What was asked for.
        path: String,
        /// Why not.
        error: CallError,
    },
    /// Of what was seen in full before something is missing now that the token
    /// may not see all of it, which says nothing of what there is.
    #[error(
        "{path}: the token may not see any more what it saw; that stays until it may again, \
         or until the source is edited"
    )]
    Hidden {
        /// What was asked for.
        path: String,
    },
    /// What is asked knows no leader, so that what it has may be of any age.
    #[error("the servers have no leader")]
    NoLeader,
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// An answer and the state that it is of, if that was said.
#[derive(Debug)]
pub(super) struct Indexed<T> {
    pub(super) index: Option<NonZeroU64>,
    /// Whether Consul left out what the token may not see; it says so since
    /// 1.11.
    pub(super) is_filtered: bool,
    pub(super) value: T,
}

/// Asks one agent.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    /// What goes with each request.
    all: String,
    /// What goes with each that asks for instances.
    instances: String,
    wait: Duration,
}

impl Api {
    /// One that asks as `settings` say. Reads files where TLS is spoken.
    ///
    /// # Errors
    ///
    /// When TLS cannot be spoken.
    pub(super) fn new(settings: &ConsulSettings) -> Result<Self, ConsulError> {
        let mut client = Client::new(settings.url.clone(), &settings.tls)?;
        if let Some(token) = &settings.token {
            client = client.with_header(HeaderName::from_static("x-consul-token"), token);
        }
        let mut all = String::new();
        let keys = [
            ("dc", &settings.datacenter),
            ("ns", &settings.namespace),
            ("partition", &settings.partition),
        ];
        for (key, value) in keys {
            if let Some(value) = value {
                let _ = write!(all, "&{key}={}", escape(value));
            }
        }
        if settings.stale {
            all.push_str("&stale");
        }
        let mut instances = String::new();
        for tag in &settings.tags {
            let _ = write!(instances, "&tag={}", escape(tag));
        }
        if let Some(filter) = &settings.filter {
            let _ = write!(instances, "&filter={}", escape(filter));
        }
        let wait = settings.wait.0.clamp(Duration::from_secs(1), Duration::from_secs(600));
        Ok(Self { client, all, instances, wait })
    }

    /// How long a request waits for a change.
    pub(super) const fn wait(&self) -> Duration {
        self.wait
    }

    /// The names of all services, at once or when something of any service has
    /// changed since `after`.
    pub(super) async fn names(
        &self,
        after: Option<NonZeroU64>,
    ) -> Result<Indexed<Names>, ConsulError> {
        self.read(NAMES, "", after).await
    }

    /// The index of all checks, at once or when it is later than `after`.
    pub(super) async fn checks(
        &self,
        after: Option<NonZeroU64>,
    ) -> Result<Indexed<()>, ConsulError> {
        let path = "/v1/health/state/any";
        let read = self.read::<List<Loose>>(path, NOTHING_OF_CHECKS, after).await?;
        Ok(Indexed { index: read.index, is_filtered: read.is_filtered, value: () })
    }

    /// The instances of the service `name`.
    pub(super) async fn service(&self, name: &str) -> Result<Indexed<Entries>, ConsulError> {
        let path = format!("/v1/health/service/{}", escape(name));
        self.read(&path, &self.instances, None).await
    }

    /// The index of the service `name`, without its instances.
    pub(super) async fn service_index(
        &self,
        name: &str,
    ) -> Result<Option<NonZeroU64>, ConsulError> {
        let path = format!("/v1/health/service/{}", escape(name));
        Ok(self.read::<List<Loose>>(&path, NOTHING_OF_SERVICE, None).await?.index)
    }

    /// Whether there is somebody who knows the state of things.
    pub(super) async fn leader(&self) -> Result<(), ConsulError> {
        let path = "/v1/status/leader";
        let leader: Loose = self.read(path, "", None).await?.value;
        leader.text().map(drop).ok_or(ConsulError::NoLeader)
    }

    async fn read<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        query: &str,
        after: Option<NonZeroU64>,
    ) -> Result<Indexed<T>, ConsulError> {
        let failed = |error| ConsulError::Call { path: path.to_owned(), error };
        let query = query.trim_start_matches('&');
        let mut target = format!("{path}?{query}{}", self.all);
        let mut within = AT_ONCE;
        if let Some(after) = after {
            let _ = write!(target, "&index={after}&wait={}ms", self.wait.as_millis());
            // The agent adds up to a sixteenth, so that not all come back at once.
            within += self.wait + self.wait / 16;
        }
        let answer = self.ask(&target, within).await.map_err(failed)?;
        if answer.status != StatusCode::OK {
            return Err(failed(answer.refusal()));
        }
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        if header("x-consul-knownleader") == Some("false") {
            return Err(ConsulError::NoLeader);
        }
        let index = header("x-consul-index").and_then(|index| index.parse().ok());
        let is_filtered = header("x-consul-results-filtered-by-acls") == Some("true");
        Ok(Indexed { index, is_filtered, value: answer.json().await.map_err(failed)? })
    }

    /// Asks again, later, where the agent has too many connections.
    async fn ask(&self, target: &str, within: Duration) -> Result<Answer, CallError> {
        let mut tries = 1;
        loop {
            let answer = self.client.get(target, within).await?;
            if answer.status != StatusCode::TOO_MANY_REQUESTS || tries == TRIES {
                return Ok(answer);
            }
            let wait = Duration::from_millis(100 << tries).mul_f64(0.5 + fastrand::f64());
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }
}
