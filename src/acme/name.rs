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

use super::{account, problem::Problem, record, schedule};
use crate::tls::Facts;

/// A certificate, and what it says.
pub(super) type Certificate = (Facts, CertificateDer<'static>);

/// The longest wait, and the most failures, that another proxy is believed:
/// limits of CAs are by the week.
const LONGEST: Duration = Duration::from_secs(8 * 86_400);
const MOST_FAILURES: u32 = 1000;

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

    /// Takes over what another proxy says of the orders that failed: nothing
    /// that would keep this one from ordering for ever.
    pub(super) fn take(&mut self, record: Record, now: SystemTime) {
        let within = |seconds| time(seconds).min(now + LONGEST);
        self.failures = record.failures.clamp(1, MOST_FAILURES);
        self.next = within(record.next);
        self.limited = record.limited.map(within);
        self.error = Some(record::words(&record.error));
    }

    /// What failed does not count any more.
    pub(super) fn forgive(&mut self, now: SystemTime) {
        (self.failures, self.error, self.limited) = (0, None, None);
        self.next = self.holds.map_or(now, |(from, to)| schedule::by_age(from, to));
    }

    /// What is kept of it, if its last order failed.
    pub(super) fn record(&self) -> Option<Record> {
        (self.failures > 0).then(|| Record {
            failures: self.failures,
            next: seconds(self.next),
            error: self.error.clone().unwrap_or_default(),
            limited: self.limited.map(seconds),
        })
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
        let failing = names.iter().filter_map(|(name, known)| Some((name, known.record()?)));
        let records: BTreeMap<_, _> = failing.collect();
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

    #[test]
    fn what_another_says_of_failures_is_believed_within_bounds() {
        let now = SystemTime::now();
        let mut name = Name::new(None, None, now);
        let far = Record { failures: 0, next: u64::MAX, error: "x".repeat(9000), limited: Some(9) };
        name.take(far, now);
        assert_eq!((name.failures, name.next), (1, now + LONGEST));
        assert!(name.error.as_ref().is_some_and(|error| error.len() < 1000));
        assert!(name.record().is_some_and(|record| record.limited == Some(9)));
        name.forgive(now);
        assert!(name.next == now && name.failures == 0 && name.record().is_none());
    }
}
