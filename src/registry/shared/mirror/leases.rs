//! Leases that are over, and what is told of leases.

use std::time::Duration;

use tokio::time::Instant;

use super::Mirror;
use crate::{
    model::InstanceKey,
    registry::{
        InheritedLease, LeaseStanding, RegistryEvent, Removal,
        shared::entry::{Entry, Standing},
    },
};

/// How long after an outage a lease that is over is waited for at least: other
/// proxies, to which its heartbeats come, have to be back too.
const RETURN: Duration = Duration::from_secs(10);

impl Mirror {
    /// It is not in etcd any more, and nobody said why.
    pub(super) fn lost(&mut self, key: &InstanceKey, now: Instant, out: &mut Vec<RegistryEvent>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Some(ttl) = entry.ttl() else {
            // No lease could be over, so it was taken out, and its farewell
            // is forgotten by now.
            return self.take_out(key, Removal::Deregistered, out);
        };
        (entry.seen, entry.lease, entry.noted) = (0, 0, false);
        let grace = self.back.map(|back| back + ttl.max(RETURN)).filter(|until| *until > now);
        if entry.is_alive(now) || grace.is_some() {
            entry.standing = Standing::Missing { until: grace.unwrap_or(now + ttl) };
            return;
        }
        entry.standing = Standing::Expired { until: now + self.forget_after };
        let generation = entry.registration.generation;
        out.push(RegistryEvent::LeaseExpired { key: key.clone(), generation });
    }

    /// Every lease as far as it is known here.
    pub(in crate::registry::shared) fn standings(&self) -> Vec<InheritedLease> {
        let inherited = |(key, entry): (&InstanceKey, &Entry)| InheritedLease {
            key: key.clone(),
            generation: entry.registration.generation,
            renewed: entry.renewed,
            standing: match (entry.standing, entry.ttl()) {
                (Standing::Expired { .. }, _) => {
                    LeaseStanding::Expired { since: Duration::ZERO, forget_in: self.forget_after }
                }
                (_, None) => LeaseStanding::Endless,
                (_, Some(left)) => LeaseStanding::Live { left },
            },
        };
        self.entries.iter().map(inherited).collect()
    }

    /// See [`crate::registry::Registry::lease_left`]. Which heartbeats came to
    /// others is not known, so what is not over has its whole TTL.
    pub(in crate::registry::shared) fn lease_left(
        &self,
        key: &InstanceKey,
    ) -> Option<Option<Duration>> {
        let entry = self.entries.get(key)?;
        Some(match entry.standing {
            Standing::Expired { .. } => Some(Duration::ZERO),
            Standing::Held | Standing::Missing { .. } => entry.ttl(),
        })
    }
}
