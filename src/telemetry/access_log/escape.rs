//! What a client sent, made safe for a line.
//!
//! A client chooses its path, its host and its headers. None of them may end
//! the line, end a field, or reach the terminal of who reads it as a command
//! or as text in another direction.

use std::fmt::{self, Write as _};

/// Whether a character may end a line, steer a terminal, or hide or reorder
/// the text around it.
pub(super) fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Text without quotes around it: escapes spaces and quotes too; `-` if empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bare<'a>(pub(super) &'a str);

/// Text in double quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_char('-');
        }
        self.0.chars().try_for_each(|c| match c {
            c if c.is_whitespace() => write!(f, "{}", c.escape_unicode()),
            c => write_escaped(f, c),
        })
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        self.0.chars().try_for_each(|c| write_escaped(f, c))?;
        f.write_char('"')
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => write!(f, "{}", c.escape_default()),
        c if is_treacherous(c) => write!(f, "{}", c.escape_unicode()),
        c => f.write_char(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_ends_a_field_is_escaped() {
        assert_eq!(Quoted("a\" \\\n\u{1b}[31m é").to_string(), r#""a\" \\\n\u{1b}[31m é""#);
        assert_eq!(Bare("/a b\u{202e}c").to_string(), r"/a\u{20}b\u{202e}c");
        assert_eq!(Bare("").to_string(), "-");
    }

    proptest! {
        #[test]
        fn a_field_is_one_field_of_one_line(text: String) {
            let bare = Bare(&text).to_string();
            prop_assert!(!bare.chars().any(|c| c.is_whitespace() || is_treacherous(c)));
            let quoted = Quoted(&text).to_string();
            prop_assert!(!quoted.chars().any(is_treacherous));
            let inner = quoted[1..quoted.len() - 1].replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!inner.contains('"'));
        }
    }
}
