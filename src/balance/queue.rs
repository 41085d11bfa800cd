//! A bounded number of places to wait, over all workers.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// Places to wait.
#[derive(Debug)]
pub struct Queue {
    places: AtomicU32,
    waiting: AtomicU32,
}

/// One place, until dropped.
#[derive(Debug)]
pub struct Place(Arc<Queue>);

impl Queue {
    /// A queue with `places`.
    #[must_use]
    pub const fn new(places: u32) -> Self {
        Self { places: AtomicU32::new(places), waiting: AtomicU32::new(0) }
    }

    /// Changes how many places there are. Nobody who waits loses theirs.
    pub fn configure(&self, places: u32) {
        self.places.store(places, Relaxed);
    }

    /// Takes a place, if there is one.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> Option<Place> {
        let places = self.places.load(Relaxed);
        let one_more = |waiting| (waiting < places).then_some(waiting + 1);
        self.waiting.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Place(Arc::clone(self)))
    }

    /// Places that are taken.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_than_there_are_places() {
        // One place, so that two threads are enough to contend for it.
        let queue = Arc::new(Queue::new(1));
        let most = std::thread::scope(|scope| {
            let join = || {
                let places = (0..200_000).filter_map(|_| queue.join());
                places.map(|_place| queue.waiting()).max()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(join)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).max()
        });
        assert_eq!(most.flatten(), Some(1));
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn fewer_places_send_nobody_away() {
        let queue = Arc::new(Queue::new(2));
        let (first, _second) = (queue.join(), queue.join());
        queue.configure(1);
        drop(first);
        assert!(queue.join().is_none());
        queue.configure(2);
        assert!(queue.join().is_some());
    }
}
