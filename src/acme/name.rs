//! What is known of one name, and of it what is kept on disk.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use instant_acme::{CertificateIdentifier, SuggestedWindow};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::{account, problem::Problem, schedule};
use crate::tls::Facts;

/// A certificate, and what it says.
pub(super) type Certificate = (Facts, CertificateDer<'static>);

/// What is known of one name.
pub(super) struct Name {
    /// From when to when its certificate holds; none if there is none.
    pub(super) holds: Option<(SystemTime, SystemTime)>,
    /// By what the CA knows the certificate.
    pub(super) id: Option<CertificateIdentifier<'static>>,
    /// When the next order is due.
    pub(super) next: SystemTime,
    /// When to ask the CA about renewal, if it answers.
    pub(super) ask: Option<SystemTime>,
    pub(super) failures: u32,
    pub(super) error: Option<String>,
    /// Until when the CA does not want to hear of it.
    limited: Option<SystemTime>,
}

/// What is kept of a name whose orders fail. Times are seconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    failures: u32,
    next: u64,
    error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limited: Option<u64>,
}

impl Name {
    pub(super) fn new(
        certificate: Option<Certificate>,
        record: Option<Record>,
        now: SystemTime,
    ) -> Self {
        let id = certificate.as_ref().and_then(|(_, leaf)| {
            CertificateIdentifier::try_from(leaf).ok().map(CertificateIdentifier::into_owned)
        });
        let holds = certificate.map(|(facts, _)| (facts.not_before, facts.not_after));
        let next = holds.map_or(now, |(from, to)| schedule::by_age(from, to));
        let ask = id.is_some().then_some(now);
        let mut name = Self { holds, id, next, ask, failures: 0, error: None, limited: None };
        if let Some(record) = record {
            name.next = time(record.next);
            name.failures = record.failures;
            name.error = Some(record.error);
            name.limited = record.limited.map(time);
        }
        name
    }

    /// Does not wait any longer for the next order, if the last one failed.
    pub(super) fn try_at_once(&mut self, now: SystemTime) {
        if self.failures > 0 {
            self.next = self.limited.unwrap_or(now).max(now);
        }
    }

    pub(super) fn failed(&mut self, problem: &Problem, first: Duration, now: SystemTime) {
        self.failures = self.failures.saturating_add(1);
        let wait = schedule::back_off(first, self.failures);
        // Not all proxies at the same second.
        let wait = wait.mul_f64(1.0 + fastrand::f64() / 10.0);
        self.limited = problem.not_before(now);
        self.next = (now + wait).max(self.limited.unwrap_or(now));
        self.error = Some(problem.to_string());
    }

    /// Takes note of when the CA suggests to renew.
    pub(super) fn suggested(&mut self, window: SuggestedWindow, share: f64) {
        let Some((from, to)) = self.holds else { return };
        // After a failure the waits are those of failures.
        if self.failures == 0 {
            let (start, end) = (window.start.into(), window.end.into());
            // Asked again and again, it stays where it is in the window.
            if self.next < start || self.next > end {
                self.next = schedule::in_window(start, end, share, from, to);
            }
        }
    }
}

impl Record {
    /// What is kept in `folder`, by name. What cannot be read is none.
    pub(super) fn read(folder: &Path) -> BTreeMap<String, Self> {
        let text = fs::read(path(folder)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn write(folder: &Path, names: &BTreeMap<String, Name>) -> Result<(), Problem> {
        let failing = names.iter().filter(|(_, name)| name.failures > 0);
        let record = |name: &Name| Self {
            failures: name.failures,
            next: seconds(name.next),
            error: name.error.clone().unwrap_or_default(),
            limited: name.limited.map(seconds),
        };
        let records: BTreeMap<_, _> = failing.map(|(name, known)| (name, record(known))).collect();
        let text = serde_json::to_vec_pretty(&records).map_err(instant_acme::Error::from)?;
        account::write(&path(folder), &text)
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("failures.json")
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX)))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_waits_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = SystemTime::now();
        let mut name = Name::new(None, None, now);
        assert_eq!((name.next, name.failures), (now, 0));
        let problem = Problem::NoChallenge("http-01");
        name.failed(&problem, Duration::from_secs(120), now);
        name.failed(&problem, Duration::from_secs(120), now);
        let wait = name.next.duration_since(now).expect("later").as_secs();
        assert!((240..=264).contains(&wait), "{wait}");
        let names = BTreeMap::from([("a.example".to_owned(), name)]);
        Record::write(folder.path(), &names).expect("written");
        let record = Record::read(folder.path()).remove("a.example");
        let mut again = Name::new(None, record, now);
        assert_eq!(again.failures, 2);
        assert!(again.next > now + Duration::from_secs(230));
        again.try_at_once(now);
        assert_eq!(again.next, now);
    }
}
