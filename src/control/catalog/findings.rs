//! What probes find: who passes, who fails, who is back.

use tokio::time::Instant;

use super::Catalog;
use crate::{health::ProbeReport, model::Verdict};

impl Catalog {
    /// Takes over what a probe found.
    pub(in crate::control) fn probed(&mut self, report: &ProbeReport, now: Instant) {
        let Some((name, id)) = self.endpoints.get(&report.endpoint) else { return };
        let service = self.services.get_mut(name);
        let Some(entry) = service.and_then(|s| s.entries.get_mut(id)) else { return };
        // It may have been on its way when the probe was given up.
        if !entry.is_probed() {
            return;
        }
        if report.outcome.passed {
            entry.well = entry.endpoint.ended();
        }
        let findings = &mut entry.findings;
        let before = (findings.verdict, findings.refused);
        findings.once_passed |= report.outcome.passed;
        findings.refused = report.outcome.refused;
        findings.failing_since = match report.verdict {
            Verdict::Failing => Some(findings.failing_since.unwrap_or(now)),
            Verdict::Passing | Verdict::Unknown => None,
        };
        findings.verdict = report.verdict;
        if (findings.verdict, findings.refused) != before {
            self.touched.insert(name.clone());
        }
        if before == (Verdict::Failing, true) && report.verdict == Verdict::Passing {
            // Nobody listened and now somebody does: it has begun anew, and
            // what requests saw of it before is of the one before.
            entry.standing.pardon(now);
            self.end_ejections(now);
        }
    }
}
