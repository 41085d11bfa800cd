//! One connection to the ensemble at a time: read all, then what changes.

use std::{collections::BTreeSet, convert::Infallible, path::Path, time::Duration};

use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::{Instant, interval, sleep_until, timeout};
use zookeeper_client::{
    AddWatchMode, Client, Error, EventType, PersistentWatcher, SessionState, TlsOptions,
    WatchedEvent,
};

use super::{
    ZookeeperSettings, layout,
    walk::{self, Walked},
};
use crate::sources::{Feed, News, entry::Telling};

/// For a connection to one server.
const CONNECT: Duration = Duration::from_secs(3);

/// All nodes are read again after 4 to 6 minutes, each time another.
const RELIST: Duration = Duration::from_secs(240);

/// How often servers before 3.6, which cannot watch a tree, are asked.
const POLL: Duration = Duration::from_secs(10);

/// How often it is asked whether the watch still has somebody at its end, and
/// how long an answer may take.
const ALIVE: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(10);

/// How long reading everything may take.
const WALK: Duration = Duration::from_secs(120);

/// Nodes that are read at once, and changes that are taken together.
pub(super) const AT_ONCE: usize = 128;
const TOGETHER: usize = 1000;

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// No server is named.
    #[error("no server is configured")]
    NoServer,
    /// A file cannot be read, or is not what it is taken for.
    #[error("cannot use {path}: {why}")]
    File { path: String, why: String },
    /// No server could be reached.
    #[error("cannot connect to {servers}: {error}")]
    Connect { servers: String, error: Error },
    /// The connection is over.
    #[error("the connection is lost: {0}")]
    Lost(SessionState),
    /// No answer came in time.
    #[error("there was no answer within {0:?}")]
    TimedOut(Duration),
    /// A node cannot be read.
    #[error("cannot read {path}: {error}")]
    Read { path: String, error: Error },
    /// There are more nodes than are taken.
    #[error("there are more than {0} nodes below the path")]
    TooMany(usize),
}

/// Reads the nodes of one source and keeps what they hold.
pub(super) struct Session {
    settings: ZookeeperSettings,
    telling: Telling,
}

impl Session {
    pub(super) fn new(settings: ZookeeperSettings, feed: Feed) -> Self {
        Self { settings, telling: Telling::new(feed) }
    }

    /// Connects, reads and watches until something is in the way.
    pub(super) async fn follow(&mut self) -> SessionError {
        let Err(error) = self.try_follow().await;
        self.telling.tell_departures();
        error
    }

    async fn try_follow(&mut self) -> Result<Infallible, SessionError> {
        let client = connect(&self.settings).await?;
        let mut states = client.state_watcher();
        // Before the list, so that nothing is missed in between.
        let path = self.settings.path.as_str();
        let watch = within(ANSWER, client.watch(path, AddWatchMode::PersistentRecursive)).await?;
        let mut watch = match watch {
            Ok(watch) => Some(watch),
            Err(Error::Unimplemented) => None,
            Err(error) => return Err(SessionError::Read { path: path.to_owned(), error }),
        };
        self.list(&client).await?;
        let every = if watch.is_some() { RELIST } else { POLL };
        let next = || Instant::now() + every.mul_f64(1.0 + fastrand::f64() / 2.0);
        let mut relist = next();
        let mut alive = interval(ALIVE);
        loop {
            tokio::select! {
                event = next_event(&mut watch) => {
                    let changed = self.gather(event, watch.as_mut())?;
                    self.reread(&client, changed).await?;
                }
                state = states.changed() => {
                    if state != SessionState::SyncConnected {
                        return Err(SessionError::Lost(state));
                    }
                }
                () = sleep_until(relist) => {
                    self.list(&client).await?;
                    relist = next();
                }
                () = self.telling.feed().list_wanted() => {
                    self.list(&client).await?;
                    relist = next();
                }
                () = self.telling.departed() => self.telling.tell_departures(),
                _ = alive.tick() => {
                    let path = self.settings.path.as_str();
                    let answer = within(ANSWER, client.check_stat(path)).await?;
                    answer.map_err(|error| SessionError::Read { path: path.to_owned(), error })?;
                    self.telling.feed().tell(News::Unchanged);
                }
            }
        }
    }

