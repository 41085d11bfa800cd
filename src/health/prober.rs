//! The handle on the prober: what to watch, and what was found.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc::UnboundedSender},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Outcome, ProberSettings, Target,
    dial::Dialer,
    probe::{self, Conclusion},
    runner::Runner,
    watch_list::WatchList,
};
use crate::model::{AddressGuard, EndpointId, Probe, Verdict};

/// News of an endpoint: its first outcome, a changed verdict, or a failure
/// that reads differently from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The verdict now.
    pub verdict: Verdict,
    /// Whether this outcome changed the verdict.
    pub changed: bool,
    /// What the probe found.
    pub outcome: Outcome,
    /// How many outcomes of the same kind, pass or failure, there were in a
    /// row.
    pub in_a_row: u32,
}

/// The last probe of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastProbe {
    /// The verdict now.
    pub verdict: Verdict,
    /// How many outcomes of the same kind, pass or failure, there were in a
    /// row.
    pub in_a_row: u32,
    /// What the probe found.
    pub outcome: Outcome,
    /// How long ago it ended.
    pub ago: Duration,
}

/// Probes that ended since the start, in total. Those that failed for reasons
/// of our own are in neither number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeCounts {
    /// Those that passed.
    pub passed: u64,
    /// Those that failed.
    pub failed: u64,
}

impl ProbeCounts {
    pub(super) const fn add(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }
}

/// Probes endpoints until the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    _runner: Arc<AbortOnDropHandle<()>>,
}

/// What handles and loop have in common.
#[derive(Debug)]
pub(super) struct Shared {
    list: Mutex<WatchList>,
    reports: UnboundedSender<ProbeReport>,
    changed: Notify,
}

impl Shared {
    pub(super) fn list(&self) -> MutexGuard<'_, WatchList> {
        // Nothing in it is left half done by a panic.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change by a handle since the last wait.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Prober {
    /// Starts the loop on the current tokio runtime. It ends with the last
    /// handle, or when nobody listens to `reports` any more.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(
        settings: &ProberSettings,
        guard: AddressGuard,
        reports: UnboundedSender<ProbeReport>,
    ) -> Self {
        let dialer = Dialer::new();
        Self::start_with(settings, guard, reports, move |target: Arc<Target>, guard| {
            let dialer = dialer.clone();
            async move { probe::run(&dialer, &target, &guard).await }
        })
    }

    pub(super) fn start_with<P, F>(
        settings: &ProberSettings,
        guard: AddressGuard,
        reports: UnboundedSender<ProbeReport>,
        probe: P,
    ) -> Self
    where
        P: Fn(Arc<Target>, AddressGuard) -> F + Send + 'static,
        F: Future<Output = Conclusion> + Send + 'static,
    {
        let list = Mutex::new(WatchList::new(settings, guard, Instant::now()));
        let shared = Arc::new(Shared { list, reports: reports.clone(), changed: Notify::new() });
        let runner = tokio::spawn(Runner::new(Arc::clone(&shared), reports, probe).run());
        Self { shared, _runner: Arc::new(AbortOnDropHandle::new(runner)) }
    }

    /// Probes an endpoint from now on, at once for the first time. One that is
    /// watched already keeps its verdict and counter; with an equal target
    /// nothing happens, with a changed one the next probe is at once and
    /// another one under way is broken off. Checks that probe nothing
    /// ([`Probe::Ttl`], [`Probe::None`]) are not for this one: they end the
    /// watch.
    pub fn watch(&self, target: Target) {
        match target.check.probe {
            Probe::Http { .. } | Probe::Tcp | Probe::Grpc { .. } => {
                self.shared.list().watch(target, Instant::now());
                self.shared.changed.notify_one();
            }
            Probe::Ttl | Probe::None => self.unwatch(target.endpoint),
        }
    }

    /// Probes an endpoint from now on, going on from what another process knew
    /// of it: `last`, and whether a probe had ever passed.
    pub fn resume(&self, target: Target, last: LastProbe, ever_passed: bool) {
        self.shared.list().resume(target, last, ever_passed, Instant::now());
        self.shared.changed.notify_one();
    }

    /// Forgets an endpoint. No report about it is sent afterwards, though
    /// earlier ones may still be in the channel.
    pub fn unwatch(&self, endpoint: EndpointId) {
        self.shared.list().unwatch(endpoint);
        self.shared.changed.notify_one();
    }

    /// Takes in that an endpoint refused a connection that a request wanted. If
    /// it is watched, it fails from here on, which is reported, and is probed
    /// at once and often until it passes.
    pub fn refused(&self, endpoint: EndpointId) {
        let mut list = self.shared.list();
        // Sent under the lock, as all reports: what comes after it is newer.
        if let Some(report) = list.refused(endpoint, Instant::now()) {
            _ = self.shared.reports.send(report);
        }
        drop(list);
        self.shared.changed.notify_one();
    }

    /// Holds the probes that begin from now on to other rules for addresses.
    pub fn set_guard(&self, guard: AddressGuard) {
        self.shared.list().guard = guard;
    }

    /// Changes the bounds over all probes.
    pub fn configure(&self, settings: &ProberSettings) {
        self.shared.list().configure(settings, Instant::now());
        self.shared.changed.notify_one();
    }

    /// How much longer than configured intervals are, because of the bounds
    /// over all probes: 1.0 is as configured.
    #[must_use]
    pub fn stretch(&self) -> f64 {
        self.shared.list().stretch()
    }

    /// The last probe of an endpoint; none if it is not watched or no probe
    /// of it has ended. Current even where no report was sent.
    #[must_use]
    pub fn last(&self, endpoint: EndpointId) -> Option<LastProbe> {
        self.shared.list().last(endpoint, Instant::now())
    }

    /// Probes that ended since the start.
    #[must_use]
    pub fn counts(&self) -> ProbeCounts {
        self.shared.list().counts()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::model::{Address, Endpoint, EndpointId, HealthCheck, HealthSettings};

    use super::Target;

    /// An id that no other test has.
    pub(in crate::health) fn new_id() -> EndpointId {
        let key = "orders/a".parse().expect("a key");
        let address = "10.0.0.1:80".parse().expect("an address");
        Endpoint::new(key, 1, address, crate::model::Provenance::Registered).id
    }

    /// A target with defaults for what `settings` leaves open.
    pub(in crate::health) fn target(address: &str, settings: &HealthSettings) -> Target {
        let address: Address = address.parse().expect("an address");
        let check = HealthCheck::resolve(&[settings]);
        let service = "orders".parse().expect("a name");
        Target {
            endpoint: new_id(),
            service,
            address,
            provenance: crate::model::Provenance::Registered,
            check,
            tls: None,
        }
    }
}
