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
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::{Connection, keep_alive::KeepAlive};
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
    keep_alive: KeepAlive,
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

    /// Keeps `connection` for the next request to `endpoint`, unless it has
    /// ended, or its endpoint is gone.
    pub fn put(&self, endpoint: &Arc<Endpoint>, mut connection: Connection, now: Instant) {
        if endpoint.is_retired() || !connection.rest() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let pool = idle.entry(endpoint.id).or_insert_with(|| Pool {
            endpoint: Arc::clone(endpoint),
            connections: Vec::new(),
            keep_alive: KeepAlive::default(),
        });
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
            let Pool { endpoint, connections, keep_alive } = pool;
            connections.retain_mut(|idle| idle.is_good(keep_alive, now));
            !endpoint.is_retired() && (!connections.is_empty() || keep_alive.has_learned(now))
        });
    }

    /// Closes the connections to endpoints that have left the table.
    pub fn drop_retired(&self) {
        self.idle.borrow_mut().retain(|_, pool| !pool.endpoint.is_retired());
    }

    /// How many connections are idle.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.borrow().values().map(|pool| pool.connections.len()).sum()
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
