//! The snapshot that answers "where does this request go".
//!
//! A table never changes. A new one shares every part of the old one that is
//! the same: routes as a whole, services chunk by chunk, so that one
//! registration among 10,000 services copies two small arrays.

use std::sync::Arc;

use super::{Router, Slot};
use crate::{
    balance::{Balancer, Gate, Memory, RetryBudget},
    model::{ServiceName, ServicePolicy},
    telemetry::ServiceMetrics,
};

/// What a service keeps across tables.
#[derive(Debug)]
pub struct ServiceState {
    /// Its name.
    pub name: ServiceName,
    /// Bounds the requests in flight.
    pub gate: Arc<Gate>,
    /// Bounds the requests that are sent once more.
    pub budget: RetryBudget,
    /// What the balancer remembers.
    pub memory: Memory,
    /// What it counts.
    pub metrics: Arc<ServiceMetrics>,
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BalancePolicy, ServiceSettings};

    fn service(name: &str) -> Arc<Service> {
        let policy = ServiceSettings::default().resolve(&ServiceSettings::default());
        let state = ServiceState {
            name: name.parse().expect("a name"),
            gate: Arc::new(Gate::new(None, 0)),
            budget: RetryBudget::new(1),
            memory: Memory::default(),
            metrics: ServiceMetrics::new(1),
        };
        Arc::new(Service {
            policy: Arc::new(policy),
            balancer: Balancer::new(BalancePolicy::Random, Vec::new()),
            panic: false,
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
