//! A report as a person reads it: each problem with its line of the file.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{
    Severity,
    diagnostic::{Diagnostic, Report, floor},
};

impl Report {
    /// Every problem with its place in the file, then a line that counts them.
    /// `color` adds ANSI escapes.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for found in &self.diagnostics {
            out.push_str(&renderer.render(&[self.group(found)]));
            out.push_str("\n\n");
        }
        if let Some(found) = self.diagnostics.first() {
            let level = level(if self.has_errors() { Severity::Error } else { Severity::Warning });
            let summary = Group::with_title(level.primary_title(self.summary()));
            out.push_str(&renderer.render(&[summary]));
            out.push_str("\n       more: portolan help ");
            out.push_str(found.code.as_str());
            out.push('\n');
        }
        out
    }

    fn group<'a>(&'a self, found: &'a Diagnostic) -> Group<'a> {
        let title = level(found.severity).primary_title(&found.message).id(found.code.as_str());
        let help = found.help.as_deref().map(|help| Level::HELP.message(help));
        let Some(span) = &found.span else {
            return Group::with_title(title).elements(help);
        };
        let label = (!found.label.is_empty()).then_some(found.label.as_str());
        let mut snippet = Snippet::source(&self.text)
            .path(&self.file)
            .annotation(AnnotationKind::Primary.span(self.first_line(span)).label(label));
        if let Some((span, label)) = &found.related {
            let span = self.first_line(span);
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(label));
        }
        title.element(snippet).elements(help)
    }

    /// A place, cut at the end of its first line: what matters is where it
    /// begins, and a long table need not be printed whole.
    fn first_line(&self, span: &Range<usize>) -> Range<usize> {
        let start = floor(&self.text, span.start);
        let end = floor(&self.text, span.end).max(start);
        let line = self.text[start..end].find('\n').map_or(end, |length| start + length);
        start..line
    }
}

const fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    }
}
