//! `portolan version`.

use serde::Serialize;

use super::output::{FormatArgs, Output};

/// Arguments of `version`.
#[derive(Debug, clap::Args)]
pub(super) struct VersionArgs {
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Serialize)]
struct VersionView {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
}

impl VersionArgs {
    pub(super) fn perform(&self) -> anyhow::Result<Output> {
        let view = VersionView {
            version: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
        };
        let text = || format!("portolan {} ({} {})\n", view.version, view.os, view.arch);
        Output::of(self.format.format, &view, text)
    }
}
