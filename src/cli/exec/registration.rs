//! The registration of the command and its lease: made before it starts, made
//! again when it was forgotten, renewed at a third of the time it lasts.
//!
//! A proxy that is away is waited for, and the command goes on: its clients
//! may reach it on other ways.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        client::{Client, ClientError, TIMEOUT},
        register::instance_path,
    },
    say,
};
use crate::{
    control::view::RegisteredView,
    model::{Address, Host, InstanceKey},
};

/// The first wait after a failed call. Each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// How long one registration waits to be routable: whoever wants the command
/// to stop waits for it.
const ARRIVAL: Duration = Duration::from_secs(1);

/// How often a command that does not listen yet is looked at.
const LISTEN_POLL: Duration = Duration::from_millis(100);

/// Where the instance stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Whether every worker routes to it.
    pub(super) routable: bool,
    /// If not, what is waited for.
    pub(super) why: String,
}

/// An instance and what is registered of it.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) client: Client,
    pub(super) path: String,
    key: InstanceKey,
    body: Value,
    ttl: Duration,
    /// Which registration it is, of those made under the key: another process
    /// may take the key. 0 before the first.
    generation: Arc<AtomicU64>,
}

/// Waits that grow, with chance in them, so that many do not call at once.
#[derive(Debug)]
struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    fn up_to(most: Duration) -> Self {
        Self { next: FIRST_RETRY.min(most), most }
    }

    fn wait(&mut self) -> Duration {
        let wait = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.most);
        wait
    }
}

/// Whether another try may go better: nobody answered, or the proxy said that
/// it is its own fault.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Timeout { .. } => true,
        ClientError::Untrusted { .. } | ClientError::NotPortolan { .. } => false,
        ClientError::Refused(problem) => problem.status >= 500,
    }
}

impl Registration {
    pub(super) fn new(client: Client, key: &InstanceKey, body: Value, ttl: Duration) -> Self {
        let generation = Arc::default();
        Self { client, path: instance_path(key), key: key.clone(), body, ttl, generation }
    }

    /// The parameter that says which registration is meant.
    pub(super) fn generation(&self) -> String {
        format!("generation={}", self.generation.load(Ordering::Relaxed))
    }

    /// The time between heartbeats: two may get lost.
    pub(super) fn period(&self) -> Duration {
        self.ttl / 3
    }

    /// How long a short call may take.
    pub(super) fn call_timeout(&self) -> Duration {
        self.period().clamp(Duration::from_secs(1), TIMEOUT)
    }

    /// Registers for the first time; tries for as long as `patience` where
    /// another try may go better.
    pub(super) async fn begin(&self, patience: Duration) -> Result<RegisteredView, ClientError> {
        let deadline = Instant::now() + patience;
        let mut backoff = Backoff::up_to(Duration::from_secs(2));
        let mut said = false;
        loop {
            let error = match self.put(None).await {
                Ok(view) => return Ok(view),
                Err(error) => error,
            };
            let wait = backoff.wait();
            if !passes(&error) || Instant::now() + wait > deadline {
                return Err(error);
            }
            if !std::mem::replace(&mut said, true) {
                say(&format!("{error}; waiting for it"));
            }
            sleep(wait).await;
        }
    }

    async fn put(&self, wait: Option<Duration>) -> Result<RegisteredView, ClientError> {
        let (path, timeout) = match wait {
            None => (self.path.clone(), TIMEOUT),
            Some(wait) => {
                let path = format!("{}?wait=routable&timeout={}ms", self.path, wait.as_millis());
                (path, wait + self.call_timeout())
            }
        };
        let answer = self.client.call(Method::PUT, &path, Some(&self.body), timeout).await?;
        let json = answer.json()?;
        let view = RegisteredView::deserialize(&json)
            .map_err(|error| answer.foreign(&error.to_string()))?;
        self.generation.store(view.instance.generation, Ordering::Relaxed);
        Ok(view)
    }

    /// Sends a heartbeat. False if there is nothing to renew.
    pub(super) async fn renew(&self) -> Result<bool, ClientError> {
        let path = format!("{}/heartbeat?{}", self.path, self.generation());
        let answer = self.client.call(Method::POST, &path, None, self.call_timeout()).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        answer.json().map(|_| true)
    }

