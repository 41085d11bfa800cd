//! Coarse deadlines for the data plane.
//!
//! A timer of the runtime costs at every park of a worker: it has to program
//! the clock. So no request and no connection has one. Each worker keeps its
//! deadlines in a list, and one thread for all workers (the [`Ticker`]) nudges
//! those that have any, twenty times a second, to look through it. Setting a
//! deadline is a store; it fires [`TICK`] to twice that late, and never early.
//!
//! The list belongs to the thread: a [`Deadline`] is used and dropped on the
//! worker that made it.

mod limit;

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use slab::Slab;
use tokio::sync::Notify;

pub use limit::Limit;

/// The resolution of deadlines.
pub const TICK: Duration = Duration::from_millis(50);

const NEVER: u64 = u64::MAX;

thread_local! {
    static DEADLINES: Deadlines = Deadlines::new();
}

struct Deadlines {
    start: Instant,
    /// Milliseconds since `start` at the last tick, or at the first deadline
    /// after a time without any.
    now: Cell<u64>,
    entries: RefCell<Slab<Entry>>,
    pulse: Arc<Pulse>,
}

#[derive(Default)]
struct Pulse {
    wanted: AtomicBool,
    tick: Notify,
}

struct Entry {
    phase: Bound,
    total: Bound,
    /// See [`Deadline::tag`]; 0 is none.
    tag: u64,
    /// See [`expire`].
    expired: bool,
    waker: Option<Waker>,
}

impl Entry {
    /// Why the whole is over, if it is.
    fn over(&self, now: u64) -> Option<Elapsed> {
        (self.total.due <= now).then_some(match self.expired {
            true => Elapsed::Expired,
            false => Elapsed::Total,
        })
    }
}

/// A bound of an entry, in milliseconds since the start.
#[derive(Clone, Copy)]
struct Bound {
    /// When it is over.
    due: u64,
    /// What was taken for now when it was set: up to a tick ago, or longer if
    /// the worker was held up.
    set: u64,
}

impl Bound {
    const NONE: Self = Self { due: NEVER, set: NEVER };
}

impl Deadlines {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            now: Cell::new(0),
            entries: RefCell::new(Slab::new()),
            pulse: Arc::default(),
        }
    }

    fn refresh(&self) {
        let now = self.start.elapsed().as_millis();
        self.now.set(u64::try_from(now).unwrap_or(NEVER - 1));
    }

    /// Makes sure that ticks come, and that `now` is no older than one.
    fn arm(&self) {
        if !self.pulse.wanted.load(Ordering::Relaxed) {
            self.refresh();
            self.pulse.wanted.store(true, Ordering::Relaxed);
        }
    }

    fn bound(&self, after: Duration) -> Bound {
        let millis = u64::try_from((after + TICK).as_millis()).unwrap_or(NEVER);
        let set = self.now.get();
        Bound { due: set.saturating_add(millis), set }
    }

    fn sweep(&self, keep_ticking: impl FnOnce() -> bool) {
        let before = self.now.get();
        self.refresh();
        let now = self.now.get();
        let tick = u64::try_from(TICK.as_millis()).unwrap_or(NEVER);
        let late = now.saturating_sub(before).saturating_sub(tick);
        let mut entries = self.entries.borrow_mut();
        if entries.is_empty() && !keep_ticking() {
            self.pulse.wanted.store(false, Ordering::Relaxed);
            return;
        }
        for (_, entry) in entries.iter_mut() {
            if late > 0 {
                // What was set since the last tick was set later than it
                // seemed.
                for bound in [&mut entry.phase, &mut entry.total] {
                    if bound.set == before {
                        bound.due = bound.due.saturating_add(late);
                    }
                }
            }
            if (entry.phase.due <= now || entry.total.due <= now)
                && let Some(waker) = entry.waker.take()
            {
                waker.wake();
            }
        }
    }
}

/// What of a [`Deadline`] is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elapsed {
    /// The bound of the current phase.
    Phase,
    /// The bound of the whole.
    Total,
    /// None, but what it was tagged with is over; see [`expire`].
    Expired,
}

/// Ends the deadlines of this thread that are tagged with `tag`, whatever they
/// are set to.
pub fn expire(tag: u64) {
    DEADLINES.with(|all| {
        for (_, entry) in all.entries.borrow_mut().iter_mut() {
            if entry.tag == tag {
                entry.expired = true;
                entry.total = Bound { due: 0, set: 0 };
                if let Some(waker) = entry.waker.take() {
                    waker.wake();
                }
            }
        }
    });
}

/// How long the rest of a request may take: from whoever bounds the whole of it
/// to whoever sees its last byte go out, as an extension of the response.
#[derive(Clone, Copy, Debug)]
pub struct Remaining(pub Duration);

/// What is served while something with a tag goes on, see [`Deadline::tag`].
pub trait Tagged {
    /// The tag, if it has one.
    fn tag(&self) -> Option<u64>;
}

/// Two bounds in time that can be moved: one for the phase that something is
/// in, one for the whole of it. Neither is set at first.
pub struct Deadline {
    index: usize,
}

