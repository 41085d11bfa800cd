//! Idle connections of one worker, by endpoint.
//!
//! Last in, first out: the connection used last is the least likely to have
//! been closed by the other side, and what is surplus grows old and is closed.
//! A pool lives as long as its endpoint is in the table. A connection that has
//! been idle for longer than its endpoint waits is never used.

use std::{
    cell::RefCell,
    fmt,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use tokio::sync::Mutex;

use super::{Connection, Shared, keep_alive::KeepAlive};
use crate::model::{Endpoint, EndpointId};

/// Idle connections kept for one endpoint by one worker.
const MOST_IDLE: usize = 256;

/// The idle connections of one worker.
#[derive(Default)]
pub struct Pools {
    idle: RefCell<HashMap<EndpointId, Pool, FixedState>>,
}

struct Pool {
    endpoint: Arc<Endpoint>,
    connections: Vec<Idle>,
    /// Those that many requests use at once, the oldest first.
    shared: Vec<Shared>,
    /// Held by whoever opens such a one, so that a crowd opens one and not
    /// hundreds.
    opening: Rc<Mutex<()>>,
    keep_alive: KeepAlive,
}

impl Pool {
    fn new(endpoint: &Arc<Endpoint>) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            connections: Vec::new(),
            shared: Vec::new(),
            opening: Rc::default(),
            keep_alive: KeepAlive::default(),
        }
    }

    /// Forgets the shared connections that have ended, learning from it, or
    /// have been idle for too long.
    fn tidy_shared(&mut self, now: Instant) {
        let keep_alive = &mut self.keep_alive;
        self.shared.retain(|shared| {
            if let Some(ended) = shared.ended() {
                keep_alive.ended(shared.idle_for(ended), now);
            }
            shared.is_open() && shared.idle_for(now) < keep_alive.limit(None, now)
        });
    }
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Idle {
    /// Whether it can be relied on. Learns from its end if not.
    fn is_good(&mut self, keep_alive: &mut KeepAlive, now: Instant) -> bool {
        if !self.connection.is_open() {
            if let Some(ended) = self.connection.ended() {
                keep_alive.ended(ended.saturating_duration_since(self.since), now);
            }
            return false;
        }
        self.rested(now) < keep_alive.limit(self.connection.announcement(), now)
    }

    fn rested(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Pools {
    /// The idle connection to `endpoint` that was used last, of those that are
    /// for `client` if that is said, and for anybody else.
    #[must_use]
    pub fn take(
        &self,
        endpoint: EndpointId,
        client: Option<SocketAddr>,
        now: Instant,
    ) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let Pool { connections, keep_alive, .. } = idle.get_mut(&endpoint)?;
        let is_for = |idle: &Idle| idle.connection.client() == client;
        while let Some(index) = connections.iter().rposition(is_for) {
            let mut last = connections.remove(index);
            if last.is_good(keep_alive, now) {
                last.connection.rested = last.rested(now);
                return Some(last.connection);
            }
        }
        None
    }

    /// A place on a connection to `endpoint` that others use too.
    #[must_use]
    pub fn share(&self, endpoint: EndpointId, now: Instant) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let pool = idle.get_mut(&endpoint)?;
        let place = pool.shared.iter().find_map(|shared| {
            let fresh = shared.idle_for(now) < pool.keep_alive.limit(None, now);
            fresh.then(|| shared.place(now)).flatten()
        });
        place.map(Connection::from)
    }

    /// What to hold while a connection to `endpoint` is opened that is to be
    /// shared.
    #[must_use]
    pub fn opening(&self, endpoint: &Arc<Endpoint>) -> Rc<Mutex<()>> {
        let mut idle = self.idle.borrow_mut();
        let pool = idle.entry(endpoint.id).or_insert_with(|| Pool::new(endpoint));
        Rc::clone(&pool.opening)
    }

    /// Lets others use `shared` too, and takes the first place on it.
    #[must_use]
    pub fn put_shared(
        &self,
        endpoint: &Arc<Endpoint>,
        shared: Shared,
        now: Instant,
    ) -> Option<Connection> {
        let place = shared.place(now)?;
        if !endpoint.is_retired() {
            let mut idle = self.idle.borrow_mut();
            let pool = idle.entry(endpoint.id).or_insert_with(|| Pool::new(endpoint));
            pool.shared.push(shared);
        }
        Some(place.into())
    }

    /// Keeps `connection` for the next request to `endpoint`, unless it has
    /// ended, or its endpoint is gone.
    pub fn put(&self, endpoint: &Arc<Endpoint>, mut connection: Connection, now: Instant) {
        if endpoint.is_retired() || !connection.rest() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let pool = idle.entry(endpoint.id).or_insert_with(|| Pool::new(endpoint));
        if pool.connections.len() < MOST_IDLE {
            pool.connections.push(Idle { connection, since: now });
        }
    }

    /// Learns that a connection, taken from here after it was idle for
    /// `rested`, had ended before it was used.
    pub fn had_ended(&self, endpoint: EndpointId, rested: Duration, now: Instant) {
        if let Some(pool) = self.idle.borrow_mut().get_mut(&endpoint) {
            pool.keep_alive.ended(rested, now);
        }
    }

    /// Closes what is surplus: old connections, and those to endpoints that
    /// have left the table. Called about each second.
    pub fn tidy(&self) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|_, pool| {
            pool.tidy_shared(now);
            let Pool { endpoint, connections, shared, keep_alive, .. } = pool;
            connections.retain_mut(|idle| idle.is_good(keep_alive, now));
            !endpoint.is_retired()
                && (!connections.is_empty() || !shared.is_empty() || keep_alive.has_learned(now))
        });
    }

    /// Closes the connections to endpoints that have left the table.
    pub fn drop_retired(&self) {
        self.idle.borrow_mut().retain(|_, pool| !pool.endpoint.is_retired());
    }

    /// How many connections are idle, or shared.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.borrow().values().map(|pool| pool.connections.len() + pool.shared.len()).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("endpoints", &self.idle.borrow().len()).finish()
    }
}
