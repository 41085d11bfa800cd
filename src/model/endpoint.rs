//! The data plane's handle on one instance.
//!
//! An endpoint is shared by every table that routes to it, so its counts live
//! on across reloads and registrations. What an edit may change (weight, zone,
//! tags) stands in the table beside it, not in it. A new process under an old
//! id, or a new address, is a new endpoint.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use super::{Address, Ending, InstanceKey, Outcomes, Provenance, Scheme};

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
    /// What is spoken there.
    pub scheme: Scheme,
    /// Who has named it, which decides what its address may be.
    pub provenance: Provenance,
    /// What requests saw of it.
    pub outcomes: Outcomes,
    retired: AtomicBool,
    begun: AtomicU64,
    completed: AtomicU64,
    client_gone: AtomicU64,
    moved: AtomicU64,
    /// Those among the moved that nobody else served either.
    moved_in_vain: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
}

/// How the requests, streams and tunnels of an endpoint ended. Each is counted
/// in one of these at the moment at which it stops to be in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// As they should, or refused by the proxy on the way.
    pub completed: u64,
    /// Left by their client.
    pub client_gone: u64,
    /// Without an answer from here; another instance was asked.
    pub moved: u64,
    /// Without an answer, or in the middle of one.
    pub lost: u64,
}

impl Ended {
    /// Those that ended after `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            completed: self.completed.saturating_sub(earlier.completed),
            client_gone: self.client_gone.saturating_sub(earlier.client_gone),
            moved: self.moved.saturating_sub(earlier.moved),
            lost: self.lost.saturating_sub(earlier.lost),
        }
    }

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self {
            completed: self.completed + others.completed,
            client_gone: self.client_gone + others.client_gone,
            moved: self.moved + others.moved,
            lost: self.lost + others.lost,
        }
    }

    const fn total(self) -> u64 {
        self.completed + self.client_gone + self.moved + self.lost
    }
}

/// How one of them ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Completed,
    ClientGone,
    Moved,
    Lost,
}

impl Endpoint {
    /// A fresh endpoint with nothing in flight.
    #[must_use]
    pub fn new(
        instance: InstanceKey,
        generation: u64,
        address: Address,
        provenance: Provenance,
    ) -> Self {
        Self {
            id: EndpointId(NEXT_ID.fetch_add(1, Ordering::Relaxed)),
            instance,
            generation,
            address,
            scheme: Scheme::Http,
            provenance,
            outcomes: Outcomes::default(),
            retired: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            client_gone: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            moved_in_vain: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// The same, with `scheme` spoken there.
    #[must_use]
    pub fn speaking(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// Requests, streams and tunnels that this endpoint is serving, over all
    /// workers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        // The ends first: each that is seen has its begin counted below. They
        // are acquired, which pairs with the release in `InFlight::drop`: who
        // reads zero after every worker has acknowledged a table without this
        // endpoint has seen its last request end.
        let ended = self.ended().total();
        u32::try_from(self.begun.load(Ordering::Relaxed) - ended).unwrap_or(u32::MAX)
    }

    /// How those ended that are not in flight any more.
    #[must_use]
    pub fn ended(&self) -> Ended {
        let in_vain = self.moved_in_vain.load(Ordering::Acquire);
        Ended {
            completed: self.completed.load(Ordering::Acquire),
            client_gone: self.client_gone.load(Ordering::Acquire),
            moved: self.moved.load(Ordering::Acquire) - in_vain,
            lost: self.lost.load(Ordering::Acquire) + in_vain,
        }
    }

    /// Requests begun since this endpoint was made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Requests among them that this endpoint failed: it refused, reset,
    /// timed out, broke the protocol or broke off.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts one failure; `refused` says that it was a refused connection.
    pub fn record_failure(&self, refused: bool) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.outcomes.failed(refused);
    }

    /// Counts one failure that is an answer of which the client is spared; as
    /// an answer it was counted already.
    pub fn record_unwanted_answer(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that one that had moved is lost after all.
    pub fn moved_in_vain(&self) {
        self.moved_in_vain.fetch_add(1, Ordering::Release);
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
        endpoint.begun.fetch_add(1, Ordering::Relaxed);
        Self { endpoint: Arc::clone(endpoint), end: End::Completed }
    }

    /// The endpoint counted on.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Its request comes to `ending`.
    pub const fn ends(&mut self, ending: Ending) {
        self.end = match ending {
            Ending::Completed | Ending::Refused => End::Completed,
            Ending::ClientGone => End::ClientGone,
            Ending::Failed => End::Lost,
        };
    }

    /// Another instance is asked.
    pub const fn moves(&mut self) {
        self.end = End::Moved;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let endpoint = &self.endpoint;
        let ended = match self.end {
            End::Completed => &endpoint.completed,
            End::ClientGone => &endpoint.client_gone,
            End::Moved => &endpoint.moved,
            End::Lost => &endpoint.lost,
        };
        ended.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_flight_ends_with_the_guard_and_in_one_way() {
        let key = "orders/a".parse().expect("a key");
        let address = "127.0.0.1:80".parse().expect("an address");
        let endpoint = Arc::new(Endpoint::new(key, 1, address, Provenance::Registered));
        let first = InFlight::begin(&endpoint);
        let mut second = InFlight::begin(&endpoint);
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (2, 2));
        drop(first);
        assert_eq!(endpoint.in_flight(), 1);
        second.ends(Ending::Failed);
        drop(second);
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (0, 2));
        let before = endpoint.ended();
        assert_eq!(before, Ended { completed: 1, lost: 1, ..Ended::default() });
        for ending in [Ending::ClientGone, Ending::Refused] {
            let mut next = InFlight::begin(&endpoint);
            next.ends(ending);
        }
        InFlight::begin(&endpoint).moves();
        InFlight::begin(&endpoint).moves();
        endpoint.moved_in_vain();
        let since = endpoint.ended().since(before);
        assert_eq!(since, Ended { completed: 1, client_gone: 1, moved: 1, lost: 1 });
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (0, 6));
    }
}