    /// Does what the registration needs until `leaving`: nothing is registered
    /// any more after that, which would undo a drain.
    pub(super) async fn live(
        self,
        address: Address,
        standing: watch::Sender<Standing>,
        leaving: CancellationToken,
    ) {
        if self.arrive(&address, &standing, &leaving).await {
            // A heartbeat may end in a registration, so it is not broken off.
            let mut wait = self.period();
            let mut pulse = Pulse::new(&self);
            while leaving.run_until_cancelled(sleep(wait)).await.is_some() {
                wait = pulse.beat().await;
            }
        }
    }

    /// Waits until every worker routes to it, or it is `leaving`: false.
    /// Registers again and again meanwhile, as a heartbeat would say that the
    /// command is up.
    async fn arrive(
        &self,
        address: &Address,
        standing: &watch::Sender<Standing>,
        leaving: &CancellationToken,
    ) -> bool {
        let mut backoff = Backoff::up_to(self.period());
        let mut first_heartbeat = std::pin::pin!(self.renew_when_it_listens(address));
        let mut renewed = false;
        loop {
            let waiting = async {
                match self.put(Some(self.period().min(ARRIVAL))).await {
                    Ok(view) if view.routed => None,
                    Ok(view) => Some(view.waiting_for.unwrap_or(view.instance.why)),
                    Err(error) => {
                        let why = format!("{:#}", anyhow::Error::from(error));
                        standing.send_replace(Standing { routable: false, why: why.clone() });
                        leaving.run_until_cancelled(sleep(backoff.wait())).await;
                        Some(why)
                    }
                }
            };
            let mut waiting = std::pin::pin!(waiting);
            let why = loop {
                tokio::select! {
                    why = &mut waiting => break why,
                    () = &mut first_heartbeat, if !renewed => renewed = true,
                }
            };
            // A registration is not broken off: it could arrive after a drain.
            if leaving.is_cancelled() {
                return false;
            }
            match why {
                Some(why) => standing.send_replace(Standing { routable: false, why }),
                None => break,
            };
        }
        standing.send_replace(Standing { routable: true, why: String::new() });
        say(&format!("{} at {address} is routable", self.key));
        true
    }

    /// With `health = { kind = "ttl" }` the first heartbeat makes it routable,
    /// so it has to wait until the command listens.
    async fn renew_when_it_listens(&self, address: &Address) {
        while refuses(address).await {
            sleep(LISTEN_POLL).await;
        }
        // If it fails, another one comes in a while.
        self.renew().await.ok();
    }
}

/// Whether it is certain that nobody listens at `address`.
async fn refuses(address: &Address) -> bool {
    let connected = match &address.host {
        Host::Ip(ip) => TcpStream::connect((*ip, address.port)).await,
        Host::Name(name) => TcpStream::connect((&**name, address.port)).await,
    };
    connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// The heartbeats, and what to say of them.
#[derive(Debug)]
struct Pulse<'a> {
    registration: &'a Registration,
    backoff: Backoff,
    away: bool,
}

impl<'a> Pulse<'a> {
    fn new(registration: &'a Registration) -> Self {
        let backoff = Backoff::up_to(registration.period());
        Self { registration, backoff, away: false }
    }

    /// Renews the lease, or registers again if there is none. Answers with the
    /// time to the next one.
    async fn beat(&mut self) -> Duration {
        let Registration { key, .. } = self.registration;
        let beaten = match self.registration.renew().await {
            Ok(true) => Ok("the proxy is back"),
            Ok(false) => self.registration.put(None).await.map(|_| "registered again"),
            Err(error) => Err(error),
        };
        match beaten {
            Ok(done) => {
                if std::mem::take(&mut self.away) || done == "registered again" {
                    say(&format!("{key}: {done}"));
                }
                self.backoff = Backoff::up_to(self.registration.period());
                self.registration.period()
            }
            Err(error) => {
                if !std::mem::replace(&mut self.away, true) {
                    let error = anyhow::Error::from(error);
                    say(&format!("{key}: cannot renew the lease: {error:#}; trying on"));
                }
                self.backoff.wait()
            }
        }
    }
}
