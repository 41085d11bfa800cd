//! Idle connections of one worker, by endpoint.
//!
//! Last in, first out: the connection used last is the least likely to have
//! been closed by the other side, and what is surplus grows old and is closed.
//! A pool lives as long as its endpoint is in the table. A connection that has
//! been idle for longer than its endpoint waits is never used.

use std::{
    cell::RefCell,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use http_body::Body;

use super::{Connection, keep_alive::KeepAlive};
use crate::model::{Endpoint, EndpointId};

/// Idle connections kept for one endpoint by one worker.
const MOST_IDLE: usize = 256;

/// The idle connections of one worker.
pub struct Pools<B> {
    idle: RefCell<HashMap<EndpointId, Pool<B>, FixedState>>,
}

struct Pool<B> {
    endpoint: Arc<Endpoint>,
    connections: Vec<Idle<B>>,
    keep_alive: KeepAlive,
}

struct Idle<B> {
    connection: Connection<B>,
    since: Instant,
}

impl<B: Body + 'static> Idle<B> {
    /// Whether it can be relied on. Learns from its end if not.
    fn is_good(&self, keep_alive: &mut KeepAlive, now: Instant) -> bool {
        if self.connection.is_closed() {
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

impl<B: Body + 'static> Pools<B> {
    /// The idle connection to `endpoint` that was used last.
    #[must_use]
    pub fn take(&self, endpoint: EndpointId, now: Instant) -> Option<Connection<B>> {
        let mut idle = self.idle.borrow_mut();
        let Pool { connections, keep_alive, .. } = idle.get_mut(&endpoint)?;
        // One whose last body has just ended may need another turn to be
        // ready; it is left for the next request.
        let mut index = connections.len();
        while index > 0 {
            index -= 1;
            if !connections[index].is_good(keep_alive, now) {
                connections.remove(index);
            } else if connections[index].connection.is_ready() {
                let mut taken = connections.remove(index);
                taken.connection.rested = taken.rested(now);
                return Some(taken.connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request to `endpoint`, unless it is
    /// closed, or its endpoint gone.
    pub fn put(&self, endpoint: &Arc<Endpoint>, connection: Connection<B>, now: Instant) {
        if connection.is_closed() || endpoint.is_retired() {
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

    /// Learns that `connection`, taken from here, had ended before it was
    /// used.
    pub fn had_ended(&self, endpoint: EndpointId, connection: &Connection<B>, now: Instant) {
        if let Some(pool) = self.idle.borrow_mut().get_mut(&endpoint) {
            pool.keep_alive.ended(connection.rested, now);
        }
    }

    /// Closes what is surplus: old connections, and those to endpoints that
    /// have left the table. Called about each second.
    pub fn tidy(&self) {
        let now = Instant::now();
        self.idle.borrow_mut().retain(|_, pool| {
            let Pool { endpoint, connections, keep_alive } = pool;
            connections.retain(|idle| idle.is_good(keep_alive, now));
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

impl<B> Default for Pools<B> {
    fn default() -> Self {
        Self { idle: RefCell::default() }
    }
}

impl<B> fmt::Debug for Pools<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("endpoints", &self.idle.borrow().len()).finish()
    }
}
