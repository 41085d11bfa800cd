//! How much one instance may carry, and what none of it may be. Pure.
//!
//! The one table of these rules: the registry holds to it before anything is
//! queued, and the admin API before that, to name the place in the body.
//! Restored instances are not held to it: a limit that was lowered must not
//! keep the proxy from starting.

use std::{ops::RangeInclusive, time::Duration};

use crate::model::{HumanDuration, Instance};

/// Tags of one instance, and pairs of metadata.
const ENTRIES: usize = 64;

/// Bytes of a tag, a zone, a version or a metadata key.
const WORD: usize = 128;

/// Bytes of a metadata value or a list of statuses.
const TEXT: usize = 512;

/// Bytes of a probe path, a probe host or an expected body.
const PROBE_TEXT: usize = 1024;

/// Bytes of what a client said in the language of another registry.
const RECORD: usize = 32 * 1024;

const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// How long an instance may be kept that is not well.
const KEEP: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(365 * 86_400);

/// Probes of all services share slots and a rate: one registrant must not be
/// able to take them all.
const PROBE_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);
const PROBE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(10);

/// What an instance must not be registered with, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {fault}")]
pub struct Unfit {
    /// The place in the registration, as a JSON pointer (RFC 6901).
    pub at: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a part of a registration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// More pairs or words than an instance may carry.
    #[error("at most {limit} entries, these are {found}")]
    TooMany {
        /// The most allowed.
        limit: usize,
        /// How many were given.
        found: usize,
    },
    /// A text that is longer than an instance may carry.
    #[error("at most {limit} bytes, these are {found}")]
    TooLong {
        /// The most bytes allowed.
        limit: usize,
        /// How many were given.
        found: usize,
    },
    /// A text that could break a log line or the head of a probe.
    #[error("control characters are not allowed")]
    Control,
    /// A time that is too short to keep or too long to mean anything.
    #[error(
        "between {} and {}, this is {}",
        humantime::format_duration(*.least),
        humantime::format_duration(*.most),
        humantime::format_duration(*.found)
    )]
    OutOfRange {
        /// The shortest allowed.
        least: Duration,
        /// The longest allowed.
        most: Duration,
        /// What was given.
        found: Duration,
    },
}

/// Checks everything about how much `instance` carries that its types do not.
///
/// # Errors
///
/// The first thing that it must not be registered with.
pub fn check(instance: &Instance) -> Result<(), Unfit> {
    plain(|| "/zone".to_owned(), instance.zone.as_deref(), WORD)?;
    plain(|| "/version".to_owned(), instance.version.as_deref(), WORD)?;
    entries("/tags", instance.tags.len())?;
    for (index, tag) in instance.tags.iter().enumerate() {
        plain(|| format!("/tags/{index}"), Some(tag), WORD)?;
    }
    entries("/metadata", instance.metadata.len())?;
    for (key, value) in &instance.metadata {
        let at = || format!("/metadata/{}", key.replace('~', "~0").replace('/', "~1"));
        plain(at, Some(key), WORD)?;
        plain(at, Some(value), TEXT)?;
    }
    let health = &instance.health;
    plain(|| "/health/path".to_owned(), health.path.as_deref(), PROBE_TEXT)?;
    plain(|| "/health/host".to_owned(), health.host.as_deref(), PROBE_TEXT)?;
    // It is looked for in a body, where lines end.
    let expected = health.expect_body.as_deref();
    length(|| "/health/expect_body".to_owned(), expected, PROBE_TEXT)?;
    let statuses = health.expect_status.as_ref().map(ToString::to_string);
    length(|| "/health/expect_status".to_owned(), statuses.as_deref(), TEXT)?;
    within("/health/interval", &PROBE_INTERVAL, health.interval)?;
    within("/health/timeout", &PROBE_TIMEOUT, health.timeout)?;
    within("/ttl", &TTL, instance.ttl)?;
    let keep = instance.foreign.as_ref().and_then(|foreign| foreign.keep);
    within("/foreign/keep", &KEEP, keep)?;
    let record = instance.foreign.as_ref().map(|foreign| foreign.record.to_string());
    length(|| "/foreign/record".to_owned(), record.as_deref(), RECORD)
}

