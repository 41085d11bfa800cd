//! One instance and one service, as the catalog holds them.
//!
//! Plain data, and what follows from it alone. Who may change it is the
//! catalog's business.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::compile::{self, Candidate, Rules};
use crate::{
    health::{Standing, Target, Window},
    model::{
        EjectionCause, Ended, Endpoint, EndpointId, HealthCheck, Instance, InstanceId,
        InstanceState, LeaseStatus, Probe, Reported, ServicePolicy, ServiceSettings, Verdict,
    },
    routing::{Service, ServiceState, Slot},
    sources::SourceName,
    tls::Connector,
};

/// Where an instance came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Source {
    /// `endpoints` in the config file.
    File,
    /// It registered here.
    Registry,
    /// A `[[source]]` of the config file.
    Outside(SourceName),
}

impl Source {
    /// How the source is called.
    #[must_use]
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::File => "proxy.toml",
            Self::Registry => "registry",
            Self::Outside(name) => name.as_str(),
        }
    }
}

/// Tells the instances of one service apart, whatever their sources.
pub(super) type EntryId = (InstanceId, Source);

/// Where the lease of an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lease {
    /// None. Whether a heartbeat has come all the same: it may be all that is
    /// asked for one day.
    Unleased {
        renewed: bool,
    },
    Live {
        renewed: bool,
    },
    Expired {
        at: Instant,
    },
}

impl Lease {
    /// One that has just begun, or none.
    pub(super) const fn begun(leased: bool) -> Self {
        match leased {
            true => Self::Live { renewed: false },
            false => Self::Unleased { renewed: false },
        }
    }
}

/// How far it is told that an instance fell out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fall {
    /// Something may be in flight on it.
    Pending,
    /// It is told.
    Told,
}

/// What probes have found.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) verdict: Verdict,
    /// Whether a probe has ever passed.
    pub(super) once_passed: bool,
    /// Since when the verdict has been a failure.
    pub(super) failing_since: Option<Instant>,
    /// Whether the last failure was a refused connection.
    pub(super) refused: bool,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) instance: Instance,
    pub(super) source: Source,
    pub(super) generation: u64,
    pub(super) owner: Option<String>,
    pub(super) endpoint: Arc<Endpoint>,
    /// How it is probed, where TLS is spoken.
    pub(super) tls: Option<Connector>,
    pub(super) check: HealthCheck,
    pub(super) findings: Findings,
    pub(super) lease: Lease,
    pub(super) draining: bool,
    /// What its source says of it.
    pub(super) reported: Reported,
    /// The source that counts before its own and has the same address.
    pub(super) shadowed_by: Option<Source>,
    pub(super) state: InstanceState,
    pub(super) since: Instant,
    /// When it registered; none if it was restored, or is not of the registry.
    pub(super) registered: Option<Instant>,
    /// What had ended when it was last known to be well.
    pub(super) well: Ended,
    /// Whether it got requests and gets none any more, since it fails.
    pub(super) fall: Option<Fall>,
    pub(super) routable: bool,
    /// Since when it is in the table, if it is.
    pub(super) serving_since: Option<Instant>,
    /// Whether it is ejected, and how often it was.
    pub(super) standing: Standing,
    /// What happened to it lately, if instances are compared.
    pub(super) window: Window,
}

impl Entry {
    pub(super) const fn is_expired(&self) -> bool {
        matches!(self.lease, Lease::Expired { .. })
    }

    pub(super) const fn is_probed(&self) -> bool {
        matches!(self.check.probe, Probe::Http { .. } | Probe::Tcp | Probe::Grpc { .. })
    }

    /// Whether a probe that passes means that requests get through: it asks
    /// where they go.
    pub(super) fn is_decided_by_probes(&self) -> bool {
        let port = self.endpoint.address.port;
        self.is_probed() && self.check.port.is_none_or(|probed| probed == port)
    }

    pub(super) const fn is_ejected(&self) -> bool {
        self.standing.ejection().is_some()
    }

    /// What the prober is told to watch.
    pub(super) fn target(&self) -> Target {
        Target {
            endpoint: self.endpoint.id,
            service: self.instance.service.clone(),
            address: self.endpoint.address.clone(),
            provenance: self.endpoint.provenance,
            check: self.check.clone(),
            tls: self.tls.clone(),
        }
    }

