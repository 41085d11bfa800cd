//! Text for people: columns, styles, and spans of time.
//!
//! Everything here makes strings. They carry their styles always; the streams
//! in `output` take them out where nobody wants them. What came from outside
//! goes through [`plain`] first, so that a registration cannot drive a
//! terminal.

use std::fmt::{self, Write as _};

use clap::builder::styling::{AnsiColor, Style};

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// `text` with everything that a terminal would act on made visible instead:
/// control characters and the marks that turn the direction of text.
pub(super) fn plain(text: &str) -> String {
    let acts =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// `text` in `style`.
pub(super) fn styled(style: Style, text: &str) -> String {
    format!("{style}{}{style:#}", plain(text))
}

/// A length of time in at most two units: `350 ms`, `12 s`, `3 d 4 h`.
pub(super) fn span(ms: u64) -> String {
    let two = |large: u64, large_unit, small: u64, small_unit| match small {
        0 => format!("{large} {large_unit}"),
        small => format!("{large} {large_unit} {small} {small_unit}"),
    };
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A short time in milliseconds with one digit, or as a [`span`].
pub(super) fn precise(us: u64) -> String {
    match us {
        0..100_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => span(us / 1000),
    }
}

/// `1 route`, `2 routes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{s}")
}

/// One cell of [`Columns`].
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// A cell in `style`.
    pub(super) fn styled(style: Style, text: impl AsRef<str>) -> Self {
        Self { text: plain(text.as_ref()), style, right: false }
    }

    /// A number, aligned by its last digit.
    pub(super) fn number(number: u64) -> Self {
        Self { text: number.to_string(), style: PLAIN, right: true }
    }

    /// The same cell, aligned to the right.
    pub(super) fn right(self) -> Self {
        Self { right: true, ..self }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(PLAIN, text)
    }
}

/// Rows of cells, each column as wide as its widest cell.
#[derive(Debug, Default)]
pub(super) struct Columns {
    indent: usize,
    rows: Vec<Vec<Cell>>,
}

impl Columns {
    /// No rows; each to begin with `indent` spaces.
    pub(super) const fn indented(indent: usize) -> Self {
        Self { indent, rows: Vec::new() }
    }

    /// No rows but a head.
    pub(super) fn headed<const N: usize>(head: [&str; N]) -> Self {
        let head = head.iter().map(|name| Cell::styled(DIM, name)).collect();
        Self { indent: 0, rows: vec![head] }
    }

    /// Appends a row.
    pub(super) fn push(&mut self, row: impl IntoIterator<Item = Cell>) {
        self.rows.push(row.into_iter().collect());
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        let mut to_the_right = vec![false; columns];
        for row in &self.rows {
            for (index, cell) in row.iter().enumerate() {
                widths[index] = widths[index].max(cell.text.chars().count());
                to_the_right[index] |= cell.right;
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            // Padding is held back until a cell follows it: no spaces at line ends.
            let mut gap = self.indent;
            for (index, cell) in row.iter().enumerate() {
                let missing = widths[index] - cell.text.chars().count();
                let (before, after) = if to_the_right[index] { (missing, 0) } else { (0, missing) };
                gap += before;
                if !cell.text.is_empty() {
                    let Cell { text, style, .. } = cell;
                    write!(line, "{:gap$}{style}{text}{style:#}", "")?;
                    gap = 0;
                }
                gap += after + 2;
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_driven_from_outside() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\n");
        assert_eq!(plain("Zürich, 東京"), "Zürich, 東京");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (12_400, "12 s"),
            (180_000, "3 min"),
            (185_000, "3 min 5 s"),
            (3_600_000, "1 h"),
            (273_600_000, "3 d 4 h"),
        ];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn columns_line_up_and_end_without_spaces() {
        let mut columns = Columns::headed(["name", "count", "note"]);
        columns.push(["a".into(), Cell::number(1000), "x".into()]);
        columns.push([Cell::styled(BAD, "longer"), Cell::number(7), "".into()]);
        let text = columns.to_string();
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text, "name    count  note\na        1000  x\nlonger      7\n");
    }
}
