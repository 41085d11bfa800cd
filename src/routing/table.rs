//! The snapshot that answers "where does this request go".
//!
//! A table never changes. A new one shares every part of the old one that is
//! the same: routes as a whole, services chunk by chunk, so that one
//! registration among 10,000 services copies two small arrays.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{Router, Slot};
use crate::{
    balance::{Balancer, Breaker, Gate, Memory, Queue, RetryBudget},
    model::{EndpointId, ServiceName, ServicePolicy},
    telemetry::ServiceMetrics,
    tls::Connector,
};

/// What a service keeps across tables.
#[derive(Debug)]
pub struct ServiceState {
    /// Its name.
    pub name: ServiceName,
    /// Bounds the requests in flight.
    pub gate: Arc<Gate>,
    /// Bounds those that wait for an instance.
    pub holders: Arc<Queue>,
    /// Gives the service a rest when it fails.
    pub breaker: Arc<Breaker>,
    /// Bounds the requests that are sent once more.
    pub budget: RetryBudget,
    /// What the balancer remembers.
    pub memory: Memory,
    /// What it counts.
    pub metrics: Arc<ServiceMetrics>,
    /// How TLS is spoken to its instances, once one of them does.
    connector: ArcSwapOption<Connector>,
}

impl ServiceState {
    /// The state of a service that has done nothing yet, for `workers`.
    #[must_use]
    pub fn new(name: ServiceName, policy: &ServicePolicy, workers: usize) -> Self {
        Self {
            name,
            gate: Arc::new(Gate::new(policy.concurrency, policy.queue)),
            holders: Arc::new(Queue::new(policy.queue)),
            breaker: Arc::default(),
            budget: RetryBudget::new(workers),
            memory: Memory::default(),
            metrics: ServiceMetrics::new(workers),
            connector: ArcSwapOption::empty(),
        }
    }

    /// How TLS is spoken to its instances; none before one of them does.
    #[must_use]
    pub fn connector(&self) -> Option<Arc<Connector>> {
        self.connector.load_full()
    }

    /// Speaks TLS to its instances by `connector` from here on. Called by the
    /// reconciler alone.
    pub fn secure(&self, connector: Connector) {
        self.connector.store(Some(Arc::new(connector)));
    }

    /// Takes over another policy. Called by the reconciler alone.
    pub fn configure(&self, policy: &ServicePolicy) {
        self.gate.configure(policy.concurrency, policy.queue);
        self.holders.configure(policy.queue);
        if policy.breaker.is_none() {
            self.breaker.reset();
        }
    }
}

/// A service as one table sees it.
#[derive(Debug)]
pub struct Service {
    /// How it is treated.
    pub policy: Arc<ServicePolicy>,
    /// Its routable endpoints.
    pub balancer: Balancer,
    /// Whether the panic threshold keeps failing instances among them.
    pub panic: bool,
    /// While it has no endpoint: seconds until that may have changed.
    pub retry_after: u32,
    /// What it keeps across tables.
    pub state: Arc<ServiceState>,
}

const CHUNK: usize = 128;

type Chunk = [Option<Arc<Service>>; CHUNK];

/// The services of a table by slot.
#[derive(Clone, Debug, Default)]
pub struct Services {
    chunks: Vec<Arc<Chunk>>,
}

impl Services {
    /// The service in `slot`.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Arc<Service>> {
        let index = slot.0 as usize;
        self.chunks.get(index / CHUNK)?[index % CHUNK].as_ref()
    }

    /// Puts `service` into `slot`, in place of what was there. Copies the
    /// chunk if another table shares it.
    pub fn set(&mut self, slot: Slot, service: Option<Arc<Service>>) {
        let index = slot.0 as usize;
        while self.chunks.len() <= index / CHUNK {
            self.chunks.push(Arc::new([const { None }; CHUNK]));
        }
        Arc::make_mut(&mut self.chunks[index / CHUNK])[index % CHUNK] = service;
    }
}

/// Hands out slots. Part of the writing half, since a slot that is given back
/// may name another service in the next table.
#[derive(Debug, Default)]
pub struct Slots {
    next: u32,
    free: Vec<u32>,
}

impl Slots {
    /// A slot that is not in use.
    pub fn take(&mut self) -> Slot {
        Slot(self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        }))
    }

    /// Gives `slot` back.
    pub fn give_back(&mut self, slot: Slot) {
        self.free.push(slot.0);
    }
}

/// The snapshot.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Counts up with each table.
    pub version: u64,
    /// From request to route.
    pub router: Arc<Router>,
    /// From route to service.
    pub services: Services,
    /// Endpoints that have left, and the time for what is in flight on them is
    /// over.
    pub expired: Arc<[EndpointId]>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BalancePolicy, ServiceSettings};

    fn service(name: &str) -> Arc<Service> {
        let policy = ServiceSettings::default().resolve(&ServiceSettings::default());
        let state = ServiceState::new(name.parse().expect("a name"), &policy, 1);
        Arc::new(Service {
            policy: Arc::new(policy),
            balancer: Balancer::new(BalancePolicy::Random, Vec::new()),
            panic: false,
            retry_after: 0,
            state: Arc::new(state),
        })
    }

    #[test]
    fn a_new_table_shares_what_did_not_change() {
        let mut slots = Slots::default();
        let mut old = Services::default();
        let taken: Vec<_> = (0..300).map(|_| slots.take()).collect();
        for slot in &taken {
            old.set(*slot, Some(service("old")));
        }
        let mut new = old.clone();
        new.set(taken[0], Some(service("new")));
        assert_eq!(new.get(taken[0]).map(|s| s.state.name.as_str()), Some("new"));
        assert_eq!(old.get(taken[0]).map(|s| s.state.name.as_str()), Some("old"));
        assert!(!Arc::ptr_eq(&old.chunks[0], &new.chunks[0]));
        assert!(Arc::ptr_eq(&old.chunks[1], &new.chunks[1]));
        new.set(taken[0], None);
        assert!(new.get(taken[0]).is_none());
        slots.give_back(taken[7]);
        assert_eq!(slots.take(), taken[7]);
    }
}
