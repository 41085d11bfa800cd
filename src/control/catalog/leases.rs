//! Leases that run out and come back, and who takes over an address meanwhile.
//!
//! An expired lease costs an instance its traffic at once, or after a grace if
//! its HTTP probes pass; the grace ends when somebody younger holds the same
//! address, since it is then the younger one that passes.

use tokio::time::Instant;

use super::Catalog;
use crate::{
    control::{
        entry::{Entry, EntryId, Lease},
        happening::Happening,
    },
    model::{Address, InstanceKey, ServiceName},
};

impl Catalog {
    /// Notes the first heartbeat, or one that revives.
    pub(in crate::control) fn lease_renewed(&mut self, key: &InstanceKey, generation: u64) {
        if let Some(entry) = self.registered(key, generation) {
            let revived = entry.is_expired();
            entry.lease = match entry.lease {
                Lease::Unleased { .. } => Lease::Unleased { renewed: true },
                Lease::Live { .. } | Lease::Expired { .. } => Lease::Live { renewed: true },
            };
            if revived {
                let detail = "a heartbeat came after all";
                let address = entry.endpoint.address.clone();
                self.happened.push(Happening::new("lease_renewed", &key.service, &key.id, detail));
                self.touch_tenants(&address);
            }
        }
    }

    /// Notes that the lease ran out.
    pub(in crate::control) fn lease_expired(
        &mut self,
        key: &InstanceKey,
        generation: u64,
        now: Instant,
    ) {
        if let Some(entry) = self.registered(key, generation) {
            entry.lease = Lease::Expired { at: now };
            let detail = "no heartbeat within its ttl";
            let address = entry.endpoint.address.clone();
            self.happened.push(Happening::new("lease_expired", &key.service, &key.id, detail));
            self.touch_tenants(&address);
        }
    }

    /// Touches the services of instances whose grace is over.
    pub(in crate::control) fn touch_suspects(&mut self, now: Instant) {
        let over = |at: Instant| now.duration_since(at) >= self.suspect_for;
        let suspects = self.suspects.iter().filter(|(_, at)| over(**at));
        self.touched.extend(suspects.map(|((name, _), _)| name.clone()));
    }

    /// Touches services without instances, which are forgotten in time.
    pub(in crate::control) fn touch_empty(&mut self) {
        let empty = self.services.iter().filter(|(_, service)| service.empty_since.is_some());
        self.touched.extend(empty.map(|(name, _)| name.clone()));
    }

    /// Touches the services of those at `address` whose lease has expired: one
    /// coming, leaving, expiring or reviving decides over their grace.
    pub(super) fn touch_tenants(&mut self, address: &Address) {
        let expired = |(name, id): &&(ServiceName, EntryId)| {
            let entry = self.services.get(name).and_then(|service| service.entries.get(id));
            entry.is_some_and(Entry::is_expired)
        };
        let tenants = self.tenants.get(address).into_iter().flatten().filter(expired);
        self.touched.extend(tenants.map(|(name, _)| name.clone()));
    }

    /// The youngest registration of `address` whose lease has not expired; 0 if
    /// there is none. An expired one that is older has lost the address to it.
    pub(super) fn youngest_holder(&self, address: &Address) -> u64 {
        let tenant = |(name, id): &(ServiceName, EntryId)| {
            self.services.get(name).and_then(|service| service.entries.get(id))
        };
        let tenants = self.tenants.get(address).into_iter().flatten().filter_map(tenant);
        let holders = tenants.filter(|entry| !entry.is_expired());
        holders.map(|entry| entry.generation).max().unwrap_or(0)
    }
}
