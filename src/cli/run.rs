//! `portolan run`: the proxy itself.

use std::path::PathBuf;

use anyhow::Context;

use super::{
    app,
    config_file::NoConfigFile,
    exit::{ConfigRefused, Exit},
    output::{self, Output},
};

/// Runs until it is told to stop and has drained.
pub(super) fn perform(config_path: Result<PathBuf, NoConfigFile>) -> anyhow::Result<Output> {
    let config_path = config_path.context(ConfigRefused)?;
    match app::run(app::Options { config_path }) {
        Ok(ended) => Ok(Output::ok("").exit(match ended {
            app::Ended::Drained => Exit::Ok,
            app::Ended::Cut(app::StopSignal::Interrupt) => Exit::Interrupted,
            app::Ended::Cut(app::StopSignal::Terminate) => Exit::Terminated,
        })),
        Err(app::Error::Config(report)) => {
            output::print_diagnostics(&report.render(output::stderr_has_color())).ok();
            Err(ConfigRefused.into())
        }
        Err(error) => Err(error.into()),
    }
}
