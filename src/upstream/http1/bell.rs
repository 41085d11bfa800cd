//! Notes when something happens on an idle connection.
//!
//! Nobody polls one, and yet it has to be known when the instance ended it:
//! from that is learned for how long one can be used. So what the socket wakes
//! is a note of the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Wake, Waker},
    time::{Duration, Instant},
};

/// Rings when what it was given to as a waker is ready.
#[derive(Debug)]
pub(super) struct Bell {
    start: Instant,
    /// Microseconds from the start, never 0; 0 if it has not rung.
    rung: AtomicU64,
}

impl Bell {
    /// A bell, and the waker that rings it.
    pub(super) fn new() -> (Arc<Self>, Waker) {
        let bell = Arc::new(Self { start: Instant::now(), rung: AtomicU64::new(0) });
        let waker = Waker::from(Arc::clone(&bell));
        (bell, waker)
    }

    /// Whether it has rung.
    pub(super) fn has_rung(&self) -> bool {
        self.rung.load(Ordering::Relaxed) != 0
    }

    /// When it rang first. It has not rung after this.
    pub(super) fn take(&self) -> Option<Instant> {
        let micros = self.rung.swap(0, Ordering::Relaxed);
        (micros != 0).then(|| self.start + Duration::from_micros(micros))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        let _ = self.rung.compare_exchange(0, micros, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ring_counts() {
        let (bell, waker) = Bell::new();
        assert!(!bell.has_rung());
        waker.wake_by_ref();
        let first = bell.rung.load(Ordering::Relaxed);
        waker.wake_by_ref();
        assert_eq!(bell.rung.load(Ordering::Relaxed), first);
        assert!(bell.has_rung() && bell.take().is_some_and(|rung| rung <= Instant::now()));
        assert!(!bell.has_rung() && bell.take().is_none());
    }
}
