//! A circuit breaker: a service that fails most of its requests is given a
//! rest, then a few requests try it out, then it is either well or rests again.
//!
//! Lock-free and shared by all workers. One word holds the phase with its
//! counts, so that exactly so many trials get through whatever worker they are
//! on; a ring of words holds what happened within the window. A request holds
//! a [`Pass`] until it is known how it went; a trial that is given up for other
//! reasons gives its place to the next one.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use crate::model::BreakerPolicy;

/// Parts that the window is looked at in.
const PARTS: u64 = 10;

/// The breaker of one service.
#[derive(Debug)]
pub struct Breaker {
    start: Instant,
    state: AtomicU64,
    window: [AtomicU64; PARTS as usize],
    opened: AtomicU64,
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Requests go through.
    Closed,
    /// No request does, for this much longer.
    Open(Duration),
    /// A few do, to try.
    HalfOpen,
}

impl Circuit {
    /// The word used in the API and the events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open(_) => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The state word: two bits of phase, fourteen that count the openings (what a
/// request brings back from an earlier round is ignored), and 48 for the time
/// to open until, or twice 24 for the trials under way and the good ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { round: u16 },
    Open { round: u16, until: u64 },
    Half { round: u16, begun: u32, good: u32 },
}

const ROUNDS: u16 = (1 << 14) - 1;
const LOW: u64 = (1 << 24) - 1;

impl State {
    fn pack(self) -> u64 {
        let word = |phase: u64, round: u16, rest: u64| phase << 62 | u64::from(round) << 48 | rest;
        match self {
            Self::Closed { round } => word(0, round, 0),
            Self::Open { round, until } => word(1, round, until & ((1 << 48) - 1)),
            Self::Half { round, begun, good } => {
                word(2, round, u64::from(begun) << 24 | u64::from(good))
            }
        }
    }

    fn unpack(word: u64) -> Self {
        let part = |shift: u32, mask: u64| u32::try_from(word >> shift & mask).unwrap_or(0);
        let round = u16::try_from(word >> 48 & u64::from(ROUNDS)).unwrap_or(0);
        match word >> 62 {
            0 => Self::Closed { round },
            1 => Self::Open { round, until: word & ((1 << 48) - 1) },
            _ => Self::Half { round, begun: part(24, LOW), good: part(0, LOW) },
        }
    }
}

/// One part of the window: which one (20 bits), failures and requests (22
/// each).
#[derive(Clone, Copy, Debug)]
struct Part {
    epoch: u64,
    failed: u64,
    ended: u64,
}

const COUNT: u64 = (1 << 22) - 1;
const EPOCHS: u64 = (1 << 20) - 1;

impl Part {
    const fn pack(self) -> u64 {
        self.epoch << 44 | self.failed << 22 | self.ended
    }

    const fn unpack(word: u64) -> Self {
        Self { epoch: word >> 44, failed: word >> 22 & COUNT, ended: word & COUNT }
    }
}

/// Leave to send one request.
#[derive(Debug)]
pub struct Pass {
    breaker: Arc<Breaker>,
    policy: BreakerPolicy,
    round: u16,
    trial: bool,
    told: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            state: AtomicU64::new(0),
            window: Default::default(),
            opened: AtomicU64::new(0),
        }
    }
}