    /// The state that follows from what is known. `claimed` says that another
    /// registration has taken over its address.
    pub(super) fn state_at(
        &self,
        now: Instant,
        claimed: bool,
        suspect_for: Duration,
    ) -> InstanceState {
        let lease = match self.lease {
            Lease::Unleased { renewed: true } => LeaseStatus::Live { renewed: true },
            Lease::Unleased { renewed: false } => LeaseStatus::Unleased,
            Lease::Live { renewed } => LeaseStatus::Live { renewed },
            Lease::Expired { .. } if claimed => LeaseStatus::Expired(Duration::MAX),
            Lease::Expired { at } => LeaseStatus::Expired(now.duration_since(at)),
        };
        match self.reported {
            Reported::Up => {}
            Reported::Down if !self.draining => return InstanceState::Unhealthy,
            // Nothing new, and time for what it has: as one that leaves.
            Reported::Down | Reported::OutOfService => return InstanceState::Draining,
        }
        let verdict = self.findings.verdict;
        InstanceState::of(&self.check.probe, verdict, lease, self.draining, suspect_for)
    }

    /// Whether it may get requests as far as sources are concerned.
    pub(super) fn is_wanted(&self) -> bool {
        self.reported == Reported::Up && self.shadowed_by.is_none()
    }

    /// What decides whether it gets requests.
    pub(super) fn candidate(&self) -> Candidate<'_> {
        Candidate {
            endpoint: &self.endpoint,
            weight: self.instance.weight,
            state: self.state,
            once_passed: self.findings.once_passed,
            failing_since: self.findings.failing_since,
            refused: self.findings.refused,
            expired: self.is_expired(),
            ejected: self.is_ejected(),
            serving_since: self.serving_since,
        }
    }
}

/// One service.
#[derive(Debug)]
pub(super) struct ServiceEntry {
    pub(super) slot: Slot,
    pub(super) settings: ServiceSettings,
    pub(super) policy: Arc<ServicePolicy>,
    pub(super) state: Arc<ServiceState>,
    pub(super) entries: BTreeMap<EntryId, Entry>,
    pub(super) published: Option<Arc<Service>>,
    pub(super) panic: bool,
    /// Ejections so far, by their cause.
    pub(super) ejections: [u64; EjectionCause::ALL.len()],
    /// Openings of its circuit that were told of, and whether it has not been
    /// told that it closed.
    pub(super) opened: u64,
    pub(super) is_resting: bool,
    /// Routes and sections of the config file need it, instances or not.
    pub(super) kept: bool,
    /// Since when it has no instances, if it has none and nothing needs it.
    pub(super) empty_since: Option<Instant>,
}

/// How long a service is known after its last instance has gone: a request for
/// it is answered with that there is none now, not that there never was.
const REMEMBERED: Duration = Duration::from_secs(600);

impl ServiceEntry {
    /// Whether it can be forgotten. `templated` says whether requests may ask
    /// for it though no route names it.
    pub(super) fn is_over(&mut self, templated: bool, now: Instant) -> bool {
        if !self.entries.is_empty() || self.kept {
            self.empty_since = None;
            return false;
        }
        // Where only routes that name it lead there, nobody asks for it.
        if !templated || self.published.is_none() {
            return true;
        }
        now.duration_since(*self.empty_since.get_or_insert(now)) >= REMEMBERED
    }

    /// How many instances requests are sent to.
    pub(super) fn routable(&self) -> usize {
        self.entries.values().filter(|entry| entry.routable).count()
    }

    /// The service as the table should have it, unless it has it already, and
    /// when its shares are to be worked out anew.
    pub(super) fn compile(&mut self, now: Instant) -> (Option<Service>, Option<Instant>) {
        let policy = &self.policy;
        let candidates: Vec<_> =
            self.entries.values().filter(|entry| entry.is_wanted()).map(Entry::candidate).collect();
        let rules = Rules { panic: policy.panic, slow_start: policy.slow_start };
        let compiled = compile::compile(&candidates, rules, now);
        let picked: BTreeSet<EndpointId> =
            compiled.targets.iter().map(|target| target.endpoint.id).collect();
        for entry in self.entries.values_mut() {
            entry.routable = picked.contains(&entry.endpoint.id);
            entry.serving_since = entry.routable.then(|| entry.serving_since.unwrap_or(now));
        }
        let retry_after = if compiled.targets.is_empty() { self.retry_after() } else { 0 };
        let same = self.published.as_ref().is_some_and(|old| {
            Arc::ptr_eq(&old.policy, &self.policy)
                && old.panic == compiled.panic
                && old.retry_after == retry_after
                && compile::same_targets(old.balancer.targets(), &compiled.targets)
        });
        let next_step = compiled.next_step;
        let new =
            (!same).then(|| compile::service(&self.policy, &self.state, compiled, retry_after));
        (new, next_step)
    }

    /// Seconds until the next probe that may bring an instance back.
    fn retry_after(&self) -> u32 {
        let probed = |entry: &&Entry| entry.is_probed() && !entry.draining;
        let interval = self.entries.values().filter(probed).map(|entry| entry.check.interval).min();
        let interval =
            interval.unwrap_or_else(|| HealthCheck::resolve(&[&self.settings.health]).interval);
        u32::try_from(interval.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
    }
}
