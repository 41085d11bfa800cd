//! How long a connection may be idle and still be used.
//!
//! A request that is sent while the other side closes is lost, and one that is
//! not safe cannot be sent again. So the time after which an endpoint closes
//! is learned, from what it says (`Keep-Alive: timeout=5`) and from what it
//! does, and a connection is given up a little before. Pure.

use std::time::{Duration, Instant};

use http::HeaderValue;

/// How long a connection is kept in any case.
const LONGEST: Duration = Duration::from_secs(60);

/// Nobody waits for less before closing an idle connection: what ends sooner
/// has another cause, a restart for one, and teaches nothing.
const SHORTEST_SEEN: Duration = Duration::from_secs(1);

/// After this long without another end that was too early, what was learned
/// from one counts for twice as much: it may have been a restart.
const DOUBLES_AFTER: Duration = Duration::from_secs(300);

/// What was learned of an endpoint.
#[derive(Debug, Default)]
pub(super) struct KeepAlive {
    /// How long a connection that ended could have been used, and when it
    /// ended.
    seen: Option<(Duration, Instant)>,
}

impl KeepAlive {
    /// How long a connection may be idle and still be used; `announced` is
    /// what the endpoint said over it.
    pub(super) fn limit(&self, announced: Option<Duration>, now: Instant) -> Duration {
        let seen = self.seen.map_or(LONGEST, |(limit, at)| {
            let doubled = now.saturating_duration_since(at).as_secs() / DOUBLES_AFTER.as_secs();
            limit.saturating_mul(1 << doubled.min(16))
        });
        announced.map_or(LONGEST, trusted).min(seen).min(LONGEST)
    }

    /// Learns from a connection that was idle for `idle` when the other side
    /// ended it.
    pub(super) fn ended(&mut self, idle: Duration, now: Instant) {
        if idle >= SHORTEST_SEEN && trusted(idle) < self.limit(None, now) {
            self.seen = Some((trusted(idle), now));
        }
    }

    /// Whether there is anything to forget.
    pub(super) fn has_learned(&self, now: Instant) -> bool {
        self.limit(None, now) < LONGEST
    }
}

/// What is left of `timeout` when both ways are taken off, and the time that
/// either side may take to notice.
fn trusted(timeout: Duration) -> Duration {
    timeout - (timeout / 4).min(Duration::from_secs(1))
}

/// The time in a `Keep-Alive` field (RFC 2068 section 19.7.1.1).
pub(super) fn announced(field: &HeaderValue) -> Option<Duration> {
    field.as_bytes().split(|byte| *byte == b',').find_map(|parameter| {
        let (name, value) = parameter.trim_ascii().split_at_checked(b"timeout=".len())?;
        let seconds: u32 = str::from_utf8(value).ok()?.trim().parse().ok()?;
        name.eq_ignore_ascii_case(b"timeout=").then(|| Duration::from_secs(seconds.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn what_an_endpoint_says_is_read() {
        for (field, expected) in [
            ("timeout=5", Some(5)),
            ("timeout=5, max=100", Some(5)),
            ("max=100, timeout=15", Some(15)),
            ("max=100,Timeout=15 ", Some(15)),
            ("timeout=0", Some(0)),
            ("timeout=-1", None),
            ("timeout=soon", None),
            ("timeout", None),
            ("max=100", None),
            ("", None),
        ] {
            let read = announced(&HeaderValue::from_static(field));
            assert_eq!(read, expected.map(seconds), "{field:?}");
        }
    }

    #[test]
    fn a_little_is_taken_off_of_what_it_says() {
        let (nothing, now) = (KeepAlive::default(), Instant::now());
        for (announced, limit) in [
            (None, LONGEST),
            (Some(seconds(0)), Duration::ZERO),
            (Some(seconds(1)), Duration::from_millis(750)),
            (Some(seconds(5)), seconds(4)),
            (Some(seconds(30)), seconds(29)),
            (Some(seconds(3600)), LONGEST),
            (Some(seconds(u32::MAX.into())), LONGEST),
        ] {
            assert_eq!(nothing.limit(announced, now), limit, "{announced:?}");
        }
    }

    #[test]
    fn an_end_that_was_too_early_is_learned_from() {
        let (mut learned, now) = (KeepAlive::default(), Instant::now());
        learned.ended(seconds(10), now);
        assert_eq!(learned.limit(None, now), seconds(9));
        // The earliest counts.
        learned.ended(seconds(30), now);
        assert_eq!(learned.limit(None, now), seconds(9));
        learned.ended(seconds(5), now);
        assert_eq!(learned.limit(None, now), seconds(4));
        assert_eq!(learned.limit(Some(seconds(2)), now), Duration::from_millis(1500));
        assert!(learned.has_learned(now));
    }

    #[test]
    fn what_ends_at_once_teaches_nothing() {
        let (mut learned, now) = (KeepAlive::default(), Instant::now());
        learned.ended(Duration::from_millis(999), now);
        assert!(!learned.has_learned(now));
    }

    #[test]
    fn what_was_learned_is_forgotten_slowly() {
        let (mut learned, start) = (KeepAlive::default(), Instant::now());
        learned.ended(seconds(5), start);
        assert_eq!(learned.limit(None, start + seconds(299)), seconds(4));
        assert_eq!(learned.limit(None, start + seconds(300)), seconds(8));
        assert_eq!(learned.limit(None, start + seconds(900)), seconds(32));
        assert!(!learned.has_learned(start + seconds(1200)));
        // And learned again as soon as it shows.
        learned.ended(seconds(5), start + seconds(301));
        assert_eq!(learned.limit(None, start + seconds(302)), seconds(4));
    }
}
