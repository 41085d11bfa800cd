//! What a verb gives back, and the way it takes to the terminal.
//!
//! Results go to stdout, diagnostics to stderr. A reader that has gone away
//! (`| head`) is not an error.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::exit::Exit;

/// How the result of a reading verb looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// The JSON of the admin API
    Json,
}

/// `--format` of the reading verbs.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct FormatArgs {
    /// How the result looks
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", hide_possible_values = true)]
    #[arg(help = "How the result looks: text or json")]
    pub(super) format: Format,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Decides for the streams of this process.
    pub(super) fn apply(self) {
        let choice = match self {
            // With `auto` anstream itself reads NO_COLOR, CLICOLOR and CLICOLOR_FORCE.
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// Whether diagnostics are coloured.
pub(super) fn stderr_has_color() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// What a verb gives back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Output {
    /// The result, styled.
    pub(super) out: String,
    /// Diagnostics, styled.
    pub(super) err: String,
    /// How the program ends.
    pub(super) exit: Exit,
}

impl Output {
    /// A result that is all there is to say.
    pub(super) fn ok(out: impl Into<String>) -> Self {
        Self { out: out.into(), err: String::new(), exit: Exit::Ok }
    }

    /// The same with another exit.
    pub(super) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// `json` as it is, or `text` made from it.
    pub(super) fn of<T: Serialize>(
        format: Format,
        json: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<Self> {
        let out = match format {
            Format::Text => text(),
            Format::Json => format!("{}\n", serde_json::to_string_pretty(json)?),
        };
        Ok(Self::ok(out))
    }

    /// Writes it where it belongs.
    pub(super) fn print(&self) -> io::Result<()> {
        print(&self.out)?;
        print_diagnostics(&self.err)
    }
}

/// Writes a result.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = anstream::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes diagnostics.
pub(super) fn print_diagnostics(text: &str) -> io::Result<()> {
    anstream::stderr().write_all(text.as_bytes())
}
