//! Room for the TLS handshakes of one worker: so many under way at once.
//!
//! Whoever stops in the middle of one must not keep others out: where there is
//! no room left, the oldest gives way once it has had its share of time.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// What a handshake has, however many wait: round trips to the other side of
/// the world, with packets lost on their way.
const SHARE: Duration = Duration::from_secs(1);

/// The handshakes under way.
#[derive(Debug)]
pub struct Handshakes {
    most: usize,
    begun: Cell<u64>,
    under_way: RefCell<BTreeMap<u64, UnderWay>>,
    /// Told of each that ends.
    ended: Notify,
}

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    displaced: Rc<Notify>,
}

impl Handshakes {
    /// Room for `most`.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            begun: Cell::new(0),
            under_way: RefCell::new(BTreeMap::new()),
            ended: Notify::const_new(),
        }
    }

    /// Waits until there is room for one more.
    pub(super) async fn enter(&self) -> Place<'_> {
        while let Some(wait) = self.wait() {
            let _ = timeout(wait, self.ended.notified()).await;
        }
        let number = self.begun.get();
        self.begun.set(number + 1);
        let displaced = Rc::new(Notify::new());
        let under_way = UnderWay { since: Instant::now(), displaced: Rc::clone(&displaced) };
        self.under_way.borrow_mut().insert(number, under_way);
        Place { room: self, number, displaced }
    }

    /// How long the oldest has still to itself; none if there is room, which
    /// may be the oldest's.
    fn wait(&self) -> Option<Duration> {
        let mut under_way = self.under_way.borrow_mut();
        if under_way.len() < self.most {
            return None;
        }
        let oldest = under_way.first_entry()?;
        let wait = SHARE.checked_sub(oldest.get().since.elapsed()).filter(|wait| !wait.is_zero());
        if wait.is_none() {
            oldest.remove().displaced.notify_one();
        }
        wait
    }
}

/// The place of one handshake, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    room: &'a Handshakes,
    number: u64,
    displaced: Rc<Notify>,
}

impl Place<'_> {
    /// Waits until somebody else needs it.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.room.under_way.borrow_mut().remove(&self.number).is_some() {
            self.room.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_gives_way_once_it_has_had_its_share() {
        let room = Handshakes::new(2);
        let begun = Instant::now();
        let (first, second) = (room.enter().await, room.enter().await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let third = room.enter().await;
        assert!(begun.elapsed() >= SHARE);
        assert!(first.displaced().now_or_never().is_some());
        assert!(second.displaced().now_or_never().is_none());
        assert!(third.displaced().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_ends_makes_room_at_once() {
        let room = Handshakes::new(1);
        let begun = Instant::now();
        let first = room.enter().await;
        let (second, ()) = tokio::join!(room.enter(), async { drop(first) });
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(second);
        assert!(room.under_way.borrow().is_empty());
    }

    /// Nobody has to give way to those that are not there any more.
    #[tokio::test(start_paused = true)]
    async fn whoever_was_displaced_frees_nothing() {
        let room = Handshakes::new(1);
        let first = room.enter().await;
        let second = room.enter().await;
        drop(first);
        assert_eq!(room.under_way.borrow().len(), 1);
        assert!(second.displaced().now_or_never().is_none());
    }
}
