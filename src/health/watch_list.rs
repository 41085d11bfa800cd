//! What is known of each watched endpoint: its counter, its last outcome, and
//! when it is probed next.
//!
//! No I/O and no clock: the runner and the [`Prober`](super::Prober) handle
//! bring both. An endpoint is in the schedule, or parked until its service may
//! hold another slot, or being probed: always one of the three.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use tokio::{
    task::{self, AbortHandle},
    time::Instant,
};

use super::{
    LastProbe, Outcome, ProbeCounts, ProbeReport, ProberSettings, Target,
    counter::Counter,
    pace::{Load, Pace},
    schedule::{Schedule, regular_wait, starting_wait},
    slots::Slots,
};
use crate::model::{AddressGuard, EndpointId, Verdict};

/// How long to wait after a probe that failed for reasons of our own, at most.
const OWN_FAILURE_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// One endpoint.
#[derive(Debug)]
struct Watched {
    target: Arc<Target>,
    counter: Counter,
    last: Option<(Outcome, Instant)>,
    /// The probe under way.
    probe: Option<AbortHandle>,
    /// When it was due, while it waits for a slot.
    parked: Option<Instant>,
    /// Probes since a request found that it refuses connections, until one
    /// passes: they come as soon after each other as with one that starts.
    hurried: Option<u32>,
}

/// All endpoints, the queue they stand in, and the bounds over them.
#[derive(Debug)]
pub(super) struct WatchList {
    watched: HashMap<EndpointId, Watched>,
    schedule: Schedule,
    slots: Slots,
    pace: Pace,
    load: Load,
    counts: ProbeCounts,
    settings: ProberSettings,
    /// The rules for addresses, used by the probes that begin from now on.
    pub(super) guard: AddressGuard,
}

impl WatchList {
    pub(super) fn new(settings: &ProberSettings, guard: AddressGuard, now: Instant) -> Self {
        Self {
            watched: HashMap::new(),
            schedule: Schedule::default(),
            slots: Slots::default(),
            pace: Pace::new(settings.max_per_second, now),
            load: Load::default(),
            counts: ProbeCounts::default(),
            settings: settings.clone(),
            guard,
        }
    }

    /// Puts in an endpoint, due at once. One that is in already keeps its
    /// counter, and its place in the queue too unless `target` changed.
    pub(super) fn watch(&mut self, target: Target, now: Instant) {
        let endpoint = target.endpoint;
        let interval = target.interval();
        match self.watched.entry(endpoint) {
            Entry::Occupied(entry) if *entry.get().target == target => return,
            Entry::Occupied(mut entry) => {
                let watched = entry.get_mut();
                self.load.remove(watched.target.interval());
                watched.target = Arc::new(target);
                self.free(endpoint);
            }
            Entry::Vacant(entry) => {
                let target = Arc::new(target);
                self.slots.watch(&target.service);
                entry.insert(Watched {
                    target,
                    counter: Counter::default(),
                    last: None,
                    probe: None,
                    parked: None,
                    hurried: None,
                });
            }
        }
        self.load.add(interval);
        self.schedule.set(endpoint, now);
    }

    /// Puts in an endpoint of which `last` is known from another process. Its
    /// next probe is due some time within its interval, as if it had been
    /// here all along.
    pub(super) fn resume(
        &mut self,
        target: Target,
        last: LastProbe,
        ever_passed: bool,
        now: Instant,
    ) {
        let (endpoint, interval) = (target.endpoint, target.interval());
        let LastProbe { verdict, in_a_row, outcome, ago } = last;
        let counter = Counter::resume(verdict, in_a_row, outcome.passed, ever_passed);
        let last = Some((outcome, now.checked_sub(ago).unwrap_or(now)));
        // Who fails is waited for.
        let wait = if verdict == Verdict::Passing { fastrand::f64() } else { 0.0 };
        self.unwatch(endpoint);
        self.slots.watch(&target.service);
        let (target, parked, hurried) = (Arc::new(target), None, None);
        let watched = Watched { target, counter, last, probe: None, parked, hurried };
        self.watched.insert(endpoint, watched);
        self.load.add(interval);
        self.schedule.set(endpoint, now + interval.mul_f64(wait));
    }

