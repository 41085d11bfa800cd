//! Who has to come back until when.
//!
//! Every registered instance has an entry here, those without a TTL too, so
//! that a heartbeat finds everything it needs without the store. Pure: the
//! time comes in as an argument, and what happened goes out as a value.
//!
//! A heartbeat only writes down the new deadline. The queue holds at most one
//! slot for an entry, never later than the entry is due; when a slot comes up
//! early, it is moved to where the entry has gone meanwhile. So a heartbeat is
//! O(1), expiry O(log n), and nothing stale piles up.

mod inherited;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::{Caller, Registration, RegistryError, Renewed, awake::AwakeClock};
use crate::model::InstanceKey;

pub use inherited::{InheritedLease, LeaseStanding};

/// When to try again to forget what the store did not let go.
const FORGET_AGAIN: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No TTL.
    Endless,
    Live {
        until: Instant,
    },
    /// Waits for `forget_after` to pass, or for a heartbeat.
    Expired {
        until: Instant,
    },
    /// The writer is about to remove it: too late for a heartbeat.
    Leaving,
}

#[derive(Debug)]
struct Lease {
    generation: u64,
    owner: Option<String>,
    draining: bool,
    ttl: Option<Duration>,
    /// From its expiry until it is forgotten.
    forget_after: Duration,
    /// Whether a heartbeat has come since the registration or restart.
    renewed: bool,
    phase: Phase,
    slot: Option<(Instant, u64)>,
}

impl Lease {
    /// Whether its last [`Due::Forget`] still holds: a lease that was revived
    /// since, even if it expired again, waits for something.
    fn is_given_up(&self) -> bool {
        matches!(self.phase, Phase::Expired { .. }) && self.slot.is_none()
    }
}

/// What came due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Expired { key: InstanceKey, generation: u64 },
    Forget { key: InstanceKey, generation: u64 },
}

/// All leases. Times inside are those of the [`AwakeClock`].
#[derive(Debug)]
pub(super) struct Leases {
    clock: AwakeClock,
    forget_after: Duration,
    entries: HashMap<InstanceKey, Lease>,
    queue: BTreeMap<(Instant, u64), InstanceKey>,
    tickets: u64,
}

impl Leases {
    pub(super) fn new(forget_after: Duration, now: Instant) -> Self {
        Self {
            clock: AwakeClock::new(now),
            forget_after,
            entries: HashMap::new(),
            queue: BTreeMap::new(),
            tickets: 0,
        }
    }

