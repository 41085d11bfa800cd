//! What is counted for one route.
//!
//! Requests are counted by method and status. Few pairs occur in practice, so
//! a shard is a short array that is scanned; pairs beyond it are counted by
//! the class of their status alone, so no client can make a shard grow.

use std::{
    array,
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use http::Method;

use super::{
    counter::{Counter, PerWorker},
    histogram::{Distribution, Histogram, REQUEST_BOUNDS},
    method,
};

/// Pairs of method and status that a shard tells apart.
const SLOTS: usize = 32;
const CLASSES: usize = 6;

/// The class of a status, as a label: `none` where no response was begun.
pub(super) const CLASS_LABELS: [&str; CLASSES] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

pub(super) fn class_of(status: u16) -> usize {
    match status {
        100..=199 => 1,
        200..=299 => 2,
        300..=399 => 3,
        400..=499 => 4,
        500..=599 => 5,
        _ => 0,
    }
}

/// What is counted for one route. Kept by its owner across reloads, so that
/// counts never go back.
#[derive(Debug)]
pub struct RouteMetrics(PerWorker<Shard>);

#[derive(Debug)]
#[repr(align(64))] // shards of two workers never share a cache line
struct Shard {
    slots: [Slot; SLOTS],
    /// Requests that found no slot, by the class of their status.
    overflow: [Counter; CLASSES],
    durations: [OnceLock<Box<Histogram<17>>>; CLASSES],
    bytes_in: Counter,
    bytes_out: Counter,
}

#[derive(Debug, Default)]
struct Slot {
    /// Method and status; 0 is a free slot, since both are never 0 at once
    /// ([`pair`]).
    pair: AtomicU32,
    count: Counter,
}

/// Bit 31 tells a pair of zeros from a free slot.
fn pair(method: u8, status: u16) -> u32 {
    1 << 31 | u32::from(method) << 16 | u32::from(status)
}

impl RouteMetrics {
    /// Nothing counted yet, to be counted by `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self(PerWorker::new(workers)))
    }

    /// Counts one request that ended. Only the worker of that number may call
    /// this.
    ///
    /// `status` is what the client was sent, 0 if it got no response; `took`
    /// is the time from the request's head to the last byte of its response;
    /// the bytes are those of the bodies.
    ///
    /// # Panics
    ///
    /// If there is no worker of that number.
    pub fn record(
        &self,
        worker: usize,
        method: &Method,
        status: u16,
        took: Duration,
        bytes_in: u64,
        bytes_out: u64,
    ) {
        let shard = self.0.of(worker, Shard::new);
        let class = class_of(status);
        shard.count(pair(method::number(method), status), class);
        shard.durations[class]
            .get_or_init(|| Box::new(Histogram::new(&REQUEST_BOUNDS)))
            .record(took);
        shard.bytes_in.add(bytes_in);
        shard.bytes_out.add(bytes_out);
    }

    /// Requests by method and status, as labels. What found no slot has the
    /// method `_OTHER` and a status like `5xx`.
    pub(super) fn requests(&self) -> BTreeMap<(&'static str, Code), u64> {
        let mut requests = BTreeMap::new();
        for shard in self.0.iter() {
            for slot in &shard.slots {
                let pair = slot.pair.load(Ordering::Acquire);
                if pair == 0 {
                    break;
                }
                let [.., high, low] = pair.to_be_bytes();
                let method = method::label(pair.to_be_bytes()[1]);
                let code = Code::Exact(u16::from_be_bytes([high, low]));
                *requests.entry((method, code)).or_default() += slot.count.value();
            }
            for (class, count) in CLASS_LABELS.iter().zip(&shard.overflow) {
                if count.value() > 0 {
                    *requests.entry((method::OTHER, Code::Class(class))).or_default() +=
                        count.value();
                }
            }
        }
        requests
    }

    /// Durations by the class of the status; classes that never occurred are
    /// left out.
    pub(super) fn durations(&self) -> impl Iterator<Item = (&'static str, Distribution)> {
        CLASS_LABELS.iter().enumerate().filter_map(|(class, label)| {
            let shards = self.0.iter().filter_map(move |shard| shard.durations[class].get());
            Some((*label, Distribution::of(shards.map(Box::as_ref))?))
        })
    }

    /// Bytes of request and response bodies; none if there was no request.
    pub(super) fn bytes(&self) -> Option<(u64, u64)> {
        let shards = self.0.iter().map(|shard| (shard.bytes_in.value(), shard.bytes_out.value()));
        shards.reduce(|sum, shard| (sum.0 + shard.0, sum.1 + shard.1))
    }
}

/// A status as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Code {
    Exact(u16),
    Class(&'static str),
}

impl Shard {
    fn new() -> Self {
        Self {
            slots: array::from_fn(|_| Slot::default()),
            overflow: array::from_fn(|_| Counter::default()),
            durations: array::from_fn(|_| OnceLock::new()),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
        }
    }

    fn count(&self, pair: u32, class: usize) {
        for slot in &self.slots {
            match slot.pair.load(Ordering::Relaxed) {
                found if found == pair => return slot.count.increment(),
                0 => {
                    // The count first: who sees the pair sees its count.
                    slot.count.increment();
                    return slot.pair.store(pair, Ordering::Release);
                }
                _ => {}
            }
        }
        self.overflow[class].increment();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(route: &RouteMetrics, worker: usize, method: &Method, status: u16) {
        route.record(worker, method, status, Duration::from_millis(1), 1, 2);
    }

    #[test]
    fn workers_add_up() {
        let route = RouteMetrics::new(2);
        record(&route, 0, &Method::GET, 200);
        record(&route, 1, &Method::GET, 200);
        record(&route, 1, &Method::POST, 0);
        let requests: Vec<_> = route.requests().into_iter().collect();
        assert_eq!(requests, [(("GET", Code::Exact(200)), 2), (("POST", Code::Exact(0)), 1)]);
        assert_eq!(route.bytes(), Some((3, 6)));
        let durations: Vec<_> = route.durations().map(|(class, d)| (class, d.count())).collect();
        assert_eq!(durations, [("none", 1), ("2xx", 2)]);
    }

    #[test]
    fn a_made_up_method_without_a_response_is_counted() {
        let route = RouteMetrics::new(1);
        let made_up: Method = "BREW".parse().expect("a method");
        record(&route, 0, &made_up, 0);
        assert_eq!(route.requests().get(&("_OTHER", Code::Exact(0))), Some(&1));
    }

    #[test]
    fn pairs_beyond_the_slots_are_counted_by_class() {
        let route = RouteMetrics::new(1);
        for status in (500..).take(SLOTS + 3) {
            record(&route, 0, &Method::GET, status);
        }
        record(&route, 0, &Method::GET, 500);
        let requests = route.requests();
        assert_eq!(requests.len(), SLOTS + 1);
        assert_eq!(requests[&("_OTHER", Code::Class("5xx"))], 3);
        assert_eq!(requests[&("GET", Code::Exact(500))], 2);
    }

    #[test]
    fn an_idle_route_is_small() {
        assert_eq!(size_of::<RouteMetrics>() + 4 * size_of::<OnceLock<Box<Shard>>>(), 80);
    }
}