    /// Forgets an endpoint and breaks off its probe.
    pub(super) fn unwatch(&mut self, endpoint: EndpointId) {
        self.free(endpoint);
        let Some(watched) = self.watched.remove(&endpoint) else { return };
        self.load.remove(watched.target.interval());
        self.schedule.cancel(endpoint);
        let next = self.slots.unwatch(&watched.target.service, self.settings.max_concurrent);
        self.unpark(next);
    }

    /// Takes in that `endpoint` refused a connection that a request wanted, and
    /// says what is worth reporting. It fails from here on, whatever probes
    /// have found, and is probed at once: one under way may have begun before.
    pub(super) fn refused(&mut self, endpoint: EndpointId, now: Instant) -> Option<ProbeReport> {
        let watched = self.watched.get_mut(&endpoint)?;
        let is_known = watched.last.as_ref().is_some_and(|(last, _)| last.refused);
        let was_failing = watched.counter.verdict() == Verdict::Failing;
        if was_failing && is_known {
            return None;
        }
        watched.counter.fail();
        let detail = "connect refused on the request path".to_owned();
        let took = std::time::Duration::ZERO;
        let outcome = Outcome { passed: false, refused: true, detail, took };
        watched.last = Some((outcome.clone(), now));
        watched.hurried = Some(0);
        self.free(endpoint);
        self.schedule.set(endpoint, now);
        let verdict = Verdict::Failing;
        Some(ProbeReport { endpoint, verdict, changed: !was_failing, outcome, in_a_row: 1 })
    }

    /// Breaks off the probe of `endpoint`, or its wait for a slot.
    fn free(&mut self, endpoint: EndpointId) {
        let Some(watched) = self.watched.get_mut(&endpoint) else { return };
        let target = Arc::clone(&watched.target);
        if let Some(due) = watched.parked.take() {
            self.slots.unpark(&target.service, endpoint, due);
        }
        if let Some(probe) = watched.probe.take() {
            probe.abort();
            self.give_back(&target);
        }
    }

    /// Gives the slot of a probe of `target` back.
    fn give_back(&mut self, target: &Target) {
        let next = self.slots.give_back(&target.service, self.settings.max_concurrent);
        self.unpark(next);
    }

    /// Puts those who waited for a slot back into the queue.
    fn unpark(&mut self, next: Vec<(Instant, EndpointId)>) {
        for (due, endpoint) in next {
            if let Some(watched) = self.watched.get_mut(&endpoint) {
                watched.parked = None;
                self.schedule.set(endpoint, due);
            }
        }
    }

    pub(super) fn configure(&mut self, settings: &ProberSettings, now: Instant) {
        self.pace = self.pace.at_rate(settings.max_per_second, now);
        self.settings = settings.clone();
    }

    pub(super) fn stretch(&self) -> f64 {
        self.load.stretch(&self.settings)
    }

    pub(super) const fn counts(&self) -> ProbeCounts {
        self.counts
    }

    pub(super) fn last(&self, endpoint: EndpointId, now: Instant) -> Option<LastProbe> {
        let watched = self.watched.get(&endpoint)?;
        let (outcome, at) = watched.last.as_ref()?;
        Some(LastProbe {
            verdict: watched.counter.verdict(),
            in_a_row: watched.counter.in_a_row(),
            outcome: outcome.clone(),
            ago: now.saturating_duration_since(*at),
        })
    }

    /// Takes the next endpoint to probe out of the queue, if one is due and
    /// the bounds let it begin beside the `in_flight` others.
    pub(super) fn next_due(&mut self, now: Instant, in_flight: usize) -> Option<Arc<Target>> {
        loop {
            let due = self.schedule.first().filter(|at| *at <= now)?;
            if self.is_full(in_flight) || self.pace.ready_at() > now {
                return None;
            }
            let endpoint = self.schedule.take_due(now)?;
            let Some(watched) = self.watched.get_mut(&endpoint) else { continue };
            let target = Arc::clone(&watched.target);
            if self.slots.take(&target.service, self.settings.max_concurrent) {
                self.pace.take(now);
                return Some(target);
            }
            watched.parked = Some(due);
            self.slots.park(&target.service, endpoint, due);
        }
    }