    /// Has leases stand where they stood at `since`, the first time that
    /// anybody relies on them.
    pub(super) fn leave_out(&mut self, since: Instant, now: Instant) {
        self.clock.leave_out(since, now);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Begins or edits the lease of `registration`, with its full TTL. A new
    /// generation has to send its first heartbeat again.
    pub(super) fn put(&mut self, registration: &Registration, now: Instant) {
        let now = self.clock.at(now);
        let key = registration.instance.key();
        let ttl = registration.instance.ttl.map(Duration::from);
        let keep = registration.instance.foreign.as_ref().and_then(|foreign| foreign.keep);
        let before = self.entries.remove(&key);
        let same = before.as_ref().filter(|lease| lease.generation == registration.generation);
        let lease = Lease {
            generation: registration.generation,
            owner: registration.owner.clone(),
            draining: registration.draining,
            ttl,
            forget_after: keep.map_or(self.forget_after, Duration::from),
            // Only from lease to lease, or from none to none: whoever follows
            // the events forgets it where one begins or ends.
            renewed: same.is_some_and(|lease| {
                lease.renewed
                    && match lease.phase {
                        Phase::Endless => ttl.is_none(),
                        Phase::Live { .. } => ttl.is_some(),
                        Phase::Expired { .. } | Phase::Leaving => false,
                    }
            }),
            phase: match ttl {
                Some(ttl) => Phase::Live { until: after(now, ttl) },
                None => Phase::Endless,
            },
            slot: before.and_then(|lease| lease.slot),
        };
        self.entries.insert(key.clone(), lease);
        self.schedule(&key);
    }

    pub(super) fn remove(&mut self, key: &InstanceKey) {
        if let Some(slot) = self.entries.remove(key).and_then(|lease| lease.slot) {
            self.queue.remove(&slot);
        }
    }

    pub(super) fn drain(&mut self, key: &InstanceKey) {
        if let Some(lease) = self.entries.get_mut(key) {
            lease.draining = true;
        }
    }

    /// A heartbeat. The second value is whether it is news: the first one, or
    /// one that revived the lease.
    pub(super) fn renew(
        &mut self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
        now: Instant,
    ) -> Result<(Renewed, bool), RegistryError> {
        let missing = || RegistryError::NotFound { key: key.clone() };
        let lease = self.entries.get_mut(key).ok_or_else(missing)?;
        if !caller.may_touch(lease.owner.as_deref()) {
            return Err(RegistryError::Owned { key: key.clone() });
        }
        if generation.is_some_and(|meant| meant != lease.generation) {
            let generation = lease.generation;
            return Err(RegistryError::Replaced { key: key.clone(), generation });
        }
        if lease.phase == Phase::Leaving {
            return Err(missing());
        }
        let first = !std::mem::replace(&mut lease.renewed, true);
        let renewed =
            Renewed { generation: lease.generation, draining: lease.draining, ttl: lease.ttl };
        Ok((renewed, self.touch(key, now).is_some() || first))
    }

    /// Renews the deadline without counting as a heartbeat. Gives the
    /// generation if that revived an expired lease.
    pub(super) fn touch(&mut self, key: &InstanceKey, now: Instant) -> Option<u64> {
        let now = self.clock.at(now);
        let lease = self.entries.get_mut(key)?;
        let revived = matches!(lease.phase, Phase::Expired { .. }).then_some(lease.generation);
        if let (Phase::Live { .. } | Phase::Expired { .. }, Some(ttl)) = (lease.phase, lease.ttl) {
            lease.phase = Phase::Live { until: after(now, ttl) };
            self.schedule(key);
        }
        revived
    }

    /// Time left; see [`super::Registry::lease_left`].
    pub(super) fn left(&mut self, key: &InstanceKey, now: Instant) -> Option<Option<Duration>> {
        let now = self.clock.at(now);
        Some(match self.entries.get(key)?.phase {
            Phase::Endless => None,
            Phase::Live { until } => Some(until.saturating_duration_since(now)),
            Phase::Expired { .. } | Phase::Leaving => Some(Duration::ZERO),
        })
    }

    /// Takes out what has come due, looking at `limit` slots at most. The
    /// second value is whether there may be more.
    pub(super) fn take_due(&mut self, now: Instant, limit: usize) -> (Vec<Due>, bool) {
        let now = self.clock.at(now);
        let mut due = Vec::new();
        for _ in 0..limit {
            let Some(slot) = self.queue.first_entry().filter(|slot| slot.key().0 <= now) else {
                return (due, false);
            };
            let key = slot.remove();
            let Some(lease) = self.entries.get_mut(&key) else { continue };
            lease.slot = None;
            let generation = lease.generation;
            match lease.phase {
                Phase::Live { until } if until <= now => {
                    lease.phase = Phase::Expired { until: after(now, lease.forget_after) };
                    self.schedule(&key);
                    due.push(Due::Expired { key, generation });
                }
                Phase::Expired { until } if until <= now => {
                    due.push(Due::Forget { key, generation });
                }
                _ => self.schedule(&key),
            }
        }
        (due, true)
    }

    /// How long until something may come due.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Duration> {
        let now = self.clock.at(now);
        self.queue.first_key_value().map(|((at, _), _)| at.saturating_duration_since(now))
    }

    /// Closes an expired lease to heartbeats, because its record is about to
    /// be removed. False if it has come back to life meanwhile.
    pub(super) fn begin_forgetting(&mut self, key: &InstanceKey, generation: u64) -> bool {
        match self.entries.get_mut(key) {
            Some(lease) if lease.generation == generation && lease.is_given_up() => {
                lease.phase = Phase::Leaving;
                true
            }
            _ => false,
        }
    }

    /// Plans another attempt to forget, because the store did not let go.
    pub(super) fn keep(&mut self, key: &InstanceKey, generation: u64, now: Instant) {
        let now = self.clock.at(now);
        if let Some(lease) = self.entries.get_mut(key)
            && lease.generation == generation
            && (lease.phase == Phase::Leaving || lease.is_given_up())
        {
            lease.phase = Phase::Expired { until: after(now, FORGET_AGAIN) };
            self.schedule(key);
        }
    }

    /// Time this process spent stopped since this was last asked.
    pub(super) fn take_stopped(&mut self) -> Duration {
        self.clock.take_stopped()
    }

    /// Keeps the one slot of an entry where it is if it is early enough.
    fn schedule(&mut self, key: &InstanceKey) {
        let Some(lease) = self.entries.get_mut(key) else { return };
        let due = match lease.phase {
            Phase::Live { until } | Phase::Expired { until } => Some(until),
            Phase::Endless | Phase::Leaving => None,
        };
        match (lease.slot, due) {
            (Some((at, _)), Some(due)) if at <= due => return,
            (Some(slot), _) => {
                self.queue.remove(&slot);
                lease.slot = None;
            }
            (None, _) => {}
        }
        if let Some(due) = due {
            self.tickets += 1;
            lease.slot = Some((due, self.tickets));
            self.queue.insert((due, self.tickets), key.clone());
        }
    }
}

/// `forget_after` may be any duration; one that leaves the clock's range is
/// as good as for ever.
fn after(now: Instant, duration: Duration) -> Instant {
    const AGES: Duration = Duration::from_secs(100 * 365 * 86_400);
    now.checked_add(duration.min(AGES)).unwrap_or(now)
}

#[cfg(test)]
mod tests;
