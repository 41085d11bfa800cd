//! Idle connections of one worker, by endpoint.
//!
//! Last in, first out: the connection used last is the least likely to have
//! been closed by the other side, and what is surplus grows old and is closed.
//! A pool lives as long as its endpoint is in the table.

use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::Arc,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use http_body::Body;
use hyper::client::conn::http1::SendRequest;

use crate::model::{Endpoint, EndpointId};

/// A connection that can be sent a request once it is ready.
pub type Connection<B> = SendRequest<B>;

/// Idle connections kept for one endpoint by one worker.
const MOST_IDLE: usize = 256;

/// Calls of [`Pools::tidy`], about a second apart, that a connection may stay
/// idle.
const MOST_ROUNDS: u32 = 60;

/// The idle connections of one worker.
pub struct Pools<B> {
    idle: RefCell<HashMap<EndpointId, Pool<B>, FixedState>>,
    round: Cell<u32>,
}

struct Pool<B> {
    endpoint: Arc<Endpoint>,
    connections: Vec<Idle<B>>,
}

struct Idle<B> {
    connection: Connection<B>,
    since: u32,
}

impl<B: Body + 'static> Pools<B> {
    /// The idle connection to `endpoint` that was used last.
    #[must_use]
    pub fn take(&self, endpoint: EndpointId) -> Option<Connection<B>> {
        let mut idle = self.idle.borrow_mut();
        let connections = &mut idle.get_mut(&endpoint)?.connections;
        // One whose last body has just ended may need another turn to be
        // ready; it is left for the next request.
        let mut index = connections.len();
        while index > 0 {
            index -= 1;
            if connections[index].connection.is_closed() {
                connections.remove(index);
            } else if connections[index].connection.is_ready() {
                return Some(connections.remove(index).connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request to `endpoint`, unless it is
    /// closed, or its endpoint gone.
    pub fn put(&self, endpoint: &Arc<Endpoint>, connection: Connection<B>) {
        if connection.is_closed() || endpoint.is_retired() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let pool = idle
            .entry(endpoint.id)
            .or_insert_with(|| Pool { endpoint: Arc::clone(endpoint), connections: Vec::new() });
        if pool.connections.len() < MOST_IDLE {
            pool.connections.push(Idle { connection, since: self.round.get() });
        }
    }

    /// Closes what is surplus: old connections, and those to endpoints that
    /// have left the table.
    pub fn tidy(&self) {
        let round = self.round.get().wrapping_add(1);
        self.round.set(round);
        self.idle.borrow_mut().retain(|_, pool| {
            if pool.endpoint.is_retired() {
                return false;
            }
            pool.connections.retain(|idle| {
                !idle.connection.is_closed() && round.wrapping_sub(idle.since) < MOST_ROUNDS
            });
            !pool.connections.is_empty()
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
        Self { idle: RefCell::default(), round: Cell::new(0) }
    }
}

impl<B> fmt::Debug for Pools<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("endpoints", &self.idle.borrow().len()).finish()
    }
}
