//! From the instances of a service to what the table holds of it. Pure.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::slow_start;
use crate::{
    balance::{Balancer, Target},
    model::{Endpoint, InstanceState, ServicePolicy, Weight},
    routing::{Service, ServiceState},
};

/// Failures that begin within this time of each other are taken to have one
/// cause.
const TOGETHER: Duration = Duration::from_secs(60);

/// With fewer instances than this a majority means nothing.
const FEWEST_FOR_PANIC: usize = 3;

/// What is known of an instance when it is decided whether it gets requests.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) weight: Weight,
    pub(super) state: InstanceState,
    pub(super) once_passed: bool,
    pub(super) failing_since: Option<Instant>,
    pub(super) refused: bool,
    pub(super) expired: bool,
    pub(super) ejected: bool,
    /// Since when it gets requests, if it does.
    pub(super) serving_since: Option<Instant>,
}

/// What a service wants to be decided by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) panic: bool,
    pub(super) slow_start: Duration,
}

/// The instances that get requests.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) targets: Vec<Target>,
    pub(super) panic: bool,
    /// When their shares are to be worked out anew, if they are.
    pub(super) next_step: Option<Instant>,
}

/// Decides which of `candidates` get requests: those that are healthy and not
/// ejected, and in panic those too that were healthy before. Ejections do not
/// leave a service without anybody.
pub(super) fn compile(candidates: &[Candidate<'_>], rules: Rules, now: Instant) -> Compiled {
    let panic = rules.panic && failing_together(candidates);
    let mut compiled = compile_from(candidates, rules, now, panic, |candidate| !candidate.ejected);
    if compiled.targets.is_empty() {
        compiled = compile_from(candidates, rules, now, panic, |_| true);
    }
    compiled
}

fn compile_from(
    candidates: &[Candidate<'_>],
    rules: Rules,
    now: Instant,
    panic: bool,
    allowed: impl Fn(&Candidate<'_>) -> bool,
) -> Compiled {
    let eligible = |candidate: &&Candidate<'_>| {
        (candidate.state.is_routable() && allowed(candidate))
            || (panic
                && candidate.state == InstanceState::Unhealthy
                && candidate.once_passed
                && !candidate.expired
                && !candidate.refused)
    };
    let eligible: Vec<_> = candidates.iter().filter(eligible).collect();
    let given: Vec<_> = eligible
        .iter()
        .map(|candidate| (candidate.weight.value(), candidate.serving_since.unwrap_or(now)))
        .collect();
    let (weights, next_step) = slow_start::weights(&given, rules.slow_start, now);
    let target = |(candidate, weight): (&&Candidate<'_>, u16)| Target {
        endpoint: Arc::clone(candidate.endpoint),
        weight,
    };
    let targets = eligible.iter().zip(weights).map(target).collect();
    Compiled { targets, panic, next_step }
}

/// Whether more than half of the instances that should be serving have begun
/// to fail at about the same time.
fn failing_together(candidates: &[Candidate<'_>]) -> bool {
    let serving = |candidate: &&Candidate<'_>| {
        candidate.once_passed && !candidate.expired && candidate.state != InstanceState::Draining
    };
    let total = candidates.iter().filter(serving).count();
    if total < FEWEST_FOR_PANIC {
        return false;
    }
    let mut since: Vec<Instant> =
        candidates.iter().filter(serving).filter_map(|candidate| candidate.failing_since).collect();
    since.sort_unstable();
    // The most failures within one window, wherever it begins.
    let mut first = 0;
    let together = since.iter().enumerate().map(|(last, at)| {
        while at.duration_since(since[first]) > TOGETHER {
            first += 1;
        }
        last + 1 - first
    });
    together.max().unwrap_or(0) * 2 > total
}

/// Whether two lists of targets would be picked from alike.
pub(super) fn same_targets(old: &[Target], new: &[Target]) -> bool {
    old.len() == new.len()
        && old
            .iter()
            .zip(new)
            .all(|(old, new)| old.endpoint.id == new.endpoint.id && old.weight == new.weight)
}

/// The service as the table has it.
pub(super) fn service(
    policy: &Arc<ServicePolicy>,
    state: &Arc<ServiceState>,
    compiled: Compiled,
    retry_after: u32,
) -> Service {
    Service {
        policy: Arc::clone(policy),
        balancer: Balancer::new(policy.balance, compiled.targets),
        panic: compiled.panic,
        retry_after,
        state: Arc::clone(state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given {
        endpoint: Arc<Endpoint>,
        state: InstanceState,
        failing_since: Option<Instant>,
        once_passed: bool,
        refused: bool,
        expired: bool,
        ejected: bool,
    }

    fn given(state: InstanceState, failing_since: Option<Instant>) -> Given {
        let key = "orders/a".parse().expect("a key");
        let address = "10.0.0.1:80".parse().expect("an address");
        let endpoint =
            Arc::new(Endpoint::new(key, 1, address, crate::model::Provenance::Registered));
        let once_passed = state != InstanceState::Starting;
        let (refused, expired, ejected) = (false, false, false);
        Given { endpoint, state, failing_since, once_passed, refused, expired, ejected }
    }

    fn outcome(given: &[Given], allowed: bool) -> (usize, bool) {
        let candidates: Vec<_> = given
            .iter()
            .map(|given| Candidate {
                endpoint: &given.endpoint,
                weight: Weight::default(),
                state: given.state,
                once_passed: given.once_passed,
                failing_since: given.failing_since,
                refused: given.refused,
                expired: given.expired,
                ejected: given.ejected,
                serving_since: None,
            })
            .collect();
        let rules = Rules { panic: allowed, slow_start: Duration::ZERO };
        let compiled = compile(&candidates, rules, Instant::now());
        (compiled.targets.len(), compiled.panic)
    }

    #[tokio::test]
    async fn only_healthy_and_suspect_instances_get_requests() {
        use InstanceState as S;
        let all: Vec<_> = S::ALL.into_iter().map(|state| given(state, None)).collect();
        assert_eq!(outcome(&all, true), (2, false));
    }

    #[tokio::test]
    async fn when_most_fail_together_they_keep_their_traffic() {
        use InstanceState as S;
        let now = Instant::now();
        let failing = || given(S::Unhealthy, Some(now));
        let healthy = || given(S::Healthy, None);
        assert_eq!(outcome(&[failing(), failing(), healthy()], true), (3, true));
        assert_eq!(outcome(&[failing(), failing(), healthy()], false), (1, false));
        assert_eq!(outcome(&[failing(), healthy(), healthy()], true), (2, false));
        assert_eq!(outcome(&[failing(), failing()], true), (0, false));
        // One after the other, over hours, is not together.
        let hour = Duration::from_secs(3600);
        let earlier = given(S::Unhealthy, now.checked_sub(hour));
        assert_eq!(outcome(&[earlier, failing(), healthy()], true), (1, false));
    }

    #[tokio::test]
    async fn in_panic_who_never_served_or_refuses_stays_out() {
        use InstanceState as S;
        let now = Instant::now();
        let failing = || given(S::Unhealthy, Some(now));
        let refusing = Given { refused: true, ..failing() };
        let never = given(S::Starting, None);
        let expired = Given { expired: true, ..failing() };
        assert_eq!(outcome(&[failing(), failing(), refusing, never, expired], true), (2, true));
    }

    #[tokio::test]
    async fn who_is_ejected_gets_none_unless_nobody_else_is_left() {
        use InstanceState as S;
        let healthy = || given(S::Healthy, None);
        let ejected = || Given { ejected: true, ..healthy() };
        assert_eq!(outcome(&[ejected(), healthy(), healthy()], true), (2, false));
        assert_eq!(outcome(&[ejected(), given(S::Unhealthy, None)], true), (1, false));
        assert_eq!(outcome(&[ejected(), ejected()], true), (2, false));
        // In panic there is still somebody.
        let failing = || given(S::Unhealthy, Some(Instant::now()));
        assert_eq!(outcome(&[ejected(), failing(), failing()], true), (2, true));
    }
}
