//! What is counted for the process as a whole.

use std::{array, sync::Arc, time::Duration};

use super::{
    FrontMetrics, RouteMetrics,
    counter::Counter,
    histogram::{Distribution, Histogram, OVERHEAD_BOUNDS},
};
use crate::model::{Ending, HandshakeFailure, Reason};

/// Listeners that are told apart; those beyond are counted as one.
pub(super) const LISTENERS: usize = 32;

/// What became of all requests that were accepted, at one moment: each is in
/// flight, or has ended for one reason.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Requests of which the head was read, or refused.
    pub accepted: u64,
    /// Those that have ended, by reason, in the order of [`Reason::ALL`].
    pub ended: Vec<(Reason, u64)>,
}

impl Ledger {
    /// Those that have ended like this.
    #[must_use]
    pub fn of(&self, ending: Ending) -> u64 {
        let of = |(reason, _): &&(Reason, u64)| reason.ending() == ending;
        self.ended.iter().filter(of).map(|(_, count)| count).sum()
    }

    /// Those that have not ended.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.accepted - self.ended.iter().map(|(_, count)| count).sum::<u64>()
    }
}

/// What is counted for the process as a whole, over all routes and services,
/// those that are gone included.
#[derive(Debug)]
pub struct Metrics {
    workers: Box<[WorkerMetrics]>,
    unrouted: Arc<RouteMetrics>,
    fronts: FrontMetrics,
}

/// The counts of one worker. Only that worker writes them.
#[derive(Debug)]
#[repr(align(128))] // two cache lines, since x86 fetches them in pairs
pub struct WorkerMetrics {
    begun: Counter,
    ended: [Counter; Reason::COUNT],
    local: [Counter; Reason::COUNT],
    retries: Counter,
    connects: Counter,
    connect_failures: Counter,
    opened: [Counter; LISTENERS],
    closed: [Counter; LISTENERS],
    handshakes: Counter,
    resumed: Counter,
    handshake_failures: [Counter; HandshakeFailure::ALL.len()],
    overhead: Histogram<12>,
}

impl Metrics {
    /// Nothing counted yet, to be counted by `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers: (0..workers).map(|_| WorkerMetrics::new()).collect(),
            unrouted: RouteMetrics::new(workers),
            fronts: FrontMetrics::default(),
        })
    }

    /// The counts of fronts.
    #[must_use]
    pub fn fronts(&self) -> &FrontMetrics {
        &self.fronts
    }

    /// The counts of one worker, counted from 0.
    ///
    /// # Panics
    ///
    /// If there is no worker of that number.
    #[must_use]
    pub fn worker(&self, index: usize) -> &WorkerMetrics {
        &self.workers[index]
    }

    /// Where requests are recorded that no route matched.
    #[must_use]
    pub fn unrouted(&self) -> &Arc<RouteMetrics> {
        &self.unrouted
    }

    fn requests_by_reason(&self) -> Vec<(Reason, u64)> {
        self.by_reason(|worker| &worker.ended)
    }

    /// Those among them that the proxy answered itself.
    #[must_use]
    pub fn local_by_reason(&self) -> Vec<(Reason, u64)> {
        self.by_reason(|worker| &worker.local)
    }

    /// What became of all requests that were accepted.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        // The ends are read first: each end that is counted here has its begin
        // counted below, so what is in flight is never negative.
        let ended = self.requests_by_reason();
        Ledger { accepted: self.sum(|worker| &worker.begun), ended }
    }

    /// Client connections that are open, over all listeners.
    #[must_use]
    pub fn connections(&self) -> u64 {
        (0..LISTENERS).map(|listener| self.connections_of(listener).0).sum()
    }

    /// Requests sent once more.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.sum(|worker| &worker.retries)
    }

    /// Connections to instances that were opened, and those that could not be.
    #[must_use]
    pub fn upstream_connects(&self) -> (u64, u64) {
        (self.sum(|worker| &worker.connects), self.sum(|worker| &worker.connect_failures))
    }

    /// Connections of one listener: open now, and opened so far.
    pub(super) fn connections_of(&self, listener: usize) -> (u64, u64) {
        let closed = self.sum(|worker| &worker.closed[listener]);
        let opened = self.sum(|worker| &worker.opened[listener]);
        (opened - closed, opened)
    }

    /// TLS handshakes with clients: full ones, and those that resumed a session.
    pub(super) fn handshakes(&self) -> (u64, u64) {
        (self.sum(|worker| &worker.handshakes), self.sum(|worker| &worker.resumed))
    }

    /// TLS handshakes with clients that failed like this.
    pub(super) fn handshakes_failed(&self, failure: HandshakeFailure) -> u64 {
        self.sum(|worker| &worker.handshake_failures[failure as usize])
    }

    pub(super) fn overhead(&self) -> Option<Distribution> {
        Distribution::of(self.workers.iter().map(|worker| &worker.overhead))
    }

    fn sum(&self, of: impl Fn(&WorkerMetrics) -> &Counter) -> u64 {
        self.workers.iter().map(|worker| of(worker).value()).sum()
    }

    fn by_reason(&self, of: fn(&WorkerMetrics) -> &[Counter; Reason::COUNT]) -> Vec<(Reason, u64)> {
        let count = |reason: &Reason| self.sum(|worker| &of(worker)[reason.index()]);
        Reason::ALL.iter().map(|reason| (*reason, count(reason))).collect()
    }
}

