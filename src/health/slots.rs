//! How the probes that may be in flight at once are shared among services.
//!
//! A service whose instances never answer would else hold every slot until its
//! probes time out. With `n` services probing, each may hold one part in `n +
//! 1`, as long as there is another service: however many take all that they
//! may, there is room for one more. Who is due and may not begin is parked, and
//! comes back when a probe of its service ends; so nothing is looked through in
//! search of one that may.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU32,
};

use tokio::time::Instant;

use crate::model::{EndpointId, ServiceName};

/// Which services hold slots, and who of them waits for one.
#[derive(Debug, Default)]
pub(super) struct Slots {
    services: HashMap<ServiceName, Share>,
    /// Services that hold any.
    probing: usize,
}

#[derive(Debug, Default)]
struct Share {
    /// Endpoints that are watched.
    watched: usize,
    held: usize,
    /// By the time they are due.
    parked: BTreeSet<(Instant, EndpointId)>,
}

impl Slots {
    /// Counts in an endpoint of `service`.
    pub(super) fn watch(&mut self, service: &ServiceName) {
        match self.services.get_mut(service) {
            Some(share) => share.watched += 1,
            None => {
                self.services.insert(service.clone(), Share { watched: 1, ..Share::default() });
            }
        }
    }

    /// Counts out an endpoint of `service`, which holds no slot and waits for
    /// none. Those that it names may begin, and do not wait any more: the slot
    /// may have been kept for the one that goes.
    pub(super) fn unwatch(
        &mut self,
        service: &ServiceName,
        all: NonZeroU32,
    ) -> Vec<(Instant, EndpointId)> {
        let Some(share) = self.services.get_mut(service) else { return Vec::new() };
        share.watched -= 1;
        if share.watched == 0 {
            self.services.remove(service);
            return Vec::new();
        }
        self.next(service, all)
    }

    /// How many of `all` slots one service may hold while `probing` do.
    fn most(&self, probing: usize, all: NonZeroU32) -> usize {
        (all.get() as usize / self.services.len().min(probing + 1).max(1)).max(1)
    }

    /// Takes one of `all` slots for `service`, if it may hold one more.
    pub(super) fn take(&mut self, service: &ServiceName, all: NonZeroU32) -> bool {
        let held = self.services.get(service).map_or(0, |share| share.held);
        let probing = self.probing + usize::from(held == 0);
        if held >= self.most(probing, all) {
            return false;
        }
        if let Some(share) = self.services.get_mut(service) {
            share.held += 1;
            self.probing = probing;
        }
        true
    }

    /// Lets `endpoint`, due since `due`, wait for a slot of `service`, which
    /// holds some.
    pub(super) fn park(&mut self, service: &ServiceName, endpoint: EndpointId, due: Instant) {
        if let Some(share) = self.services.get_mut(service) {
            share.parked.insert((due, endpoint));
        }
    }

    /// Takes `endpoint` out of those that wait.
    pub(super) fn unpark(&mut self, service: &ServiceName, endpoint: EndpointId, due: Instant) {
        if let Some(share) = self.services.get_mut(service) {
            share.parked.remove(&(due, endpoint));
        }
    }

    /// Takes a slot back. Those that it names may begin in its place, and do
    /// not wait any more.
    pub(super) fn give_back(
        &mut self,
        service: &ServiceName,
        all: NonZeroU32,
    ) -> Vec<(Instant, EndpointId)> {
        let Some(share) = self.services.get_mut(service).filter(|share| share.held > 0) else {
            return Vec::new();
        };
        share.held -= 1;
        if share.held == 0 {
            self.probing -= 1;
        }
        self.next(service, all)
    }

    /// Takes those of `service` who may begin out of those that wait.
    fn next(&mut self, service: &ServiceName, all: NonZeroU32) -> Vec<(Instant, EndpointId)> {
        let most = self.most(self.probing.max(1), all);
        let Some(share) = self.services.get_mut(service) else { return Vec::new() };
        let room = most.saturating_sub(share.held);
        std::iter::from_fn(|| share.parked.pop_first()).take(room).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::prober::tests::new_id;

    fn name(text: &str) -> ServiceName {
        text.parse().expect("a name")
    }

    fn slots(services: &[&str]) -> Slots {
        let mut slots = Slots::default();
        services.iter().for_each(|service| slots.watch(&name(service)));
        slots
    }

    fn take_all(slots: &mut Slots, service: &str, all: NonZeroU32, most: usize) -> usize {
        (0..most).take_while(|_| slots.take(&name(service), all)).count()
    }

    #[test]
    fn who_is_alone_may_hold_all() {
        let all = NonZeroU32::new(12).expect("not zero");
        let mut slots = slots(&["only", "gone"]);
        slots.unwatch(&name("gone"), all);
        assert_eq!(take_all(&mut slots, "only", all, 100), 12);
    }

    #[test]
    fn however_much_one_takes_there_is_room_for_another() {
        let all = NonZeroU32::new(12).expect("not zero");
        let mut slots = slots(&["greedy", "second", "third", "quiet"]);
        assert_eq!(take_all(&mut slots, "greedy", all, 100), 6);
        assert_eq!(take_all(&mut slots, "second", all, 100), 4);
        assert_eq!(take_all(&mut slots, "third", all, 2), 2, "it is all that is left");
        // What the first one holds too much of it does not get again.
        for _ in 0..3 {
            slots.give_back(&name("greedy"), all);
            assert_eq!(take_all(&mut slots, "greedy", all, 100), 0);
        }
        slots.give_back(&name("greedy"), all);
        assert_eq!(take_all(&mut slots, "greedy", all, 100), 1);
    }

    #[test]
    fn everybody_may_hold_one() {
        let one = NonZeroU32::MIN;
        let mut slots = slots(&["a", "b", "c"]);
        for service in ["a", "b", "c"] {
            assert_eq!(take_all(&mut slots, service, one, 100), 1);
        }
    }

    #[test]
    fn who_is_parked_comes_back_in_the_order_it_was_due() {
        let all = NonZeroU32::new(4).expect("not zero");
        let (mut slots, service) = (slots(&["a", "b"]), name("a"));
        assert_eq!(take_all(&mut slots, "a", all, 9), 2);
        let now = Instant::now();
        let ids: Vec<_> = std::iter::repeat_with(new_id).take(3).collect();
        for (seconds, id) in [3, 1, 2].into_iter().zip(&ids) {
            slots.park(&service, *id, now + std::time::Duration::from_secs(seconds));
        }
        slots.unpark(&service, ids[2], now + std::time::Duration::from_secs(2));
        let due = slots.give_back(&service, all);
        assert_eq!(due.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [ids[1]]);
        let due = slots.give_back(&service, all);
        assert_eq!(due.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [ids[0]]);
        assert_eq!(slots.give_back(&service, all), []);
    }

    #[test]
    fn who_goes_before_it_begins_leaves_its_turn_to_the_next() {
        let one = NonZeroU32::MIN;
        let mut slots = Slots::default();
        let (service, now) = (name("a"), Instant::now());
        for _ in 0..3 {
            slots.watch(&service);
        }
        assert!(slots.take(&service, one));
        let (first, second) = (new_id(), new_id());
        slots.park(&service, first, now);
        slots.park(&service, second, now + std::time::Duration::from_secs(1));
        let due = slots.give_back(&service, one);
        assert_eq!(due.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [first]);
        // It is unwatched before it takes the slot.
        let due = slots.unwatch(&service, one);
        assert_eq!(due.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [second]);
    }
}
