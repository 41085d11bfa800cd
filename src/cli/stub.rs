//! Stands in for the parts that this folder calls and that are not there yet.

#[allow(dead_code, clippy::unnecessary_wraps, reason = "has the shape of what takes its place")]
pub(super) mod config {
    use std::{fmt, ops::Range, path::Path};

    pub(in crate::cli) use crate::config::Config;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::cli) enum Severity {
        Warning,
        Error,
    }
    impl fmt::Display for Severity {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad(if *self == Self::Error { "error" } else { "warning" })
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::cli) enum Code {
        UnknownKey,
    }
    impl Code {
        pub(in crate::cli) const ALL: &'static [Self] = &[Self::UnknownKey];
        pub(in crate::cli) fn find(text: &str) -> Option<Self> {
            text.eq_ignore_ascii_case("P0101").then_some(Self::UnknownKey)
        }
        pub(in crate::cli) const fn title(self) -> &'static str {
            "Unknown key"
        }
        pub(in crate::cli) const fn explanation(self) -> &'static str {
            "The table has no key of this name."
        }
        pub(in crate::cli) const fn severity(self) -> Severity {
            Severity::Error
        }
    }
    impl fmt::Display for Code {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.pad("P0101")
        }
    }

    #[derive(Clone, Debug)]
    pub(in crate::cli) struct Diagnostic {
        pub(in crate::cli) code: Code,
        pub(in crate::cli) severity: Severity,
        pub(in crate::cli) message: String,
        pub(in crate::cli) file: String,
        pub(in crate::cli) line: u32,
        pub(in crate::cli) column: u32,
        pub(in crate::cli) label: String,
        pub(in crate::cli) help: Option<String>,
        pub(in crate::cli) span: Option<Range<usize>>,
        pub(in crate::cli) related: Option<(Range<usize>, String)>,
    }

    #[derive(Clone, Debug)]
    pub(in crate::cli) struct Report {
        pub(in crate::cli) diagnostics: Vec<Diagnostic>,
        pub(in crate::cli) file: String,
        pub(in crate::cli) text: String,
    }
    impl Report {
        pub(in crate::cli) fn render(&self, _color: bool) -> String {
            self.diagnostics.iter().map(|found| format!("{}\n", found.message)).collect()
        }
        pub(in crate::cli) fn github(&self) -> String {
            self.render(false)
        }
    }

    #[derive(Debug)]
    pub(in crate::cli) struct Loaded {
        pub(in crate::cli) config: Config,
        file: String,
    }
    impl Loaded {
        pub(in crate::cli) fn report(&self) -> Report {
            let file = self.file.clone();
            Report { diagnostics: Vec::new(), file, text: String::new() }
        }
    }
    pub(in crate::cli) fn load(path: &Path) -> Result<Loaded, Report> {
        Ok(Loaded { config: Config::default(), file: path.display().to_string() })
    }
    pub(in crate::cli) fn schema() -> serde_json::Value {
        serde_json::json!({})
    }
    pub(in crate::cli) fn reference() -> String {
        String::new()
    }
}

#[allow(dead_code, reason = "has the shape of what takes its place")]
pub(super) mod app {
    use std::{
        net::SocketAddr,
        path::{Path, PathBuf},
    };

    use super::config::Report;

    #[derive(Debug)]
    pub(in crate::cli) struct Options {
        pub(in crate::cli) config_path: PathBuf,
    }
    #[derive(Debug, thiserror::Error)]
    pub(in crate::cli) enum Error {
        #[error("the config file is refused")]
        Config(Report),
        #[error("the proxy is not part of this build")]
        Absent,
    }
    pub(in crate::cli) fn run(_options: Options) -> Result<(), Error> {
        Err(Error::Absent)
    }
    #[derive(Debug)]
    pub(in crate::cli) struct Running {
        pub(in crate::cli) listeners: Vec<SocketAddr>,
        pub(in crate::cli) admin: SocketAddr,
    }
    impl Running {
        pub(in crate::cli) fn stop(self) {}
    }
    pub(in crate::cli) fn start(_config_path: &Path) -> Result<Running, Error> {
        Err(Error::Absent)
    }
}