impl WorkerMetrics {
    fn new() -> Self {
        Self {
            begun: Counter::default(),
            ended: array::from_fn(|_| Counter::default()),
            local: array::from_fn(|_| Counter::default()),
            retries: Counter::default(),
            connects: Counter::default(),
            connect_failures: Counter::default(),
            opened: array::from_fn(|_| Counter::default()),
            closed: array::from_fn(|_| Counter::default()),
            handshakes: Counter::default(),
            resumed: Counter::default(),
            handshake_failures: array::from_fn(|_| Counter::default()),
            overhead: Histogram::new(&OVERHEAD_BOUNDS),
        }
    }

    /// Counts a client connection. `listener` is its place in the config,
    /// counted from 0.
    pub fn connection_opened(&self, listener: usize) {
        self.opened[listener.min(LISTENERS - 1)].increment();
    }

    /// Counts the end of a connection that was counted as opened on this
    /// worker.
    pub fn connection_closed(&self, listener: usize) {
        self.closed[listener.min(LISTENERS - 1)].increment();
    }

    /// Counts a TLS handshake with a client; `resumed` if it went on with an
    /// earlier session.
    pub fn handshake_done(&self, resumed: bool) {
        if resumed { &self.resumed } else { &self.handshakes }.increment();
    }

    /// Counts a TLS handshake with a client that failed.
    pub fn handshake_failed(&self, failure: HandshakeFailure) {
        self.handshake_failures[failure as usize].increment();
    }

    /// Counts a request of which the head was read.
    pub fn request_begun(&self) {
        self.begun.increment();
    }

    /// Counts the end of a request that was counted as begun on this worker;
    /// `local` if the proxy itself answered it.
    pub fn request_ended(&self, reason: Reason, local: bool) {
        self.ended[reason.index()].increment();
        if local {
            self.local[reason.index()].increment();
        }
    }

    /// Counts a request that is sent once more.
    pub fn retried(&self) {
        self.retries.increment();
    }

    /// Counts an attempt to open a connection to an instance.
    pub fn upstream_connect(&self, ok: bool) {
        if ok { &self.connects } else { &self.connect_failures }.increment();
    }

    /// Records the time that a request spent in the proxy and not in waiting
    /// for its instance or its client.
    pub fn overhead(&self, took: Duration) {
        self.overhead.record(took);
    }
}
