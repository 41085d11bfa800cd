//! Stands in for the parts that this folder calls and that are not there yet.

#[allow(clippy::unnecessary_wraps, reason = "the shape of what comes in its place")]
pub(super) mod config {
    use std::path::Path;

    pub(in crate::cli) use crate::config::Config;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(dead_code, reason = "stub")]
    pub(in crate::cli) enum Severity {
        Error,
        Warning,
    }
    #[derive(Clone, Debug)]
    pub(in crate::cli) struct Diagnostic {
        pub(in crate::cli) severity: Severity,
        pub(in crate::cli) code: &'static str,
        pub(in crate::cli) message: String,
        pub(in crate::cli) file: String,
        pub(in crate::cli) line: u32,
        pub(in crate::cli) column: u32,
        pub(in crate::cli) help: Option<String>,
    }
    #[derive(Debug, Default)]
    pub(in crate::cli) struct Report {
        pub(in crate::cli) diagnostics: Vec<Diagnostic>,
    }
    impl Report {
        pub(in crate::cli) fn render(&self, _color: bool) -> String {
            self.diagnostics.iter().map(|found| format!("{}\n", found.message)).collect()
        }
        pub(in crate::cli) fn render_github(&self) -> String {
            self.render(false)
        }
    }
    impl From<Vec<Diagnostic>> for Report {
        fn from(diagnostics: Vec<Diagnostic>) -> Self {
            Self { diagnostics }
        }
    }
    #[derive(Debug)]
    pub(in crate::cli) struct Loaded {
        pub(in crate::cli) config: Config,
        pub(in crate::cli) warnings: Vec<Diagnostic>,
    }
    pub(in crate::cli) fn load(_path: &Path) -> Result<Loaded, Report> {
        Ok(Loaded { config: Config::default(), warnings: Vec::new() })
    }
    pub(in crate::cli) fn schema() -> serde_json::Value {
        serde_json::json!({})
    }
    pub(in crate::cli) fn reference() -> String {
        String::new()
    }
    pub(in crate::cli) mod codes {
        pub(in crate::cli) fn explain(_code: &str) -> Option<String> {
            None
        }
    }
}

pub(super) mod app {
    use std::{
        net::SocketAddr,
        path::{Path, PathBuf},
    };

    use super::config::Report;

    pub(in crate::cli) struct Options {
        #[allow(dead_code, reason = "stub")]
        pub(in crate::cli) config_path: PathBuf,
    }
    #[derive(Debug, thiserror::Error)]
    pub(in crate::cli) enum Error {
        #[allow(dead_code, reason = "stub")]
        #[error("the config file is refused")]
        Config(Report),
        #[error("the proxy is not part of this build")]
        Absent,
    }
    pub(in crate::cli) fn run(_options: Options) -> Result<(), Error> {
        Err(Error::Absent)
    }
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
