//! What is known of the certificates that clients are shown.

use std::{
    sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use super::{
    Control,
    happening::Happening,
    shared::Shared,
    view::{AcmeView, CertificateView},
};
use crate::{
    acme::{News, Standing},
    telemetry::metrics::CertificateScrape,
    tls::Facts,
};

/// With fewer days left than this, a certificate needs a person.
const SOON: i64 = 14;

/// Certificates in use, and what was wrong with those that should be.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    /// Each with the listener that shows it.
    in_use: Vec<(String, Facts)>,
    problems: Vec<String>,
    reloads: (u64, u64),
    /// How things stand with names of which certificates are obtained.
    automatic: Vec<Standing>,
    /// Orders that came to a certificate, and others.
    orders: (u64, u64),
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

    /// Orders for certificates that came to one, those that failed, and names
    /// whose last one failed.
    pub(super) fn orders(&self) -> (u64, u64, u64) {
        let failing = self.automatic.iter().filter(|standing| standing.failures > 0).count();
        (self.orders.0, self.orders.1, failing as u64)
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
            issuer: facts.issuer.clone(),
            expires: humantime::format_rfc3339_seconds(facts.not_after).to_string(),
            days_left: facts.days_left(now),
        };
        self.in_use.iter().map(view).collect()
    }

    pub(super) fn automatic(&self) -> Vec<AcmeView> {
        let shown = |time| humantime::format_rfc3339_seconds(time).to_string();
        let view = |standing: &Standing| AcmeView {
            name: standing.name.clone(),
            expires: standing.not_after.map(shown),
            next: shown(standing.next),
            failures: standing.failures,
            error: standing.error.clone(),
        };
        self.automatic.iter().map(view).collect()
    }

    /// What needs a person.
    pub(super) fn complaints(&self, now: SystemTime) -> Vec<String> {
        let problems = self.problems.iter();
        let mut sentences: Vec<_> =
            problems.map(|why| format!("the certificates before are in use: {why}")).collect();
        for Standing { name, not_after, next, error, .. } in &self.automatic {
            let Some(error) = error else { continue };
            let next = humantime::format_rfc3339_seconds(*next);
            let has = if not_after.is_some() { "the one before stays" } else { "it has none" };
            let what = format!("{name}: no new certificate, {has}: {error}; next try {next}");
            sentences.push(what);
        }
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

    fn certificates_mut(&self) -> RwLockWriteGuard<'_, Certificates> {
        self.certificates.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Takes note of the certificates in use, each with the listener that
    /// shows it.
    pub fn certificates(&self, in_use: Vec<(String, Facts)>) {
        let mut known = self.shared.certificates_mut();
        known.in_use = in_use;
        known.problems.clear();
    }

    /// Takes note of how it goes with certificates that are obtained.
    pub fn acme(&self, news: News) {
        let mut known = self.shared.certificates_mut();
        let event = match news {
            News::Standings(standings) => {
                known.automatic = standings;
                return;
            }
            News::Obtained { name, not_after } => {
                known.orders.0 += 1;
                let until = humantime::format_rfc3339_seconds(not_after);
                Happening::general("certificate_obtained", format!("{name}, until {until}"))
            }
            News::TakenOver { name, not_after, by } => {
                let until = humantime::format_rfc3339_seconds(not_after);
                tracing::info!("{name}: certificate of {by} taken over, until {until}");
                let detail = format!("{name}, of {by}, until {until}");
                Happening::general("certificate_taken_over", detail)
            }
            News::Failed { name, error } => {
                known.orders.1 += 1;
                tracing::warn!("no new certificate for {name}: {error}");
                Happening::general("certificate_failed", format!("{name}: {error}"))
            }
        };
        drop(known);
        self.shared.events.tell(event);
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
            let mut known = self.shared.certificates_mut();
            known.in_use = in_use;
            let counted =
                if problems.is_empty() { &mut known.reloads.0 } else { &mut known.reloads.1 };
            *counted += 1;
            known.problems = problems;
        }
        self.shared.events.tell(event);
    }
}
