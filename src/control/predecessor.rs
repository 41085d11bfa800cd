//! The process that this one took over from, for as long as it finishes what
//! it has in flight.
//!
//! It picks no instance that has left here once it has said so, and it tells
//! what is in flight in it. "Drained" waits for both: what it has is as much in
//! flight as what is here.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::{
    Control,
    entry::{Entry, Source},
    reconciler::Command,
};
use crate::model::{Ended, InstanceKey};

/// What a process tells its successor about the requests that it finishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlightReport {
    /// The last [`Leaver`] that none of its workers can pick any more.
    pub seen: u64,
    /// What is in flight, by instance; those with nothing left out.
    pub instances: Vec<InFlightElsewhere>,
    /// How those ended that were on instances that are leaving or have left.
    pub left: Vec<LeftElsewhere>,
}

/// How requests on one instance ended in another process, since the instance
/// began to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftElsewhere {
    /// The instance.
    pub key: InstanceKey,
    /// Which registration of it.
    pub generation: u64,
    /// How they ended.
    pub ended: Ended,
}

/// What is in flight on one instance in another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlightElsewhere {
    /// The instance.
    pub key: InstanceKey,
    /// Which registration of it.
    pub generation: u64,
    /// Requests, streams and tunnels.
    pub count: u32,
}

/// Tells the process before that an instance is leaving.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leaver {
    /// Counts up from 1.
    pub number: u64,
    /// The instance.
    pub key: InstanceKey,
    /// Which registration of it; whichever there is if absent.
    pub generation: Option<u64>,
}

/// What is known of the process before.
#[derive(Clone, Debug)]
enum Known {
    /// There is none, or it has ended; how what it had in flight did is kept.
    Gone(Vec<LeftElsewhere>),
    /// It has not reported yet.
    Silent,
    Reported(InFlightReport),
}

impl Default for Known {
    fn default() -> Self {
        Self::Gone(Vec::new())
    }
}

impl Known {
    fn in_flight(&self) -> &[InFlightElsewhere] {
        match self {
            Self::Reported(report) => &report.instances,
            Self::Gone(_) | Self::Silent => &[],
        }
    }

    fn left(&self) -> &[LeftElsewhere] {
        match self {
            Self::Gone(left) => left,
            Self::Silent => &[],
            Self::Reported(report) => &report.left,
        }
    }
}

/// The control plane's view of the process before.
#[derive(Debug, Default)]
pub(super) struct Predecessor {
    known: watch::Sender<Known>,
    told: AtomicU64,
    leavers: Mutex<Option<mpsc::UnboundedSender<Leaver>>>,
}

impl Predecessor {
    /// Tells it that an instance is leaving. Answers with a number for
    /// [`Self::seen`].
    pub(super) fn tell(&self, key: &InstanceKey, generation: Option<u64>) -> u64 {
        // The lock keeps the numbers in the order in which they are sent.
        let leavers = self.leavers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(leavers) = &*leavers else { return 0 };
        let number = self.told.fetch_add(1, Ordering::Relaxed) + 1;
        let _ = leavers.send(Leaver { number, key: key.clone(), generation });
        number
    }

    /// Waits until it can pick nobody any more that it was told of up to
    /// `number`.
    pub(super) async fn seen(&self, number: u64) {
        let told = |known: &Known| match known {
            Known::Gone(_) => true,
            Known::Silent => false,
            Known::Reported(report) => report.seen >= number,
        };
        // It cannot close: the sender is ours.
        let _ = self.known.subscribe().wait_for(told).await;
    }

    /// What it has in flight on an instance; of `generation`, or of any.
    pub(super) fn in_flight(&self, key: &InstanceKey, generation: Option<u64>) -> u32 {
        let known = self.known.borrow();
        let counts = known
            .in_flight()
            .iter()
            .filter(|of| of.key == *key && generation.is_none_or(|wanted| wanted == of.generation));
        counts.map(|of| of.count).sum()
    }

    /// How those ended that it had on an instance that is leaving, or has left;
    /// of `generation`, or of any.
    pub(super) fn ended(&self, key: &InstanceKey, generation: Option<u64>) -> Ended {
        let known = self.known.borrow();
        let left = known
            .left()
            .iter()
            .filter(|of| of.key == *key && generation.is_none_or(|wanted| wanted == of.generation));
        left.map(|of| of.ended).fold(Ended::default(), Ended::and)
    }

    /// Whether it has nothing in flight on a registration, as far as it has
    /// told.
    pub(super) fn is_done_with(&self, key: &InstanceKey, generation: u64) -> bool {
        !matches!(*self.known.borrow(), Known::Silent) && self.in_flight(key, Some(generation)) == 0
    }
}