fn entries(at: &str, found: usize) -> Result<(), Unfit> {
    if found > ENTRIES {
        return Err(Unfit { at: at.to_owned(), fault: Fault::TooMany { limit: ENTRIES, found } });
    }
    Ok(())
}

fn plain(at: impl Fn() -> String, text: Option<&str>, limit: usize) -> Result<(), Unfit> {
    length(&at, text, limit)?;
    if text.is_some_and(|text| text.chars().any(char::is_control)) {
        return Err(Unfit { at: at(), fault: Fault::Control });
    }
    Ok(())
}

fn length(at: impl Fn() -> String, text: Option<&str>, limit: usize) -> Result<(), Unfit> {
    let found = text.map_or(0, str::len);
    if found > limit {
        return Err(Unfit { at: at(), fault: Fault::TooLong { limit, found } });
    }
    Ok(())
}

fn within(
    at: &str,
    range: &RangeInclusive<Duration>,
    given: Option<HumanDuration>,
) -> Result<(), Unfit> {
    let Some(found) = given.map(Duration::from).filter(|found| !range.contains(found)) else {
        return Ok(());
    };
    let (least, most) = (*range.start(), *range.end());
    Err(Unfit { at: at.to_owned(), fault: Fault::OutOfRange { least, most, found } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::instance;

    fn refused(edit: impl FnOnce(&mut Instance)) -> (String, Fault) {
        let mut instance = instance("orders/a", "10.0.0.1:80");
        edit(&mut instance);
        let Unfit { at, fault } = check(&instance).expect_err("over the limit");
        (at, fault)
    }

    #[test]
    fn what_is_at_the_limit_passes() {
        let mut full = instance("orders/a", "10.0.0.1:80");
        full.zone = Some("z".repeat(128));
        full.tags = vec!["t".repeat(128); 64];
        full.metadata = (0..64).map(|n| (format!("{n:0>128}"), "v".repeat(512))).collect();
        full.health.path = Some("/".repeat(1024));
        full.health.expect_body = Some("\n".repeat(1024));
        full.ttl = Some(HumanDuration::from_secs(1));
        assert_eq!(check(&full), Ok(()));
        full.ttl = Some(HumanDuration::from_secs(86_400));
        assert_eq!(check(&full), Ok(()));
    }

    #[test]
    fn what_is_over_the_limit_is_named() {
        let long = |at: &str, limit, found| (at.to_owned(), Fault::TooLong { limit, found });
        let many = |at: &str| (at.to_owned(), Fault::TooMany { limit: 64, found: 65 });
        let found = refused(|i| i.version = Some("v".repeat(129)));
        assert_eq!(found, long("/version", 128, 129));
        assert_eq!(refused(|i| i.tags = vec![String::new(); 65]), many("/tags"));
        let found = refused(|i| i.tags = vec![String::new(), "t".repeat(129)]);
        assert_eq!(found, long("/tags/1", 128, 129));
        let found = refused(|i| {
            i.metadata = (0..65).map(|n| (n.to_string(), String::new())).collect();
        });
        assert_eq!(found, many("/metadata"));
        let found = refused(|i| i.metadata = [("a/b".to_owned(), "v".repeat(513))].into());
        assert_eq!(found, long("/metadata/a~1b", 512, 513));
        assert_eq!(found.1.to_string(), "at most 512 bytes, these are 513");
        let found = refused(|i| i.health.expect_body = Some("b".repeat(1025)));
        assert_eq!(found, long("/health/expect_body", 1024, 1025));
    }

    #[test]
    fn nothing_breaks_a_line() {
        let found = refused(|i| i.metadata = [("a".to_owned(), "b\nc".to_owned())].into());
        assert_eq!(found, ("/metadata/a".to_owned(), Fault::Control));
        assert_eq!(refused(|i| i.health.path = Some("/\r\nx: y".to_owned())).1, Fault::Control);
    }

    #[test]
    fn a_ttl_is_neither_tiny_nor_endless() {
        for bad in [0, 999, 86_400_001] {
            let (at, fault) = refused(|i| i.ttl = Some(HumanDuration::from_millis(bad)));
            assert_eq!(at, "/ttl");
            assert!(matches!(fault, Fault::OutOfRange { .. }), "{bad}");
        }
    }
}
