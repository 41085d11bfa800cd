//! Failed authentications, counted by address.
//!
//! The point is to bound the work and the log lines that a guesser costs, not
//! to stop the guessing: a token is 256 random bits. So a good token is taken
//! at any time, or one service with an old token would lock out all others
//! behind the same address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The window that failures are counted in.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Failures within the window that are answered as such.
pub(super) const LIMIT: u32 = 10;

/// Addresses remembered; failures from others count as too many until one of
/// them is forgotten.
const MAX_ADDRESSES: usize = 4096;

/// Failed authentications, counted by address.
#[derive(Debug, Default)]
pub(crate) struct FailedAttempts {
    by_address: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    failures: u32,
}

impl FailedAttempts {
    /// Counts a failure. False once there have been too many from that
    /// address.
    pub(crate) fn count(&self, address: IpAddr, now: Instant) -> bool {
        let mut windows = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |window: &Window| now.saturating_duration_since(window.began) >= WINDOW;
        let network = network(address);
        if windows.len() >= MAX_ADDRESSES && !windows.contains_key(&network) {
            windows.retain(|_, window| !over(window));
            if windows.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let window = windows.entry(network).or_insert(Window { began: now, failures: 0 });
        if over(window) {
            *window = Window { began: now, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
        window.failures <= LIMIT
    }
}

/// One subscriber has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ten_a_minute_count_as_failures_and_the_rest_as_too_many() {
        let attempts = FailedAttempts::default();
        let start = Instant::now();
        for _ in 0..LIMIT {
            assert!(attempts.count(ip("10.0.0.1"), start));
        }
        assert!(!attempts.count(ip("10.0.0.1"), start));
        assert!(!attempts.count(ip("::ffff:10.0.0.1"), start));
        assert!(attempts.count(ip("10.0.0.2"), start));
        assert!(attempts.count(ip("10.0.0.1"), start + WINDOW));
    }

    #[test]
    fn a_whole_network_of_addresses_counts_as_one() {
        let attempts = FailedAttempts::default();
        let start = Instant::now();
        for last in 0..LIMIT {
            assert!(attempts.count(ip(&format!("2001:db8::{last:x}")), start));
        }
        assert!(!attempts.count(ip("2001:db8::ffff"), start));
        assert!(attempts.count(ip("2001:db8:0:1::1"), start));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let attempts = FailedAttempts::default();
        let start = Instant::now();
        for number in 0..u32::try_from(MAX_ADDRESSES).expect("fits") {
            assert!(attempts.count(IpAddr::V4(number.into()), start));
        }
        assert!(!attempts.count(ip("10.0.0.1"), start));
        assert!(attempts.count(ip("10.0.0.1"), start + WINDOW));
        assert_eq!(attempts.by_address.lock().expect("lock").len(), 1);
    }
}