impl Breaker {
    fn millis(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.start).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX)
    }

    fn state(&self) -> State {
        State::unpack(self.state.load(Acquire))
    }

    /// Moves on from `old`, unless somebody else was faster.
    fn step(&self, old: State, new: State) -> bool {
        self.state.compare_exchange(old.pack(), new.pack(), AcqRel, Acquire).is_ok()
    }

    /// Lets one request through.
    ///
    /// # Errors
    ///
    /// The circuit is open, for this much longer; zero if trials are under way.
    pub fn enter(self: &Arc<Self>, policy: &BreakerPolicy, now: Instant) -> Result<Pass, Duration> {
        let pass = |round, trial| Pass {
            breaker: Arc::clone(self),
            policy: *policy,
            round,
            trial,
            told: false,
        };
        let trials = u32::from(policy.trials);
        loop {
            let state = self.state();
            match state {
                State::Closed { round } => return Ok(pass(round, false)),
                State::Open { round, until } => {
                    let left = until.saturating_sub(self.millis(now));
                    if left > 0 {
                        return Err(Duration::from_millis(left));
                    }
                    if self.step(state, State::Half { round, begun: 1, good: 0 }) {
                        return Ok(pass(round, true));
                    }
                }
                // Fewer trials are asked for since, and these went well.
                State::Half { round, good, .. } if good >= trials => {
                    self.close(state, round);
                }
                State::Half { begun, .. } if begun >= trials => return Err(Duration::ZERO),
                State::Half { round, begun, good } => {
                    if self.step(state, State::Half { round, begun: begun + 1, good }) {
                        return Ok(pass(round, true));
                    }
                }
            }
        }
    }

    fn close(&self, from: State, round: u16) -> bool {
        // Before anybody counts anew: what was before the rest is over.
        for part in &self.window {
            part.store(0, Relaxed);
        }
        self.step(from, State::Closed { round })
    }

    fn open(&self, from: State, round: u16, policy: &BreakerPolicy, now: Instant) -> bool {
        let rest = u64::try_from(policy.open.as_millis()).unwrap_or(u64::MAX >> 20).max(1);
        let until = self.millis(now).saturating_add(rest).min((1 << 48) - 1);
        let round = (round + 1) & ROUNDS;
        let opens = self.step(from, State::Open { round, until });
        if opens {
            self.opened.fetch_add(1, Release);
        }
        opens
    }

    /// Counts one request, and says whether too many have failed by now.
    fn count(&self, policy: &BreakerPolicy, good: bool, now: Instant) -> bool {
        let window = u64::try_from(policy.window.as_millis()).unwrap_or(u64::MAX);
        // Never 0, which is a part that nobody has used.
        let epoch = self.millis(now) / (window / PARTS).max(1) + 1;
        let part = &self.window[usize::try_from(epoch % PARTS).unwrap_or(0)];
        let _ = part.fetch_update(Relaxed, Relaxed, |word| {
            let before = Part::unpack(word);
            let before = match before.epoch == epoch & EPOCHS {
                true => before,
                false => Part { epoch: epoch & EPOCHS, failed: 0, ended: 0 },
            };
            let failed = (before.failed + u64::from(!good)).min(COUNT);
            Some(Part { failed, ended: (before.ended + 1).min(COUNT), ..before }.pack())
        });
        if good {
            return false;
        }
        let recent = self.window.iter().map(|part| Part::unpack(part.load(Relaxed)));
        let recent = recent.filter(|part| part.ended > 0 && (epoch - part.epoch) & EPOCHS < PARTS);
        let (failed, ended) =
            recent.fold((0, 0), |sum, part| (sum.0 + part.failed, sum.1 + part.ended));
        ended >= u64::from(policy.min_requests)
            && failed * 100 >= ended * u64::from(policy.failure_rate)
    }

    fn tell(&self, pass: &Pass, good: bool, now: Instant) {
        if !pass.trial {
            let state = self.state();
            if (state == State::Closed { round: pass.round }) && self.count(&pass.policy, good, now)
            {
                self.open(state, pass.round, &pass.policy, now);
            }
            return;
        }
        loop {
            let state = self.state();
            let State::Half { round, begun, good: before } = state else { return };
            if round != pass.round {
                return;
            }
            let good_by_now = before + 1;
            let done = match good {
                false => self.open(state, round, &pass.policy, now),
                true if good_by_now >= u32::from(pass.policy.trials) => self.close(state, round),
                true => self.step(state, State::Half { round, begun, good: good_by_now }),
            };
            if done {
                return;
            }
        }
    }

    /// Gives the place of a trial of which nothing was learned to the next one.
    fn give_back(&self, round: u16) {
        let _ = self.state.fetch_update(AcqRel, Acquire, |word| match State::unpack(word) {
            State::Half { round: now, begun, good } if now == round => {
                Some(State::Half { round, begun: begun.saturating_sub(1), good }.pack())
            }
            _ => None,
        });
    }

    /// Where it stands.
    #[must_use]
    pub fn circuit(&self, now: Instant) -> Circuit {
        match self.state() {
            State::Closed { .. } => Circuit::Closed,
            State::Open { until, .. } => match until.saturating_sub(self.millis(now)) {
                0 => Circuit::HalfOpen,
                left => Circuit::Open(Duration::from_millis(left)),
            },
            State::Half { .. } => Circuit::HalfOpen,
        }
    }

    /// How often it has opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Acquire)
    }

    /// Closes it, whatever it was: there is to be no breaker any more.
    pub fn reset(&self) {
        let state = self.state();
        if let State::Open { round, .. } | State::Half { round, .. } = state {
            self.close(state, round);
        }
    }
}

impl Pass {
    /// Whether it is leave by `breaker`.
    #[must_use]
    pub fn is_of(&self, breaker: &Arc<Breaker>) -> bool {
        Arc::ptr_eq(&self.breaker, breaker)
    }

    /// Tells how the request went.
    pub fn tell(mut self, good: bool, now: Instant) {
        self.told = true;
        self.breaker.tell(&self, good, now);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.trial && !self.told {
            self.breaker.give_back(self.round);
        }
    }
}

#[cfg(test)]
mod tests;