impl Deadline {
    /// A deadline that is not set.
    #[must_use]
    pub fn new() -> Self {
        let (phase, total) = (Bound::NONE, Bound::NONE);
        let entry = Entry { phase, total, tag: 0, expired: false, waker: None };
        Self { index: DEADLINES.with(|all| all.entries.borrow_mut().insert(entry)) }
    }

    /// Lets the current phase end in `after` from now.
    pub fn set(&self, after: Duration) {
        self.edit(|all, entry| entry.phase = all.bound(after));
    }

    /// Lets the current phase go on for ever.
    pub fn clear(&self) {
        self.edit(|_, entry| entry.phase = Bound::NONE);
    }

    /// Lets the whole end in `after` from now.
    pub fn set_total(&self, after: Duration) {
        self.edit(|all, entry| {
            if !entry.expired {
                entry.total = all.bound(after);
            }
        });
    }

    /// Forgets all of it; lets the current phase end in `phase` from now, and the
    /// whole in `total` if that is bounded.
    pub fn restart(&self, phase: Duration, total: Option<Duration>) {
        self.edit(|all, entry| {
            entry.phase = all.bound(phase);
            entry.total = total.map_or(Bound::NONE, |total| all.bound(total));
            (entry.tag, entry.expired) = (0, false);
        });
    }

    /// Lets [`expire`] end this too; a `tag` of 0 is none.
    pub fn tag(&self, tag: u64) {
        self.edit(|_, entry| entry.tag = tag);
    }

    /// Lets the whole go on for ever, whatever it was tagged with.
    pub fn clear_total(&self) {
        self.edit(|_, entry| {
            (entry.total, entry.tag, entry.expired) = (Bound::NONE, 0, false);
        });
    }

    /// Whether [`expire`] has ended it.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        DEADLINES.with(|all| {
            let entries = all.entries.borrow();
            entries.get(self.index).is_some_and(|entry| entry.expired)
        })
    }

    fn edit(&self, edit: impl FnOnce(&Deadlines, &mut Entry)) {
        DEADLINES.with(|all| {
            all.arm();
            if let Some(entry) = all.entries.borrow_mut().get_mut(self.index) {
                edit(all, entry);
            }
        });
    }

    /// Ready once one of the bounds is over.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Elapsed> {
        DEADLINES.with(|all| {
            let mut entries = all.entries.borrow_mut();
            let Some(entry) = entries.get_mut(self.index) else { return Poll::Pending };
            let now = all.now.get();
            if let Some(over) = entry.over(now) {
                return Poll::Ready(over);
            }
            if entry.phase.due <= now {
                return Poll::Ready(Elapsed::Phase);
            }
            match &mut entry.waker {
                Some(waker) => waker.clone_from(context.waker()),
                empty => *empty = Some(context.waker().clone()),
            }
            Poll::Pending
        })
    }

    /// Waits for `future`, but not past either bound.
    ///
    /// # Errors
    ///
    /// Says which bound was over first; `future` is dropped then.
    pub const fn limit<F: Future>(&self, future: F) -> Limit<'_, F> {
        Limit { deadline: self, future }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("index", &self.index).finish()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // At the end of a thread the list may be gone before its last entry.
        let _ = DEADLINES.try_with(|all| all.entries.borrow_mut().try_remove(self.index));
    }
}

/// Nudges the workers that have deadlines. Ends when it is dropped.
#[derive(Debug)]
pub struct Ticker {
    register: mpsc::Sender<Arc<Pulse>>,
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start() -> std::io::Result<Self> {
        let (register, registered) = mpsc::channel::<Arc<Pulse>>();
        thread::Builder::new().name("ticker".to_owned()).spawn(move || {
            let mut pulses = Vec::new();
            loop {
                match registered.recv_timeout(TICK) {
                    Ok(pulse) => pulses.push(pulse),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        for pulse in &pulses {
                            if pulse.wanted.load(Ordering::Relaxed) {
                                pulse.tick.notify_one();
                            }
                        }
                    }
                }
            }
        })?;
        Ok(Self { register })
    }

    /// The handle that a worker passes to [`sweep`].
    #[must_use]
    pub fn handle(&self) -> TickerHandle {
        TickerHandle { register: self.register.clone() }
    }
}

/// A worker's way to its ticks.
#[derive(Clone, Debug)]
pub struct TickerHandle {
    register: mpsc::Sender<Arc<Pulse>>,
}

/// Fires the deadlines of this thread, and calls `housekeeping` about once a
/// second while there are any, or `is_needed` says that it is needed all the
/// same. Runs for ever; each worker has one.
pub async fn sweep(
    ticker: TickerHandle,
    is_needed: impl Fn() -> bool,
    mut housekeeping: impl FnMut(),
) {
    let pulse = DEADLINES.with(|all| Arc::clone(&all.pulse));
    let _ = ticker.register.send(Arc::clone(&pulse));
    drop(ticker);
    let mut ticks = 0_u32;
    loop {
        pulse.tick.notified().await;
        DEADLINES.with(|all| all.sweep(&is_needed));
        ticks += 1;
        if ticks.is_multiple_of(20) {
            housekeeping();
        }
    }
}

#[cfg(test)]
mod tests;
