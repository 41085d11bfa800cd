//! The process that this one took over from, for as long as it finishes what
//! it has in flight.
//!
//! It picks no instance that has left here once it has said so, and it tells
//! what is in flight in it. "Drained" waits for both: what it has is as much in
//! flight as what is here.

use std::{
    collections::HashMap,
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
use crate::model::InstanceKey;

/// What a process tells its successor about the requests that it finishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlightReport {
    /// The last [`Leaver`] that none of its workers can pick any more.
    pub seen: u64,
    /// What is in flight, by instance; those with nothing left out.
    pub instances: Vec<InFlightElsewhere>,
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
#[derive(Clone, Debug, Default)]
enum Known {
    /// There is none, or it has ended.
    #[default]
    Gone,
    /// It has not reported yet.
    Silent,
    Reported {
        seen: u64,
        counts: HashMap<InstanceKey, Vec<(u64, u32)>>,
    },
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
            Known::Gone => true,
            Known::Silent => false,
            Known::Reported { seen, .. } => *seen >= number,
        };
        // It cannot close: the sender is ours.
        let _ = self.known.subscribe().wait_for(told).await;
    }

    /// What it has in flight on an instance; of `generation`, or of any.
    pub(super) fn in_flight(&self, key: &InstanceKey, generation: Option<u64>) -> u32 {
        let Known::Reported { counts, .. } = &*self.known.borrow() else { return 0 };
        let counts = counts.get(key).into_iter().flatten();
        let counts = counts.filter(|(of, _)| generation.is_none_or(|wanted| wanted == *of));
        counts.map(|(_, count)| count).sum()
    }

    /// Whether it has nothing in flight on a registration, as far as it has
    /// told.
    pub(super) fn is_done_with(&self, key: &InstanceKey, generation: u64) -> bool {
        !matches!(*self.known.borrow(), Known::Silent) && self.in_flight(key, Some(generation)) == 0
    }

    fn all(&self) -> Vec<InFlightElsewhere> {
        let Known::Reported { counts, .. } = &*self.known.borrow() else { return Vec::new() };
        let of = |(key, counts): (&InstanceKey, &Vec<(u64, u32)>)| {
            let elsewhere = |(generation, count): &(u64, u32)| InFlightElsewhere {
                key: key.clone(),
                generation: *generation,
                count: *count,
            };
            counts.iter().map(elsewhere).collect::<Vec<_>>()
        };
        counts.iter().flat_map(of).collect()
    }
}

/// The way on which the process before is heard. It is gone when this is.
#[derive(Debug)]
pub struct PredecessorFeed {
    shared: Arc<super::shared::Shared>,
}

impl PredecessorFeed {
    /// Takes in a report.
    pub fn report(&self, report: InFlightReport) {
        let mut counts: HashMap<_, Vec<_>> = HashMap::new();
        for InFlightElsewhere { key, generation, count } in report.instances {
            counts.entry(key).or_default().push((generation, count));
        }
        let known = Known::Reported { seen: report.seen, counts };
        self.shared.predecessor.known.send_replace(known);
    }
}

impl Drop for PredecessorFeed {
    fn drop(&mut self) {
        let predecessor = &self.shared.predecessor;
        predecessor.leavers.lock().unwrap_or_else(PoisonError::into_inner).take();
        predecessor.known.send_replace(Known::Gone);
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

    /// What is in flight here and in the processes before this one, once every
    /// worker routes by what is known now.
    pub fn in_flight_report(&self, seen: u64) -> InFlightReport {
        let mut counts: HashMap<(InstanceKey, u64), u32> = HashMap::new();
        for InFlightElsewhere { key, generation, count } in self.shared.predecessor.all() {
            *counts.entry((key, generation)).or_default() += count;
        }
        let catalog = self.shared.catalog();
        for endpoint in catalog.endpoints_in_use() {
            let count = endpoint.in_flight();
            if count > 0 {
                let key = (endpoint.instance.clone(), endpoint.generation);
                *counts.entry(key).or_default() += count;
            }
        }
        let elsewhere = |((key, generation), count)| InFlightElsewhere { key, generation, count };
        let mut instances: Vec<_> = counts.into_iter().map(elsewhere).collect();
        instances.sort_unstable_by(|a, b| (&a.key, a.generation).cmp(&(&b.key, b.generation)));
        InFlightReport { seen, instances }
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
