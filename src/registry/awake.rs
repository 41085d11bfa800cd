//! The clock of the leases: monotonic time without the time in which this
//! process was stopped.
//!
//! While the process is stopped (SIGSTOP, a frozen container, a starved
//! machine) nobody's heartbeat is taken, and it would be wrong to punish
//! everybody for it. So that time does not count: whoever had three seconds
//! left before a stop of an hour has three seconds left after it. Time in
//! which the machine is suspended is left out by the monotonic clock already.
//!
//! Pure: the time comes in as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The lease task looks at the clock at least this often, so that a longer
/// silence is a stop.
pub(super) const BEAT: Duration = Duration::from_millis(500);

/// Lateness that is normal on a busy machine.
const TOLERANCE: Duration = Duration::from_millis(250);

/// How long the process was stopped, if nothing was heard for `silent`
/// although a look at the clock was due after `beat`.
pub(super) fn stopped_for(silent: Duration, beat: Duration) -> Duration {
    if silent > beat + TOLERANCE { silent - beat } else { Duration::ZERO }
}

/// Monotonic time in which this process was running.
#[derive(Debug)]
pub(super) struct AwakeClock {
    seen: Instant,
    stopped: Duration,
    unreported: Duration,
}

impl AwakeClock {
    pub(super) fn new(now: Instant) -> Self {
        Self { seen: now, stopped: Duration::ZERO, unreported: Duration::ZERO }
    }

    /// The time on this clock when it is `now` on the system's.
    pub(super) fn at(&mut self, now: Instant) -> Instant {
        let stopped = stopped_for(now.saturating_duration_since(self.seen), BEAT);
        self.stopped += stopped;
        self.unreported += stopped;
        self.seen = self.seen.max(now);
        now.checked_sub(self.stopped).unwrap_or(now)
    }

    /// Has this clock stand where it stood at `since` when it is `now` on the
    /// system's, the first time that anybody relies on it.
    pub(super) fn leave_out(&mut self, since: Instant, now: Instant) {
        self.stopped = now.saturating_duration_since(since);
        self.unreported = Duration::ZERO;
        self.seen = now;
    }

    /// Time spent stopped since this was last asked.
    pub(super) fn take_stopped(&mut self) -> Duration {
        std::mem::take(&mut self.unreported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_late_is_not_a_stop() {
        let milliseconds = |count| stopped_for(Duration::from_millis(count), BEAT).as_millis();
        assert_eq!(milliseconds(0), 0);
        assert_eq!(milliseconds(500), 0);
        assert_eq!(milliseconds(750), 0);
        assert_eq!(milliseconds(751), 251);
        assert_eq!(milliseconds(60_500), 60_000);
    }

    #[test]
    fn the_clock_stands_still_while_the_process_is_stopped() {
        let start = Instant::now();
        let mut clock = AwakeClock::new(start);
        let mut now = start;
        for _ in 0..10 {
            now += BEAT;
            assert_eq!(clock.at(now), now);
        }
        now += Duration::from_secs(3600) + BEAT;
        assert_eq!(clock.at(now), start + BEAT * 11);
        assert_eq!(clock.take_stopped(), Duration::from_secs(3600));
        assert_eq!(clock.take_stopped(), Duration::ZERO);
        now += BEAT;
        assert_eq!(clock.at(now), start + BEAT * 12);
    }

    #[test]
    fn what_is_left_out_has_not_passed() {
        let start = Instant::now();
        let mut clock = AwakeClock::new(start);
        let begun = start + Duration::from_secs(30);
        clock.at(start + BEAT);
        clock.leave_out(start, begun);
        assert_eq!(clock.at(begun), start);
        assert_eq!(clock.at(begun + BEAT), start + BEAT);
        assert_eq!(clock.take_stopped(), Duration::ZERO);
    }

    #[test]
    fn an_earlier_time_from_another_thread_does_no_harm() {
        let start = Instant::now();
        let mut clock = AwakeClock::new(start);
        clock.at(start + BEAT);
        assert_eq!(clock.at(start), start);
        assert_eq!(clock.at(start + BEAT), start + BEAT);
    }
}
