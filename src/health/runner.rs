//! The loop: starts what is due, takes in what ended, sleeps until the next.
//!
//! Generic over the probe, so that tests run it without sockets. One task for
//! all endpoints; each probe is a task of its own, and all of them end with
//! the loop.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::UnboundedSender,
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{ProbeReport, Target, failure::Failure, probe::Conclusion, prober::Shared};
use crate::model::{AddressGuard, EndpointId};

/// While probes are under way the loop wakes at least this often …
const TICK: Duration = Duration::from_millis(100);

/// … so that a longer gap means that this process did not run, and what timed
/// out meanwhile did so for no fault of the instance.
const STALL: Duration = Duration::from_millis(500);

/// The loop and what only it knows.
#[derive(Debug)]
pub(super) struct Runner<P> {
    shared: Arc<Shared>,
    reports: UnboundedSender<ProbeReport>,
    probe: P,
    tasks: JoinSet<Conclusion>,
    probed_by: HashMap<task::Id, EndpointId>,
    awake: Instant,
    own_failures: OwnFailures,
}

type Ended = Result<(task::Id, Conclusion), JoinError>;

impl<P, F> Runner<P>
where
    P: Fn(Arc<Target>, AddressGuard) -> F,
    F: Future<Output = Conclusion> + Send + 'static,
{
    pub(super) fn new(
        shared: Arc<Shared>,
        reports: UnboundedSender<ProbeReport>,
        probe: P,
    ) -> Self {
        Self {
            shared,
            reports,
            probe,
            tasks: JoinSet::new(),
            probed_by: HashMap::new(),
            awake: Instant::now(),
            own_failures: OwnFailures::default(),
        }
    }

    /// Runs until nobody listens to the reports any more.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let reports = self.reports.clone();
        loop {
            let wake = self.begin_due();
            let mut ended = None;
            self.awake = Instant::now();
            tokio::select! {
                () = reports.closed() => return,
                () = shared.changed() => {}
                next = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => ended = next,
                () = sleep_until(wake) => {}
            }
            // Before anything is believed that the stall may have spoiled.
            self.discard_after_stall();
            while let Some(result) = ended {
                self.take_in(result);
                ended = self.tasks.try_join_next_with_id();
            }
        }
    }

    /// Begins all probes that may begin now, and says when to look again.
    fn begin_due(&mut self) -> Instant {
        let now = Instant::now();
        let mut list = self.shared.list();
        while let Some(target) = list.next_due(now, self.tasks.len()) {
            let endpoint = target.endpoint;
            let probe = self.tasks.spawn((self.probe)(target, list.guard.clone()));
            self.probed_by.insert(probe.id(), endpoint);
            list.begun(endpoint, probe);
        }
        let wake = list.next_wake(self.tasks.len());
        if self.tasks.is_empty() {
            wake.unwrap_or(now + Duration::from_secs(3600))
        } else {
            wake.map_or(now + TICK, |wake| wake.min(now + TICK))
        }
    }

    fn discard_after_stall(&mut self) {
        let now = Instant::now();
        let gap = now.saturating_duration_since(self.awake);
        if self.probed_by.is_empty() || gap < STALL {
            return;
        }
        let discarded = self.probed_by.len();
        tracing::warn!(?gap, discarded, "this process was stalled; probes under way start over");
        let mut list = self.shared.list();
        for (probe, endpoint) in self.probed_by.drain() {
            list.discard(endpoint, probe, now);
        }
    }

    fn take_in(&mut self, result: Ended) {
        let now = Instant::now();
        let id = match &result {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        // Discarded ones are unknown here already.
        let Some(endpoint) = self.probed_by.remove(&id) else { return };
        let mut list = self.shared.list();
        match result {
            Ok((_, Conclusion::Known(outcome))) => {
                // Sent under the lock: nothing is sent of an endpoint after
                // `unwatch` has returned.
                if let Some(report) = list.conclude(endpoint, id, outcome, now) {
                    _ = self.reports.send(report);
                }
            }
            Ok((_, Conclusion::Ours(failure))) => {
                list.retry(endpoint, id, now);
                self.own_failures.log(&failure, now);
            }
            Err(error) => {
                list.retry(endpoint, id, now);
                if error.is_panic() {
                    tracing::error!(%error, "a probe panicked");
                }
            }
        }
    }
}

/// Logs failures of our own, one line in a while: they come by the thousand.
#[derive(Debug, Default)]
struct OwnFailures {
    logged: Option<Instant>,
    unlogged: u64,
}

impl OwnFailures {
    const EVERY: Duration = Duration::from_secs(10);

    fn log(&mut self, failure: &Failure, now: Instant) {
        self.unlogged += 1;
        if self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= Self::EVERY) {
            let probes = self.unlogged;
            tracing::warn!(%failure, probes, "probes fail for reasons of our own; not counted");
            self.logged = Some(now);
            self.unlogged = 0;
        }
    }
}

#[cfg(test)]
mod tests;
