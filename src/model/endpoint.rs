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

use super::{Address, InstanceKey, Outcomes};

/// Names an endpoint within this process; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(u64);

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
    requests: AtomicU64,
    failures: AtomicU64,
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
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
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

    /// Requests begun since this endpoint was made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
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
pub struct InFlight(Arc<Endpoint>);

impl InFlight {
    /// Counts one more on `endpoint`.
    #[must_use]
    pub fn begin(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        endpoint.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(endpoint))
    }

    /// The endpoint counted on.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Release);
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
        let second = InFlight::begin(&endpoint);
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (2, 2));
        drop(first);
        assert_eq!(endpoint.in_flight(), 1);
        drop(second);
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (0, 2));
    }
}
