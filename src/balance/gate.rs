//! How many requests a service gets at once, over all workers.
//!
//! Without a limit a gate costs one load. With one it is a semaphore and a
//! bounded queue, first come first served, whatever worker the requests are
//! on. The limit can be changed while requests are inside.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::queue::{Place, Queue};

/// Why a gate did not let a request in at once.
#[derive(Debug)]
pub enum GateRefusal {
    /// The service is at its limit; here is a place in its queue.
    Wait(GateQueue),
    /// The queue is full too.
    Full,
}

/// A place in the queue of a gate.
#[derive(Debug)]
pub struct GateQueue {
    gate: Arc<Gate>,
    _place: Place,
}

impl GateQueue {
    /// Waits for room. The place in the queue is given up with it.
    pub async fn wait(self) -> Option<Permit> {
        let permit = Arc::clone(&self.gate.permits).acquire_owned().await.ok()?;
        Some(Permit { gate: Arc::clone(&self.gate), permit: Some(permit) })
    }
}

/// Lets a bounded number of requests in at once.
#[derive(Debug)]
pub struct Gate {
    /// 0 means no limit.
    limit: AtomicU32,
    queue: Arc<Queue>,
    /// Permits that are still out and must not come back, after the limit was
    /// lowered below what was inside.
    owed: AtomicUsize,
    permits: Arc<Semaphore>,
}

/// Room for one request, until dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    /// A gate for `limit` requests at once, with `queue` places to wait.
    #[must_use]
    pub fn new(limit: Option<NonZeroU32>, queue: u32) -> Self {
        let limit = limit.map_or(0, NonZeroU32::get);
        Self {
            limit: AtomicU32::new(limit),
            queue: Arc::new(Queue::new(queue)),
            owed: AtomicUsize::new(0),
            permits: Arc::new(Semaphore::new(limit as usize)),
        }
    }

    /// Changes the limit and the queue. Requests that came in without a limit
    /// are not counted against a new one. Called by the reconciler alone.
    pub fn configure(&self, limit: Option<NonZeroU32>, queue: u32) {
        self.queue.configure(queue);
        let limit = limit.map_or(0, NonZeroU32::get);
        let old = self.limit.swap(limit, Ordering::Relaxed) as usize;
        let new = limit as usize;
        if new >= old {
            let forgiven = self.forgive(new - old);
            self.permits.add_permits(new - old - forgiven);
        } else {
            let taken = self.permits.forget_permits(old - new);
            self.owed.fetch_add(old - new - taken, Ordering::Relaxed);
            if limit == 0 {
                // Nobody counts any more: let all who wait in, and do not
                // count them once they come out.
                let waiting = self.queue.waiting() as usize;
                self.owed.fetch_add(waiting, Ordering::Relaxed);
                self.permits.add_permits(waiting);
            }
        }
    }

    fn forgive(&self, most: usize) -> usize {
        let mut forgiven = 0;
        let _ = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| {
            forgiven = owed.min(most);
            Some(owed - forgiven)
        });
        forgiven
    }

    /// Lets a request in at once if there is room.
    ///
    /// # Errors
    ///
    /// Says whether waiting makes sense.
    pub fn try_enter(self: &Arc<Self>) -> Result<Option<Permit>, GateRefusal> {
        if self.limit.load(Ordering::Relaxed) == 0 {
            return Ok(None);
        }
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(Some(Permit { gate: Arc::clone(self), permit: Some(permit) }));
        }
        let gate = Arc::clone(self);
        let wait = |place| GateRefusal::Wait(GateQueue { gate, _place: place });
        Err(self.queue.join().map_or(GateRefusal::Full, wait))
    }

    /// Requests that wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.queue.waiting()
    }
}

impl Permit {
    /// Whether it is room behind `gate`.
    #[must_use]
    pub fn is_of(&self, gate: &Arc<Gate>) -> bool {
        Arc::ptr_eq(&self.gate, gate)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.gate.forgive(1) == 1
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(limit: u32, queue: u32) -> Arc<Gate> {
        Arc::new(Gate::new(NonZeroU32::new(limit), queue))
    }

    fn queue(gate: &Arc<Gate>) -> GateQueue {
        match gate.try_enter() {
            Err(GateRefusal::Wait(place)) => place,
            other => panic!("{other:?}"),
        }
    }

    fn enter(gate: &Arc<Gate>) -> Permit {
        gate.try_enter().expect("has room").expect("has a limit")
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        assert!(matches!(gate(0, 0).try_enter(), Ok(None)));
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_served_in_turn() {
        let gate = gate(1, 1);
        let first = enter(&gate);
        drop(queue(&gate));
        assert_eq!(gate.waiting(), 0, "who gave up is not in it");
        let place = queue(&gate);
        let waiter = tokio::spawn(async move { place.wait().await.is_some() });
        assert!(matches!(gate.try_enter(), Err(GateRefusal::Full)));
        drop(first);
        assert!(waiter.await.expect("no panic"));
        assert_eq!(gate.waiting(), 0);
    }

    #[test]
    fn a_lowered_limit_is_reached_as_requests_end() {
        let gate = gate(3, 0);
        let inside: Vec<_> = (0..3).map(|_| enter(&gate)).collect();
        gate.configure(NonZeroU32::new(1), 0);
        let mut inside = inside.into_iter();
        drop(inside.next());
        drop(inside.next());
        assert!(gate.try_enter().is_err());
        drop(inside.next());
        let _last = enter(&gate);
        assert!(gate.try_enter().is_err());
        gate.configure(NonZeroU32::new(2), 0);
        let _second = enter(&gate);
        assert!(gate.try_enter().is_err());
    }

    #[tokio::test]
    async fn a_limit_that_was_off_for_a_while_holds_again() {
        let gate = gate(2, 5);
        let mut inside = vec![enter(&gate), enter(&gate)];
        let waiters: Vec<_> = (0..5)
            .map(|_| {
                let place = queue(&gate);
                tokio::spawn(async move { place.wait().await.expect("never closed") })
            })
            .collect();
        gate.configure(None, 0);
        for waiter in waiters {
            inside.push(waiter.await.expect("no panic"));
        }
        gate.configure(NonZeroU32::new(2), 0);
        drop(inside);
        let _both = (enter(&gate), enter(&gate));
        assert!(gate.try_enter().is_err());
    }

    #[test]
    fn raising_a_limit_forgives_what_is_owed() {
        let gate = gate(2, 0);
        let inside = (enter(&gate), enter(&gate));
        gate.configure(NonZeroU32::new(1), 0);
        gate.configure(NonZeroU32::new(2), 0);
        assert!(gate.try_enter().is_err());
        drop(inside);
        let _both = (enter(&gate), enter(&gate));
        assert!(gate.try_enter().is_err());
    }
}
