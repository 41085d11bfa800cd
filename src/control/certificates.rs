//! What is known of the certificates that clients are shown.

use std::{
    sync::{PoisonError, RwLockReadGuard},
    time::SystemTime,
};

use super::{Control, happening::Happening, shared::Shared, view::CertificateView};
use crate::{telemetry::metrics::CertificateScrape, tls::Facts};

/// With fewer days left than this, a certificate needs a person.
const SOON: i64 = 14;

/// Certificates in use, and what was wrong with those that should be.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// Each with the listener that shows it.
    in_use: Vec<(String, Facts)>,
    problems: Vec<String>,
    reloads: (u64, u64),
}

impl Certificates {
    /// Those in use, for metrics: each once.
    pub(super) fn scrape(&self) -> Vec<CertificateScrape> {
        let mut scraped: Vec<CertificateScrape> = Vec::new();
        for (listener, facts) in &self.in_use {
            let file = facts.path.display().to_string();
            let same =
                |other: &CertificateScrape| other.listener == *listener && other.file == file;
            if !scraped.iter().any(same) {
                let (listener, not_after) = (listener.clone(), facts.not_after);
                scraped.push(CertificateScrape { listener, file, not_after });
            }
        }
        scraped
    }

    /// How often changed files were taken over, and refused.
    pub(super) const fn reloads(&self) -> (u64, u64) {
        self.reloads
    }

    pub(super) fn views(&self, now: SystemTime) -> Vec<CertificateView> {
        let view = |(listener, facts): &(String, Facts)| CertificateView {
            listener: listener.clone(),
            file: facts.path.display().to_string(),
            names: facts.names.clone(),
            expires: humantime::format_rfc3339_seconds(facts.not_after).to_string(),
            days_left: facts.days_left(now),
        };
        self.in_use.iter().map(view).collect()
    }

    /// What needs a person.
    pub(super) fn complaints(&self, now: SystemTime) -> Vec<String> {
        let problems = self.problems.iter();
        let mut sentences: Vec<_> =
            problems.map(|why| format!("the certificates before are in use: {why}")).collect();
        for (listener, facts) in &self.in_use {
            let (file, days) = (facts.path.display(), facts.days_left(now));
            if days < 0 {
                sentences.push(format!("{listener}: the certificate {file} has expired"));
            } else if days < SOON {
                let left = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
                sentences.push(format!("{listener}: the certificate {file} expires in {left}"));
            }
        }
        sentences
    }
}

impl Shared {
    pub(super) fn certificates(&self) -> RwLockReadGuard<'_, Certificates> {
        self.certificates.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Takes note of the certificates in use, each with the listener that
    /// shows it.
    pub fn certificates(&self, in_use: Vec<(String, Facts)>) {
        let known = self.shared.certificates.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.in_use = in_use;
        known.problems.clear();
    }

    /// Reads the files again by which TLS is spoken to instances. Answers with
    /// what is wrong with those that stay as they were. Blocks.
    #[must_use]
    pub fn renew_connectors(&self) -> Vec<String> {
        let connectors = self.shared.catalog().connectors.clone();
        connectors.refresh().iter().map(ToString::to_string).collect()
    }

    /// As [`Self::certificates`], after files had changed. Those that cannot
    /// be used are told as `problems`; what was there before is in use then.
    pub fn certificates_changed(&self, in_use: Vec<(String, Facts)>, problems: Vec<String>) {
        let event = if problems.is_empty() {
            let detail = format!("{} in use", in_use.len());
            Happening::general("certificates_reloaded", detail)
        } else {
            for problem in &problems {
                tracing::error!("changed certificates are refused, the old ones stay: {problem}");
            }
            Happening::general("certificates_refused", problems.join("; "))
        };
        {
            let known = self.shared.certificates.write();
            let mut known = known.unwrap_or_else(PoisonError::into_inner);
            known.in_use = in_use;
            let counted =
                if problems.is_empty() { &mut known.reloads.0 } else { &mut known.reloads.1 };
            *counted += 1;
            known.problems = problems;
        }
        self.shared.events.tell(event);
    }
}
