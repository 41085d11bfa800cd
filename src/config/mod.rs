//! `proxy.toml`: from its text to a valid [`Config`], or to everything that is
//! wrong with it.
//!
//! The text is parsed into a tree with positions; each key and value is held
//! against the schema (`structure`), `${...}` is replaced on the way; what is
//! sound becomes a [`Config`], and `meaning` looks at what its values say
//! together. Errors of one step do not hide those of the next. A new setting
//! needs nothing here: its struct describes it.

mod codes;
mod diagnostic;
mod format;
mod interpolate;
mod meaning;
mod reference;
mod render;
mod route_name;
mod schema;
mod settings;
mod structure;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;
mod tree;
mod wrong_type;

use std::path::Path;

use serde::Deserialize;

pub use codes::{Code, Severity, codes_page};
pub use diagnostic::{Diagnostic, Report};
pub use reference::reference;
pub use route_name::route_names;
pub use schema::schema;
pub use settings::Config;

use interpolate::Surroundings;
use structure::Checker;
use tree::Tree;

/// A file that can take effect.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is worth a second look.
    pub warnings: Vec<Diagnostic>,
    /// The line of each `[[route]]`, in the order of `config.route`.
    pub route_lines: Vec<u32>,
    /// The file, as it was given.
    pub file: String,
    /// What it holds.
    pub text: String,
}

impl Loaded {
    /// The warnings, ready to be shown.
    #[must_use]
    pub fn report(&self) -> Report {
        let Self { warnings, file, text, .. } = self;
        Report { diagnostics: warnings.clone(), file: file.clone(), text: text.clone() }
    }
}

/// Reads and checks the file at `path`, with the environment of this process.
///
/// # Errors
///
/// Everything that is wrong with it, warnings included.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let file = path.display().to_string();
    let text = std::fs::read(path)
        .map_err(|error| error.to_string())
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()))
        .map_err(|why| {
            let message = format!("cannot read {file}: {why}");
            Report::new(&file, "", vec![Diagnostic::of_file(Code::Unreadable, message)])
        })?;
    let writable = writable_by_all(path).then(|| {
        Diagnostic::of_file(Code::WritableByAll, format!("every user may write {file}"))
            .help(format!("chmod o-w {file}"))
    });
    check(&text, &file, &|name| std::env::var(name).ok(), writable.into_iter().collect())
}

/// Checks `text`. `file` is where it came from: it stands in diagnostics, and
/// relative `${file:PATH}` begin at its folder. `env` answers for variables.
///
/// # Errors
///
/// Everything that is wrong with it, warnings included.
pub fn parse(
    text: &str,
    file: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Report> {
    check(text, file, env, Vec::new())
}

fn check(
    text: &str,
    file: &str,
    env: &dyn Fn(&str) -> Option<String>,
    mut found: Vec<Diagnostic>,
) -> Result<Loaded, Report> {
    let mut parsed = syntax::parse(text);
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut checker = Checker::new(text, Surroundings { env, folder });
    checker.file(&mut parsed.root);
    let Checker { found: structure, damaged, references, .. } = checker;
    if !parsed.errors.is_empty() {
        found.extend(parsed.believable(text, structure));
        found.extend(parsed.errors);
        return Err(Report::new(file, text, found));
    }
    let sound = structure.is_empty();
    found.extend(structure);
    let tree = Tree::new(text, parsed.root.clone(), damaged, references);
    let config = match Config::deserialize(toml::de::Deserializer::from(parsed.root)) {
        Ok(config) => config,
        Err(error) => {
            // Whatever was taken out is reported already and may be the cause.
            if sound {
                found.push(refused(&error, &tree));
            }
            return Err(Report::new(file, text, found));
        }
    };
    found.extend(meaning::check(&config, &tree));
    let report = Report::new(file, text, found);
    if report.has_errors() {
        return Err(report);
    }
    let route_lines = route_lines(config.route.len(), text, &tree);
    let Report { diagnostics: warnings, file, text } = report;
    Ok(Loaded { config, warnings, route_lines, file, text })
}

/// One pass over the text, since there may be many routes.
fn route_lines(count: usize, text: &str, tree: &Tree<'_>) -> Vec<u32> {
    let routes = tree.top().key("route");
    let (mut line, mut done) = (1, 0);
    let line_of = |index| {
        let start = routes.item(index).span().start;
        let between = text.get(done..start).unwrap_or_default();
        line += u32::try_from(between.matches('\n').count()).unwrap_or(u32::MAX);
        done = start;
        line
    };
    (0..count).map(line_of).collect()
}

/// What the walk of the schema let pass and serde did not.
fn refused(error: &toml::de::Error, tree: &Tree<'_>) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let holds = |place: &std::ops::Range<usize>| span.start <= place.start && place.end <= span.end;
    let message = match tree.references.iter().find(|(place, _)| holds(place)) {
        Some((_, reference)) => format!("{reference} is refused"),
        None => error.message().to_owned(),
    };
    Diagnostic::new(Code::Refused, span, message)
}

#[cfg(unix)]
fn writable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

#[cfg(not(unix))]
fn writable_by_all(_: &Path) -> bool {
    false
}
