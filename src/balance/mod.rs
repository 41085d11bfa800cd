//! Which endpoint gets the next request, and whether there is room for it.
//!
//! One file per policy. A policy is a pure choice among [`Target`]s; what it
//! needs to remember across tables stands in [`Memory`]. How much a service
//! gets is bounded by its [`Gate`], and how much of that twice by its
//! [`RetryBudget`].

mod breaker;
mod budget;
mod gate;
mod least_request;
mod queue;
mod random;
mod round_robin;

use std::sync::{Arc, atomic::AtomicU32};

use crate::model::{BalancePolicy, Endpoint, EndpointId};

pub use breaker::{Breaker, Circuit, Pass};
pub use budget::RetryBudget;
pub use gate::{Gate, GateQueue, GateRefusal, Permit};
pub use queue::{Place, Queue};

/// An endpoint as one table sees it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share, 1 to 10,000.
    pub weight: u16,
}

/// What a policy remembers across tables.
#[derive(Debug, Default)]
pub struct Memory {
    turn: AtomicU32,
    /// Of retries. Were they to take the turns of first tries, each failure of
    /// one of two would send the next request to it again.
    retry_turn: AtomicU32,
}

/// The targets of a service and the policy that picks among them.
#[derive(Debug)]
pub struct Balancer {
    policy: Policy,
    targets: Box<[Target]>,
}

#[derive(Debug)]
enum Policy {
    LeastRequest(random::Draw),
    RoundRobin(round_robin::Schedule),
    Random(random::Draw),
}

impl Balancer {
    /// A balancer over `targets`.
    #[must_use]
    pub fn new(policy: BalancePolicy, targets: Vec<Target>) -> Self {
        let targets = targets.into_boxed_slice();
        let policy = match policy {
            BalancePolicy::LeastRequest => Policy::LeastRequest(random::Draw::new(&targets)),
            BalancePolicy::RoundRobin => Policy::RoundRobin(round_robin::Schedule::new(&targets)),
            BalancePolicy::Random => Policy::Random(random::Draw::new(&targets)),
        };
        Self { policy, targets }
    }

    /// All targets.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The endpoint for the next request, none of `tried`. `None` if there is
    /// no other.
    #[must_use]
    pub fn pick(&self, memory: &Memory, tried: &[EndpointId]) -> Option<&Arc<Endpoint>> {
        let first = match &*self.targets {
            [] => return None,
            [only] => only,
            targets => match &self.policy {
                Policy::LeastRequest(draw) => least_request::pick(targets, draw),
                Policy::RoundRobin(schedule) => {
                    let first = tried.is_empty();
                    schedule.pick(targets, if first { &memory.turn } else { &memory.retry_turn })
                }
                Policy::Random(draw) => draw.pick(targets),
            },
        };
        if !tried.contains(&first.endpoint.id) {
            return Some(&first.endpoint);
        }
        self.pick_other(tried)
    }

    /// A retry is rare, so one that draws a tried endpoint again just takes
    /// the least loaded of the rest.
    #[cold]
    fn pick_other(&self, tried: &[EndpointId]) -> Option<&Arc<Endpoint>> {
        let others = self.targets.iter().filter(|target| !tried.contains(&target.endpoint.id));
        others.min_by(|a, b| least_request::compare(a, b)).map(|target| &target.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::model::InFlight;

    pub(super) fn targets(weights: &[u16]) -> Vec<Target> {
        let target = |(index, weight): (usize, &u16)| {
            let key = format!("orders/{index}").parse().expect("a key");
            let address = "127.0.0.1:80".parse().expect("an address");
            let endpoint =
                Arc::new(Endpoint::new(key, 1, address, crate::model::Provenance::Registered));
            Target { endpoint, weight: *weight }
        };
        weights.iter().enumerate().map(target).collect()
    }

    fn shares(policy: BalancePolicy, weights: &[u16], picks: u32) -> Vec<f64> {
        let balancer = Balancer::new(policy, targets(weights));
        let memory = Memory::default();
        let mut counts: HashMap<EndpointId, u32> = HashMap::new();
        for _ in 0..picks {
            let endpoint = balancer.pick(&memory, &[]).expect("has targets");
            *counts.entry(endpoint.id).or_default() += 1;
        }
        let count = |target: &Target| counts.get(&target.endpoint.id).copied().unwrap_or(0);
        balancer.targets().iter().map(|t| f64::from(count(t)) / f64::from(picks)).collect()
    }

    #[test]
    fn every_policy_follows_the_weights() {
        use BalancePolicy::{LeastRequest, Random, RoundRobin};
        for policy in [LeastRequest, RoundRobin, Random] {
            for (weights, expected) in [
                (&[100, 100, 100, 100][..], &[0.25, 0.25, 0.25, 0.25][..]),
                (&[100, 300], &[0.25, 0.75]),
                (&[1000, 1], &[0.999, 0.001]),
            ] {
                for (share, expected) in shares(policy, weights, 40_000).iter().zip(expected) {
                    assert!((share - expected).abs() < 0.015, "{policy:?} {weights:?} {share}");
                }
            }
        }
    }

    #[test]
    fn nothing_to_pick_is_said() {
        let balancer = Balancer::new(BalancePolicy::LeastRequest, Vec::new());
        assert!(balancer.pick(&Memory::default(), &[]).is_none());
    }

    #[test]
    fn what_was_tried_is_not_picked_again() {
        use BalancePolicy::{LeastRequest, Random, RoundRobin};
        for policy in [LeastRequest, RoundRobin, Random] {
            let balancer = Balancer::new(policy, targets(&[100, 100, 100]));
            let memory = Memory::default();
            let ids: Vec<_> = balancer.targets().iter().map(|t| t.endpoint.id).collect();
            for _ in 0..100 {
                assert_eq!(balancer.pick(&memory, &ids[..2]).map(|e| e.id), Some(ids[2]));
            }
            assert!(balancer.pick(&memory, &ids).is_none());
        }
    }

    #[test]
    fn retries_do_not_take_the_turns_of_first_tries() {
        let balancer = Balancer::new(BalancePolicy::RoundRobin, targets(&[100, 100]));
        let memory = Memory::default();
        let failing = balancer.targets()[0].endpoint.id;
        let met = (0..100).filter(|_| {
            let first = balancer.pick(&memory, &[]).expect("has targets").id;
            if first == failing {
                assert!(balancer.pick(&memory, &[first]).is_some_and(|other| other.id != first));
            }
            first == failing
        });
        assert_eq!(met.count(), 50);
    }

    #[test]
    fn least_request_avoids_the_busy() {
        let balancer = Balancer::new(BalancePolicy::LeastRequest, targets(&[100, 100]));
        let memory = Memory::default();
        let busy = &balancer.targets()[0].endpoint;
        let _guards: Vec<_> = (0..10).map(|_| InFlight::begin(busy)).collect();
        for _ in 0..100 {
            let picked = balancer.pick(&memory, &[]).expect("has targets");
            assert_ne!(picked.id, busy.id);
        }
    }
}
