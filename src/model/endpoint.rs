//! The data plane's handle on one instance.
//!
//! An endpoint is shared by every table that routes to it, so its counts live
//! on across reloads and registrations. What an edit may change (weight, zone,
//! tags) stands in the table beside it, not in it. A new process under an old
//! id, or a new address, is a new endpoint.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use super::{Address, InstanceKey, Outcomes};

/// Names an endpoint within this process; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(u64);

impl EndpointId {
    /// As a number, never 0.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The data plane's handle on one instance.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name within this process, the key of each worker's pool.
    pub id: EndpointId,
    /// The instance it stands for.
    pub instance: InstanceKey,
    /// Which registration of that instance, counted by the registry.
    pub generation: u64,
    /// Where to connect.
    pub address: Address,
    /// Whether its address is held to the rules for registered instances;
    /// false for those that the config file names.
    pub checked: bool,
    /// What requests saw of it.
    pub outcomes: Outcomes,
    in_flight: AtomicU32,
    retired: AtomicBool,
    completed: AtomicU64,
    moved: AtomicU64,
    lost: AtomicU64,
}

/// How the requests, streams and tunnels of an endpoint ended. Each is counted
/// in exactly one of these, before it stops to be in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// As they should, or by their client.
    pub completed: u64,
    /// Here without an answer, and were sent to another instance.
    pub moved: u64,
    /// By the instance, by a timeout, or cut when the time of a drain was
    /// over.
    pub lost: u64,
}

impl Ended {
    /// Those that ended after `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            completed: self.completed - earlier.completed,
            moved: self.moved - earlier.moved,
            lost: self.lost - earlier.lost,
        }
    }

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self {
            completed: self.completed + others.completed,
            moved: self.moved + others.moved,
            lost: self.lost + others.lost,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.completed + self.moved + self.lost
    }
}

/// How one of them ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Completed,
    Moved,
    Lost,
}

impl Endpoint {
    /// A fresh endpoint with nothing in flight.
    #[must_use]
    pub fn new(instance: InstanceKey, generation: u64, address: Address, checked: bool) -> Self {
        Self {
            id: EndpointId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            instance,
            generation,
            address,
            checked,
            outcomes: Outcomes::default(),
            in_flight: AtomicU32::new(0),
            retired: AtomicBool::new(false),
            completed: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Requests, streams and tunnels that this endpoint is serving, over all
    /// workers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        // Pairs with the release in `InFlight::drop`: who reads zero after
        // every worker has acknowledged a table without this endpoint has
        // seen its last request end.
        self.in_flight.load(Ordering::Acquire)
    }

    /// How those ended that are not in flight any more. Exact once
    /// [`Self::in_flight`] has been read as zero and nothing new can come.
    #[must_use]
    pub fn ended(&self) -> Ended {
        Ended {
            completed: self.completed.load(Ordering::Relaxed),
            moved: self.moved.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// Requests begun since this endpoint was made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.ended().total() + u64::from(self.in_flight())
    }

    /// Requests among them that were not served to their end here.
    #[must_use]
    pub fn failures(&self) -> u64 {
        let Ended { moved, lost, .. } = self.ended();
        moved + lost
    }

    /// Marks the endpoint as gone from the table: its idle connections are to
    /// be closed and none is to be kept.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Whether [`Self::retire`] was called.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// Counts one request, stream or tunnel on an endpoint until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    end: End,
}

impl InFlight {
    /// Counts one more on `endpoint`.
    #[must_use]
    pub fn begin(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { endpoint: Arc::clone(endpoint), end: End::Completed }
    }

    /// The endpoint counted on.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// It will be sent to another instance.
    pub const fn moves(&mut self) {
        self.end = End::Moved;
    }

    /// Nobody will get the answer, or all of it.
    pub const fn is_lost(&mut self) {
        self.end = End::Lost;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let endpoint = &self.endpoint;
        let ended = match self.end {
            End::Completed => &endpoint.completed,
            End::Moved => &endpoint.moved,
            End::Lost => &endpoint.lost,
        };
        ended.fetch_add(1, Ordering::Relaxed);
        endpoint.in_flight.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_flight_ends_with_the_guard() {
        let key = "orders/a".parse().expect("a key");
        let address = "127.0.0.1:80".parse().expect("an address");
        let endpoint = Arc::new(Endpoint::new(key, 1, address, true));
        let first = InFlight::begin(&endpoint);
        let mut second = InFlight::begin(&endpoint);
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (2, 2));
        drop(first);
        assert_eq!(endpoint.in_flight(), 1);
        second.is_lost();
        drop(second);
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (0, 2));
        assert_eq!(endpoint.ended(), Ended { completed: 1, moved: 0, lost: 1 });
        let before = endpoint.ended();
        let mut third = InFlight::begin(&endpoint);
        third.moves();
        drop(third);
        assert_eq!(endpoint.ended().since(before), Ended { completed: 0, moved: 1, lost: 0 });
        assert_eq!((endpoint.requests(), endpoint.failures()), (3, 2));
    }
}
