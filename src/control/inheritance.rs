//! What a process knows that is not in the store, for the one that takes over
//! from it: an upgrade is no restart, so nobody has to show again that he is
//! healthy, and no lease begins anew.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    Control,
    entry::{Entry, Findings, Lease, Source},
};
use crate::{
    health::{LastProbe, Standing},
    model::{Address, EjectionCause, InstanceKey, InstanceState, Verdict},
    registry::{InheritedLease, LeaseStanding, Suspended},
    sources::LastKnown,
};

/// What a process knows that is not in the store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inheritance {
    /// The version of its last table; the first one of its successor is
    /// higher.
    pub version: u64,
    /// Every lease.
    pub leases: Vec<InheritedLease>,
    instances: Vec<InheritedInstance>,
    /// What every source had.
    pub(super) sources: Vec<LastKnown>,
}

/// What is known of one instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InheritedInstance {
    key: InstanceKey,
    source: Source,
    generation: u64,
    address: String,
    state: InstanceState,
    /// How long it has been in that state.
    since: Duration,
    verdict: Verdict,
    once_passed: bool,
    refused: bool,
    /// How long the verdict has been a failure.
    failing: Option<Duration>,
    last_probe: Option<LastProbe>,
    /// How long it has been in the table, if it is.
    serving: Option<Duration>,
    /// How often it was ejected, why it is, and for how long still.
    ejections: u32,
    ejected: Option<(EjectionCause, String, Duration)>,
    /// Filled in from the leases by whoever inherits.
    #[serde(skip)]
    lease: Option<InheritedLease>,
}

/// What was inherited and has not found its instance yet.
pub(super) type Inherited = HashMap<(InstanceKey, Source), InheritedInstance>;

impl Control {
    /// What a successor needs to go on from here. To be asked once the store
    /// is closed: nothing is acknowledged after that.
    pub async fn inheritance(&self, suspended: &Suspended) -> Inheritance {
        let version = self.settle().await;
        let catalog = self.shared.catalog();
        let entries = catalog.services.values().flat_map(|service| service.entries.values());
        let instances = entries.map(|entry| InheritedInstance {
            key: entry.instance.key(),
            source: entry.source.clone(),
            generation: entry.generation,
            address: entry.endpoint.address.to_string(),
            state: entry.state,
            since: entry.since.elapsed(),
            verdict: entry.findings.verdict,
            once_passed: entry.findings.once_passed,
            refused: entry.findings.refused,
            failing: entry.findings.failing_since.map(|at| at.elapsed()),
            last_probe: self.shared.prober.last(entry.endpoint.id),
            serving: entry.serving_since.map(|at| at.elapsed()),
            ejections: entry.standing.times(),
            ejected: entry.standing.ejection().map(|ejection| {
                let left = ejection.until.saturating_duration_since(Instant::now());
                (ejection.cause, ejection.detail.clone(), left)
            }),
            lease: None,
        });
        Inheritance {
            version,
            leases: suspended.leases().to_vec(),
            instances: instances.collect(),
            sources: catalog.sources.known(),
        }
    }
}

impl Inheritance {
    /// By instance, with the lease of each.
    pub(super) fn by_instance(self) -> Inherited {
        let mut leases: HashMap<_, _> =
            self.leases.into_iter().map(|lease| (lease.key.clone(), lease)).collect();
        let named = |mut instance: InheritedInstance| {
            let source = instance.source.clone();
            if source == Source::Registry {
                instance.lease = leases
                    .remove(&instance.key)
                    .filter(|lease| lease.generation == instance.generation);
            }
            ((instance.key.clone(), source), instance)
        };
        self.instances.into_iter().map(named).collect()
    }
}

impl InheritedInstance {
    /// Whether it is about `entry`, and not about another process under the
    /// same id.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        self.generation == entry.generation && self.address == entry.endpoint.address.to_string()
    }

    /// Which one under its id it was, if it was at `address`.
    pub(super) fn generation_at(&self, address: &Address) -> Option<u64> {
        (self.address == address.to_string()).then_some(self.generation)
    }

    /// Makes `entry` what it was in the process before. Answers with the last
    /// probe, from which the prober goes on.
    pub(super) fn apply(self, entry: &mut Entry, now: Instant) -> Option<LastProbe> {
        let ago = |time: Duration| now.checked_sub(time).unwrap_or(now);
        entry.state = self.state;
        entry.since = ago(self.since);
        entry.findings = Findings {
            verdict: self.verdict,
            once_passed: self.once_passed,
            failing_since: self.failing.map(ago),
            refused: self.refused,
        };
        // Neither does its share grow anew, nor is an ejection forgotten.
        entry.serving_since = self.serving.map(ago);
        entry.standing = Standing::resume(self.ejections, self.ejected, now);
        if let Some(lease) = self.lease {
            entry.lease = match lease.standing {
                LeaseStanding::Endless => Lease::Unleased { renewed: lease.renewed },
                LeaseStanding::Live { .. } => Lease::Live { renewed: lease.renewed },
                LeaseStanding::Expired { since, .. } => Lease::Expired { at: ago(since) },
            };
        }
        self.last_probe
    }
}
