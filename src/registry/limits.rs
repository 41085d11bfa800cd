//! How much one instance may carry. Pure; checked before anything is queued.
//!
//! Restored instances are not held to these: a limit that was lowered must
//! not keep the proxy from starting.

use std::{ops::RangeInclusive, time::Duration};

use super::RegistryError;
use crate::model::{HumanDuration, Instance};

const METADATA_KEYS: usize = 64;
const METADATA_KEY: usize = 128;
const METADATA_VALUE: usize = 512;
const TAGS: usize = 64;
const TEXT: usize = 128;
const PROBE_TEXT: usize = 1024;
const STATUSES: usize = 512;
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// Probes of all services share slots and a rate: one registrant must not be
/// able to take them all.
const PROBE_INTERVAL: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);
const PROBE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(10);

/// Checks everything about `instance` that its types do not.
pub(super) fn check(instance: &Instance) -> Result<(), RegistryError> {
    let length = |what, text: &str, limit| match text.len() {
        found if found > limit => Err(RegistryError::TooLong { what, limit, found }),
        _ => Ok(()),
    };
    let count = |what, found, limit| {
        if found > limit { Err(RegistryError::TooMany { what, limit, found }) } else { Ok(()) }
    };
    length("zone", instance.zone.as_deref().unwrap_or_default(), TEXT)?;
    length("version", instance.version.as_deref().unwrap_or_default(), TEXT)?;
    count("tags", instance.tags.len(), TAGS)?;
    for tag in &instance.tags {
        length("tag", tag, TEXT)?;
    }
    count("metadata keys", instance.metadata.len(), METADATA_KEYS)?;
    for (key, value) in &instance.metadata {
        length("metadata key", key, METADATA_KEY)?;
        length("metadata value", value, METADATA_VALUE)?;
    }
    let health = &instance.health;
    length("health.path", health.path.as_deref().unwrap_or_default(), PROBE_TEXT)?;
    length("health.host", health.host.as_deref().unwrap_or_default(), PROBE_TEXT)?;
    length("health.expect_body", health.expect_body.as_deref().unwrap_or_default(), PROBE_TEXT)?;
    let statuses = health.expect_status.as_ref().map(ToString::to_string).unwrap_or_default();
    length("health.expect_status", &statuses, STATUSES)?;
    let within = |what, range: RangeInclusive<Duration>, found: Option<HumanDuration>| match found
        .map(Duration::from)
    {
        Some(found) if !range.contains(&found) => {
            let (least, most) = range.into_inner();
            Err(RegistryError::OutOfRange { what, least, most, found })
        }
        _ => Ok(()),
    };
    within("health.interval", PROBE_INTERVAL, health.interval)?;
    within("health.timeout", PROBE_TIMEOUT, health.timeout)?;
    within("ttl", TTL, instance.ttl)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::instance;

    fn refused(edit: impl FnOnce(&mut Instance)) -> RegistryError {
        let mut instance = instance("orders/a", "10.0.0.1:80");
        edit(&mut instance);
        check(&instance).expect_err("over the limit")
    }

    #[test]
    fn what_is_at_the_limit_passes() {
        let mut full = instance("orders/a", "10.0.0.1:80");
        full.zone = Some("z".repeat(128));
        full.tags = vec!["t".repeat(128); 64];
        full.metadata = (0..64).map(|n| (format!("{n:0>128}"), "v".repeat(512))).collect();
        full.ttl = Some(HumanDuration::from_secs(1));
        assert_eq!(check(&full), Ok(()));
        full.ttl = Some(HumanDuration::from_secs(86_400));
        assert_eq!(check(&full), Ok(()));
    }

    #[test]
    fn what_is_over_the_limit_is_named() {
        use RegistryError as E;
        let error = refused(|i| i.version = Some("v".repeat(129)));
        assert_eq!(error, E::TooLong { what: "version", limit: 128, found: 129 });
        let error = refused(|i| i.tags = vec![String::new(); 65]);
        assert_eq!(error, E::TooMany { what: "tags", limit: 64, found: 65 });
        let error = refused(|i| i.tags = vec!["t".repeat(129)]);
        assert_eq!(error, E::TooLong { what: "tag", limit: 128, found: 129 });
        let error = refused(|i| {
            i.metadata = (0..65).map(|n| (n.to_string(), String::new())).collect();
        });
        assert_eq!(error, E::TooMany { what: "metadata keys", limit: 64, found: 65 });
        let error = refused(|i| i.metadata = [("k".repeat(129), String::new())].into());
        assert_eq!(error, E::TooLong { what: "metadata key", limit: 128, found: 129 });
        let error = refused(|i| i.metadata = [("k".to_owned(), "v".repeat(513))].into());
        assert_eq!(error.to_string(), "a metadata value has at most 512 bytes, this one has 513");
        assert!(error.is_callers_fault());
    }

    #[test]
    fn a_ttl_is_neither_tiny_nor_endless() {
        for bad in [0, 999, 86_400_001] {
            let error = refused(|i| i.ttl = Some(HumanDuration::from_millis(bad)));
            assert!(matches!(error, RegistryError::OutOfRange { .. }), "{bad}");
        }
    }
}