    /// The paths, below that of the source, that changed: by `event` and by
    /// what has come since.
    fn gather(
        &self,
        event: WatchedEvent,
        mut watch: Option<&mut PersistentWatcher>,
    ) -> Result<BTreeSet<String>, SessionError> {
        let mut changed = BTreeSet::new();
        let mut event = Some(event);
        while let Some(one) = event.take() {
            if one.event_type == EventType::Session {
                if one.session_state != SessionState::SyncConnected {
                    return Err(SessionError::Lost(one.session_state));
                }
            } else if let Some(below) = self.settings.path.below(&one.path) {
                changed.insert(below.to_owned());
            }
            if changed.len() < TOGETHER {
                event = watch.as_mut().and_then(|watch| watch.changed().now_or_never());
            }
        }
        Ok(changed)
    }

    /// Reads all nodes and tells what they hold.
    async fn list(&mut self, client: &Client) -> Result<(), SessionError> {
        let walk = timeout(WALK, walk::nodes(client, &self.settings)).await;
        let Walked { nodes, closed } = walk.map_err(|_| SessionError::TimedOut(WALK))??;
        let settings = &self.settings;
        let read = nodes.into_iter().map(|(path, data)| {
            let held = data.and_then(|data| layout::read(settings, &path, &data));
            (path, held)
        });
        let mut entries: Vec<_> = read.collect();
        for (parent, why) in closed {
            let below = self.telling.below(&parent).into_iter();
            entries.extend(below.map(|path| (path, Err(why.clone()))));
            self.telling.feed().tell(News::Rejected { what: parent, why });
        }
        self.telling.list(entries);
        Ok(())
    }

    /// Reads those nodes that changed and tells what that changes. What a node
    /// is now is all that counts, whatever happened to it.
    async fn reread(
        &mut self,
        client: &Client,
        changed: BTreeSet<String>,
    ) -> Result<(), SessionError> {
        let depth = self.settings.key.depth();
        let of_entries = changed.into_iter().filter(|path| path.split('/').count() == depth);
        let base = &self.settings.path;
        let reads = of_entries.map(|path| async move {
            let data = client.get_data(&base.join(&path)).await;
            (path, data)
        });
        let read = stream::iter(reads).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        for (path, data) in within(ANSWER, read).await? {
            match data {
                Ok((data, _)) => {
                    let held = layout::read(&self.settings, &path, &data);
                    self.telling.put(&path, held);
                }
                Err(Error::NoNode) => self.telling.remove(&path),
                Err(error @ Error::NoAuth) => self.telling.put(&path, Err(error.to_string())),
                Err(error) => return Err(SessionError::Read { path: base.join(&path), error }),
            }
        }
        Ok(())
    }
}

async fn next_event(watch: &mut Option<PersistentWatcher>) -> WatchedEvent {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn within<T>(time: Duration, what: impl Future<Output = T>) -> Result<T, SessionError> {
    timeout(time, what).await.map_err(|_| SessionError::TimedOut(time))
}

async fn connect(settings: &ZookeeperSettings) -> Result<Client, SessionError> {
    let mut servers: Vec<_> = settings.servers.iter().map(ToString::to_string).collect();
    if servers.is_empty() {
        return Err(SessionError::NoServer);
    }
    // Many proxies do not all go to the first one.
    fastrand::shuffle(&mut servers);
    let servers = servers.join(",");
    let mut connector = Client::connector()
        .with_session_timeout(settings.session_timeout.0)
        .with_connection_timeout(CONNECT)
        .with_fail_eagerly();
    if let Some(user) = &settings.username {
        let password = settings.password.as_deref().unwrap_or_default();
        connector = connector.with_auth("digest", format!("{user}:{password}").as_bytes());
    }
    let failed = |error| SessionError::Connect { servers: servers.clone(), error };
    let connected = match &settings.tls {
        None => connector.connect(&servers).await,
        Some(tls) => {
            let ca = read_file(&tls.ca).await?;
            let options = TlsOptions::new().with_pem_ca(&ca);
            let mut options = options.map_err(|error| unusable(&tls.ca, &error))?;
            if let (Some(cert_path), Some(key)) = (&tls.cert, &tls.key) {
                let (cert, key) = (read_file(cert_path).await?, read_file(key).await?);
                options = options
                    .with_pem_identity(&cert, &key)
                    .map_err(|error| unusable(cert_path, &error))?;
            }
            connector.with_tls(options).secure_connect(&servers).await
        }
    };
    connected.map_err(failed)
}

async fn read_file(path: &Path) -> Result<String, SessionError> {
    tokio::fs::read_to_string(path).await.map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::error::Error) -> SessionError {
    SessionError::File { path: path.display().to_string(), why: error.to_string() }
}
