//! Leases from process to process: an upgrade neither shortens nor lengthens
//! them, and who was late stays late.
//!
//! What is handed over is time left and time past, not instants: those mean
//! nothing to another process.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Leases, Phase, after};
use crate::model::InstanceKey;

/// One lease as the process before left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InheritedLease {
    /// Whose.
    pub key: InstanceKey,
    /// Of which registration; the lease of another one is not inherited.
    pub generation: u64,
    /// Whether a heartbeat had come.
    pub renewed: bool,
    /// How far it had run.
    pub standing: LeaseStanding,
}

/// How far a lease has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseStanding {
    /// It has no TTL.
    Endless,
    /// Within its TTL.
    Live {
        /// Time left.
        left: Duration,
    },
    /// Past its TTL.
    Expired {
        /// For how long.
        since: Duration,
        /// Time left until the record is forgotten.
        forget_in: Duration,
    },
}

impl Leases {
    /// Every lease as it stands.
    pub(in crate::registry) fn standings(&mut self, now: Instant) -> Vec<InheritedLease> {
        let now = self.clock.at(now);
        let left = |until: Instant| until.saturating_duration_since(now);
        let standing = |lease: &super::Lease| match lease.phase {
            Phase::Endless => LeaseStanding::Endless,
            Phase::Live { until } => LeaseStanding::Live { left: left(until) },
            Phase::Expired { until } => {
                let forget_in = left(until);
                LeaseStanding::Expired {
                    since: lease.forget_after.saturating_sub(forget_in),
                    forget_in,
                }
            }
            Phase::Leaving => {
                LeaseStanding::Expired { since: lease.forget_after, forget_in: Duration::ZERO }
            }
        };
        let inherited = |(key, lease): (&InstanceKey, &super::Lease)| InheritedLease {
            key: key.clone(),
            generation: lease.generation,
            renewed: lease.renewed,
            standing: standing(lease),
        };
        self.entries.iter().map(inherited).collect()
    }

    /// Lets a lease go on where the process before left it.
    pub(in crate::registry) fn inherit(&mut self, inherited: &InheritedLease, now: Instant) {
        let now = self.clock.at(now);
        let Some(lease) = self.entries.get_mut(&inherited.key) else { return };
        if lease.generation != inherited.generation {
            return;
        }
        lease.phase = match (lease.phase, inherited.standing) {
            // The full TTL was an upper bound for what is left.
            (Phase::Live { until }, LeaseStanding::Live { left }) => {
                Phase::Live { until: after(now, left).min(until) }
            }
            (Phase::Live { .. }, LeaseStanding::Expired { forget_in, .. }) => {
                Phase::Expired { until: after(now, forget_in) }
            }
            (phase, _) => phase,
        };
        lease.renewed = inherited.renewed;
        self.schedule(&inherited.key);
    }
}
