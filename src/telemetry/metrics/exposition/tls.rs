//! TLS: handshakes with clients, and how long certificates hold.

use std::{fmt, time::UNIX_EPOCH};

use super::{Exposition, page::Page};
use crate::model::HandshakeFailure;

impl Exposition {
    pub(super) fn tls(&self, page: &mut Page<'_>) -> fmt::Result {
        let (full, resumed) = self.metrics.handshakes();
        let help = "TLS handshakes with clients.";
        page.counter("portolan_tls_handshakes_total", help, |series| {
            series.integer(&[("kind", "full")], full)?;
            series.integer(&[("kind", "resumed")], resumed)
        })?;
        let help = "TLS handshakes with clients that failed, by cause.";
        page.counter("portolan_tls_handshake_failures_total", help, |series| {
            HandshakeFailure::ALL.into_iter().try_for_each(|failure| {
                let count = self.metrics.handshakes_failed(failure);
                series.integer(&[("cause", failure.as_str())], count)
            })
        })?;
        let certificates = &self.scrape.certificates;
        let help = "When a certificate expires.";
        page.gauge("portolan_tls_certificate_expiry_timestamp_seconds", help, |series| {
            certificates.iter().try_for_each(|certificate| {
                let labels =
                    [("listener", &*certificate.listener), ("certificate", &*certificate.file)];
                let time = certificate.not_after.duration_since(UNIX_EPOCH).unwrap_or_default();
                series.number(&labels, time.as_secs_f64())
            })
        })?;
        let help = "Times that certificate files had changed, by whether they could be used.";
        let (ok, failed) = self.scrape.certificate_reloads;
        page.counter("portolan_tls_certificate_reloads_total", help, |series| {
            series.integer(&[("result", "ok")], ok)?;
            series.integer(&[("result", "failed")], failed)
        })?;
        let help = "Orders for certificates by ACME.";
        let (ok, failed, failing) = self.scrape.certificate_orders;
        page.counter("portolan_acme_orders_total", help, |series| {
            series.integer(&[("result", "ok")], ok)?;
            series.integer(&[("result", "failed")], failed)
        })?;
        let help = "Names whose last order for a certificate failed.";
        page.gauge("portolan_acme_failing_names", help, |series| series.integer(&[], failing))
    }
}
