//! From text to a tree, and the errors of the grammar.
//!
//! The parser recovers from errors and goes on, which finds several at once
//! but also stumbles over what the first one left behind. Here the stumbling
//! is told from the errors.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Code, Diagnostic};

/// What became of a text.
pub(super) struct Parsed<'t> {
    /// As much of the tree as can be had.
    pub(super) root: Spanned<DeTable<'t>>,
    /// What is wrong with the text.
    pub(super) errors: Vec<Diagnostic>,
    /// The place of the first error that may have put what follows into the
    /// wrong table or list.
    derailed: usize,
}

pub(super) fn parse(text: &str) -> Parsed<'_> {
    let (root, mut found) = DeTable::parse_recoverable(text);
    found.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    // A list that never ends swallows what follows; only where it was first
    // noticed says something.
    let endless = found.iter().any(|error| error.message().starts_with("unclosed array, "));
    let within = |message: &str| message.contains("array") && !message.contains("array table");
    let noticed = found.iter().position(|error| within(error.message()));
    if let (true, Some(first)) = (endless, noticed) {
        found.truncate(first + 1);
    }
    let mut parsed = Parsed { root, errors: Vec::new(), derailed: text.len() };
    let mut last_line = None;
    for error in found {
        let span = error.span().unwrap_or(0..0);
        let line = line_start(text, span.start);
        let mild = matches!(error.message(), DUPLICATE) || error.message().starts_with(UNQUOTED);
        if !mild || text[line..].trim_start().starts_with('[') {
            parsed.derailed = parsed.derailed.min(line);
        }
        if last_line.replace(line) == Some(line) {
            continue;
        }
        let diagnostic = match error.message() {
            DUPLICATE => duplicate(text, span, parsed.root.get_ref()),
            message => diagnose(text, span, message),
        };
        parsed.errors.push(diagnostic);
    }
    parsed
}

const DUPLICATE: &str = "duplicate key";
const UNQUOTED: &str = "string values must be quoted";

fn duplicate(text: &str, span: Range<usize>, root: &DeTable<'_>) -> Diagnostic {
    let key = text.get(span.clone()).unwrap_or_default();
    let earlier = earlier(text, &span, root);
    let twice = Diagnostic::new(Code::DuplicateKey, span, format!("`{key}` is defined twice"));
    match earlier {
        Some(earlier) => twice.label("the second time").related(earlier, "the first time"),
        None => twice.label("defined before, further up"),
    }
}

/// Where the key or table at `span` was defined first, if that is certain.
fn earlier(text: &str, span: &Range<usize>, root: &DeTable<'_>) -> Option<Range<usize>> {
    let line = line_start(text, span.start);
    let code = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let here = code(text[line..].lines().next()?);
    let mut headers = Vec::new();
    let mut start = 0;
    for other in text[..line].split_inclusive('\n') {
        if other.trim_start().starts_with('[') {
            headers.push(start..start + other.trim_end().len());
        }
        start += other.len();
    }
    if here.starts_with('[') {
        return headers.into_iter().find(|header| code(&text[header.clone()]) == here);
    }
    if !text[line..span.start].trim().is_empty() {
        return None;
    }
    let table = match headers.last() {
        Some(header) => {
            let indent = text[header.clone()].find('[')?;
            table_at(root, header.start + indent)?
        }
        None => root,
    };
    let (first, _) = table.get_key_value(&text[span.clone()])?;
    (first.span().end <= span.start).then(|| first.span())
}

/// The table whose header begins at `start`.
fn table_at<'t, 'i>(table: &'t DeTable<'i>, start: usize) -> Option<&'t DeTable<'i>> {
    table.values().find_map(|value| match value.get_ref() {
        DeValue::Table(inner) if value.span().start == start => Some(inner),
        DeValue::Table(inner) => table_at(inner, start),
        DeValue::Array(list) => list.iter().find_map(|item| match item.get_ref() {
            DeValue::Table(inner) if item.span().start == start => Some(inner),
            DeValue::Table(inner) => table_at(inner, start),
            _ => None,
        }),
        _ => None,
    })
}

fn diagnose(text: &str, span: Range<usize>, message: &str) -> Diagnostic {
    let at = text.get(span.clone()).unwrap_or_default();
    if message.starts_with(UNQUOTED) {
        let found = Diagnostic::new(Code::Syntax, span, "a key without a value");
        if at.is_empty() {
            return found.label("expected a value");
        }
        let help = (!at.contains(['"', '\'', '\n'])).then(|| format!("write \"{at}\""));
        return Diagnostic { message: "text is written in quotes".into(), ..found }
            .label("neither a number nor true or false")
            .help_if(help);
    }
    if let Some(value) = unquoted(text, &span)
        && message.starts_with("invalid ")
    {
        return Diagnostic::new(Code::Syntax, span, "neither a number nor text in quotes")
            .label("does not belong to a number")
            .help(format!("write \"{value}\""));
    }
    // The label says what the parser wanted, the message what it met.
    match message.split_once(", expected ") {
        Some((what, "nothing")) => Diagnostic::new(Code::Syntax, span, what),
        Some((what, wanted)) => {
            Diagnostic::new(Code::Syntax, span, what).label(format!("expected {wanted}"))
        }
        None => Diagnostic::new(Code::Syntax, span, message),
    }
}

/// The whole value that `span` is in, if it is one that quotes would mend.
fn unquoted<'t>(text: &'t str, span: &Range<usize>) -> Option<&'t str> {
    let line = text[line_start(text, span.start)..].lines().next()?;
    let (_, value) = line.split_once('=')?;
    let value = value.split('#').next()?.trim();
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '[' | '{' | ',' | '\\');
    (!value.is_empty() && value.chars().all(plain)).then_some(value)
}

impl Parsed<'_> {
    /// Of the problems found in a tree with gaps, those that would be there
    /// without the gaps.
    pub(super) fn believable(&self, text: &str, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let line =
            |found: &Diagnostic| found.span.as_ref().map_or(0, |span| line_start(text, span.start));
        let broken: Vec<usize> = self.errors.iter().map(line).collect();
        found
            .into_iter()
            .filter(|found| found.code != Code::MissingKey)
            .filter(|found| line(found) < self.derailed && !broken.contains(&line(found)))
            .collect()
    }
}

fn line_start(text: &str, offset: usize) -> usize {
    let offset = super::diagnostic::floor(text, offset);
    text[..offset].rfind('\n').map_or(0, |end| end + 1)
}