    /// When [`Self::next_due`] may have something; never if absent, unless
    /// something else changes first.
    pub(super) fn next_wake(&self, in_flight: usize) -> Option<Instant> {
        let first = self.schedule.first().filter(|_| !self.is_full(in_flight))?;
        Some(first.max(self.pace.ready_at()))
    }

    /// Notes the probe that runs for `endpoint`, which [`Self::next_due`] has
    /// just named.
    pub(super) fn begun(&mut self, endpoint: EndpointId, probe: AbortHandle) {
        if let Some(watched) = self.watched.get_mut(&endpoint) {
            watched.probe = Some(probe);
        }
    }

    /// Takes in what a probe found, and says what is worth reporting: the
    /// first outcome, a changed verdict, another failure than before. Nothing
    /// if `probe` is not the one under way: it was broken off too late.
    pub(super) fn conclude(
        &mut self,
        endpoint: EndpointId,
        probe: task::Id,
        outcome: Outcome,
        now: Instant,
    ) -> Option<ProbeReport> {
        let stretch = self.stretch();
        let watched = self.ended(endpoint, probe)?;
        let target = Arc::clone(&watched.target);
        let check = &target.check;
        let changed =
            watched.counter.record(outcome.passed, check.healthy_after, check.unhealthy_after);
        let counter = watched.counter;
        let before = watched.last.replace((outcome.clone(), now)).map(|(before, _)| before);

        watched.hurried = watched
            .hurried
            .filter(|_| counter.verdict() != Verdict::Passing)
            .map(|probes| probes.saturating_add(1));
        let random = fastrand::f64();
        let starting = |probes| starting_wait(probes, target.interval(), stretch, random);
        let next = match watched.hurried {
            Some(probes) => now + starting(probes),
            None if !counter.ever_passed() => now + starting(counter.in_a_row()),
            None => {
                // Measured from start to start: a slow answer does not thin out
                // the probes.
                let wait = regular_wait(target.interval(), stretch, random);
                now + wait.saturating_sub(outcome.took)
            }
        };
        self.schedule.set(endpoint, next);
        self.load.learn(outcome.took);
        self.counts.add(outcome.passed);

        let is_news = before.is_none_or(|before| is_other(&before, &outcome));
        (changed || is_news).then(|| ProbeReport {
            endpoint,
            verdict: counter.verdict(),
            changed,
            outcome,
            in_a_row: counter.in_a_row(),
        })
    }

    /// Probes `endpoint` again soon: what `probe` found says nothing about it.
    pub(super) fn retry(&mut self, endpoint: EndpointId, probe: task::Id, now: Instant) {
        let Some(watched) = self.ended(endpoint, probe) else { return };
        let wait = watched.target.interval().min(OWN_FAILURE_WAIT);
        self.schedule.set(endpoint, now + regular_wait(wait, 1.0, fastrand::f64()));
    }

    /// Breaks off `probe` and makes its endpoint due at once.
    pub(super) fn discard(&mut self, endpoint: EndpointId, probe: task::Id, now: Instant) {
        let Some(watched) = self.watched.get_mut(&endpoint) else { return };
        if watched.probe.as_ref().is_some_and(|running| running.id() == probe) {
            self.free(endpoint);
            self.schedule.set(endpoint, now);
        }
    }

    fn ended(&mut self, endpoint: EndpointId, probe: task::Id) -> Option<&mut Watched> {
        let watched = self.watched.get_mut(&endpoint)?;
        watched.probe.take_if(|running| running.id() == probe)?;
        let target = Arc::clone(&watched.target);
        self.give_back(&target);
        self.watched.get_mut(&endpoint)
    }

    fn is_full(&self, in_flight: usize) -> bool {
        in_flight >= self.settings.max_concurrent.get() as usize
    }
}

/// Whether a person would want to hear of `now` after `before`; how one pass
/// differs from another is no news.
fn is_other(before: &Outcome, now: &Outcome) -> bool {
    before.passed != now.passed
        || (!now.passed && (before.refused, &before.detail) != (now.refused, &now.detail))
}

#[cfg(test)]
mod tests;