/// The way on which the process before is heard. It is gone when this is.
#[derive(Debug)]
pub struct PredecessorFeed {
    shared: Arc<super::shared::Shared>,
}

impl PredecessorFeed {
    /// Notes that it said something that could not be read: what it has in
    /// flight is not known until it reports again, or ends.
    pub fn lost(&self) {
        self.shared.predecessor.known.send_replace(Known::Silent);
    }

    /// Takes in a report.
    pub fn report(&self, report: InFlightReport) {
        self.shared.predecessor.known.send_replace(Known::Reported(report));
    }
}

impl Drop for PredecessorFeed {
    fn drop(&mut self) {
        let predecessor = &self.shared.predecessor;
        predecessor.leavers.lock().unwrap_or_else(PoisonError::into_inner).take();
        let left = predecessor.known.borrow().left().to_vec();
        predecessor.known.send_replace(Known::Gone(left));
    }
}

impl Control {
    /// From now on there is a process before this one: it is told of the
    /// instances that leave, and nothing is drained before it has been heard.
    #[must_use]
    pub fn succeed(&self) -> (PredecessorFeed, mpsc::UnboundedReceiver<Leaver>) {
        let (leavers, told) = mpsc::unbounded_channel();
        let predecessor = &self.shared.predecessor;
        predecessor.leavers.lock().unwrap_or_else(PoisonError::into_inner).replace(leavers);
        predecessor.known.send_replace(Known::Silent);
        (PredecessorFeed { shared: Arc::clone(&self.shared) }, told)
    }

    /// What is in flight here and in the processes before this one, and how
    /// what was on leaving instances ended. Complete once [`Self::acknowledged`]
    /// has returned.
    #[must_use]
    pub fn in_flight_report(&self, seen: u64) -> InFlightReport {
        let mut counts: BTreeMap<(InstanceKey, u64), u32> = BTreeMap::new();
        let mut endings: BTreeMap<(InstanceKey, u64), Ended> = BTreeMap::new();
        let mut ends = |key: &InstanceKey, generation: u64, ended: Ended| {
            let sum = endings.entry((key.clone(), generation)).or_default();
            *sum = sum.and(ended);
        };
        let known = self.shared.predecessor.known.borrow();
        for InFlightElsewhere { key, generation, count } in known.in_flight() {
            *counts.entry((key.clone(), *generation)).or_default() += count;
        }
        for LeftElsewhere { key, generation, ended } in known.left() {
            ends(key, *generation, *ended);
        }
        drop(known);
        let catalog = self.shared.catalog();
        for endpoint in catalog.endpoints_in_use() {
            let count = endpoint.in_flight();
            if count > 0 {
                let key = (endpoint.instance.clone(), endpoint.generation);
                *counts.entry(key).or_default() += count;
            }
        }
        for (key, generation, ended) in catalog.endings() {
            ends(key, generation, ended);
        }
        let in_flight = |((key, generation), count)| InFlightElsewhere { key, generation, count };
        let left = |((key, generation), ended)| LeftElsewhere { key, generation, ended };
        InFlightReport {
            seen,
            instances: counts.into_iter().map(in_flight).collect(),
            left: endings.into_iter().map(left).collect(),
        }
    }

    /// Takes an instance out because the successor of this process said so.
    /// When this returns, no worker can pick it any more, here or in the
    /// processes before.
    pub async fn leave_with(&self, leaver: &Leaver) {
        let Leaver { key, generation, .. } = leaver;
        let number = self.shared.predecessor.tell(key, *generation);
        let is_meant = |entry: &&Entry| {
            entry.source == Source::Registry
                && generation.is_none_or(|wanted| wanted == entry.generation)
        };
        let generation_of = |entry: &Entry| entry.generation;
        let current = self.shared.catalog().entry(key).filter(is_meant).map(generation_of);
        let version = match current {
            Some(generation) => {
                self.ask(|answer| Command::Leave(key.clone(), generation, answer)).await
            }
            None => self.settle().await,
        };
        self.watcher.wait_for(version).await;
        self.shared.predecessor.seen(number).await;
    }

    /// Waits until every worker routes by what is known now, so that what is
    /// reported from then on is all there is.
    pub async fn acknowledged(&self) {
        let version = self.settle().await;
        self.watcher.wait_for(version).await;
    }

    /// Whether calls with `wait` are answered at once with how things stand.
    pub fn hurry(&self, hurry: bool) {
        self.shared.hurry.send_replace(hurry);
    }
}
