//! One problem of a config file, and all of them.
//!
//! A diagnostic knows its place in bytes (for drawing it) and as line and
//! column (for everybody else). Its words never hold a value that came out of
//! `${...}`; whoever makes one sees to that.

use std::{fmt::Write, ops::Range};

use super::{Code, Severity};

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of problem.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The file, as it was given.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// What is said at the place itself; may be empty.
    pub label: String,
    /// How to mend it.
    pub help: Option<String>,
    /// The place in bytes; `None` if the problem is with the file as a whole.
    pub span: Option<Range<usize>>,
    /// A second place that has to do with it, and what is said there.
    pub related: Option<(Range<usize>, String)>,
}

impl Diagnostic {
    pub(super) fn new(code: Code, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            file: String::new(),
            line: 1,
            column: 1,
            label: String::new(),
            help: None,
            span: Some(span),
            related: None,
        }
    }

    /// A problem with the file as a whole.
    pub(super) fn of_file(code: Code, message: impl Into<String>) -> Self {
        Self { span: None, ..Self::new(code, 0..0, message) }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        self.help_if(Some(help.into()))
    }

    pub(super) fn help_if(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    pub(super) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }
}

/// The problems of one file, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The problems.
    pub diagnostics: Vec<Diagnostic>,
    /// The file, as it was given.
    pub file: String,
    /// What it holds; empty if it could not be read.
    pub text: String,
}

impl Report {
    /// Orders `diagnostics` and works out their lines and columns.
    pub(super) fn new(file: &str, text: &str, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|found| {
            let start = found.span.as_ref().map_or(0, |span| span.start);
            (start, std::cmp::Reverse(found.severity), found.code)
        });
        for found in &mut diagnostics {
            file.clone_into(&mut found.file);
            if let Some(span) = &found.span {
                (found.line, found.column) = position(text, span.start);
            }
        }
        Self { diagnostics, file: file.to_owned(), text: text.to_owned() }
    }

    /// Whether anything keeps the file from taking effect.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many problems are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|found| found.severity == severity).count()
    }

    /// `2 errors, 1 warning in proxy.toml`.
    #[must_use]
    pub fn summary(&self) -> String {
        let counted = [(Severity::Error, "error"), (Severity::Warning, "warning")]
            .into_iter()
            .map(|(severity, word)| (self.count(severity), word))
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
        let counted: Vec<_> = counted.collect();
        let counted = if counted.is_empty() { "no problems".into() } else { counted.join(", ") };
        format!("{counted} in {}", self.file)
    }

    /// A line for each problem, as GitHub Actions shows them beside the code.
    #[must_use]
    pub fn github(&self) -> String {
        let mut out = String::new();
        for found in &self.diagnostics {
            let Diagnostic { severity, line, column, code, .. } = found;
            let file = property(&found.file);
            let mut message = found.message.clone();
            for further in [Some(&found.label), found.help.as_ref()].into_iter().flatten() {
                if !further.is_empty() {
                    message.push_str("; ");
                    message.push_str(further);
                }
            }
            let message = escape(&message);
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "::{severity} file={file},line={line},col={column},title={code}::{message}"
            );
        }
        out
    }
}

/// Line and column, each from 1, of the byte `offset`.
pub(super) fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = &text[..floor(text, offset)];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before[line_start..].chars().count();
    let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
    (counted(line), counted(column))
}

/// The nearest place at or before `offset` where a character begins.
pub(super) fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let text = "a\né = 1\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 2), (2, 1));
        assert_eq!(position(text, 3), (2, 1), "inside a character");
        assert_eq!(position(text, 4), (2, 2));
        assert_eq!(position(text, 99), (3, 1));
    }

    #[test]
    fn github_gets_its_own_escapes() {
        let found = Diagnostic::new(Code::Word, 0..1, "50% off\nnow").help("try: a, b");
        let report = Report::new("a,b.toml", "x", vec![found]);
        assert_eq!(
            report.github(),
            "::error file=a%2Cb.toml,line=1,col=1,title=P0214::50%25 off%0Anow; try: a, b\n"
        );
        assert_eq!(report.summary(), "1 error in a,b.toml");
    }
}
