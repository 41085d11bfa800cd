//! What a config file came to when it was read, as the admin API shows it.

use super::view::{DiagnosticView, ReloadView};
use crate::config::{Diagnostic, Loaded, Report, Severity};

/// A config file that can take effect.
#[must_use]
pub fn good(loaded: &Loaded) -> ReloadView {
    ReloadView {
        ok: true,
        changes: Vec::new(),
        needs_restart: Vec::new(),
        diagnostics: loaded.warnings.iter().map(diagnostic).collect(),
    }
}

/// A config file that cannot.
#[must_use]
pub fn refused(report: &Report) -> ReloadView {
    ReloadView {
        ok: false,
        changes: Vec::new(),
        needs_restart: Vec::new(),
        diagnostics: report.diagnostics.iter().map(diagnostic).collect(),
    }
}

/// A config file that cannot, for a reason that has no place in it.
#[must_use]
pub fn failed(file: &str, message: String) -> ReloadView {
    let diagnostic = DiagnosticView {
        severity: "error".to_owned(),
        code: String::new(),
        message,
        file: file.to_owned(),
        line: 1,
        column: 1,
        help: None,
    };
    ReloadView {
        ok: false,
        changes: Vec::new(),
        needs_restart: Vec::new(),
        diagnostics: vec![diagnostic],
    }
}

fn diagnostic(diagnostic: &Diagnostic) -> DiagnosticView {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    DiagnosticView {
        severity: severity.to_owned(),
        code: diagnostic.code.to_string(),
        message: diagnostic.message.clone(),
        file: diagnostic.file.clone(),
        line: diagnostic.line,
        column: diagnostic.column,
        help: diagnostic.help.clone(),
    }
}
