//! The command line: which runs, how long, and where the figures go.

use std::path::PathBuf;

use crate::backend::BackendArgs;

/// Endurance runs: the real proxy under load while things break
#[derive(Debug, clap::Parser)]
#[command(name = "endurance", args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
    /// The runs; all of them if none is named
    #[arg(value_name = "RUN")]
    pub(crate) runs: Vec<String>,
    /// Their full lengths, not the short ones
    #[arg(long)]
    pub(crate) full: bool,
    /// Rolling replacements of all four instances
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u64>,
    /// Exchanges a second
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u64>,
    /// How long a run takes, or the proxy is stopped for
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// The program to test; the one that cargo built with this if not given
    #[arg(long, env = "PORTOLAN", value_name = "PATH")]
    pub(crate) portolan: Option<PathBuf>,
    /// Append a row of a table for each run
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    #[command(flatten)]
    libtest: LibtestArgs,
}

/// What `cargo test` tells the tests that are in the way of other tests.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Taken, and without a meaning here")]
struct LibtestArgs {
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    no_capture: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    test_threads: Option<String>,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
}

/// What else this binary is.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// An instance
    #[command(hide = true)]
    Backend(BackendArgs),
}

impl Arguments {
    /// Whether only the names of tests are wanted, or others than these.
    pub(crate) fn wants_nothing(&self) -> bool {
        self.libtest.list || self.libtest.ignored
    }

    /// `full` if the full lengths are wanted, else `short`.
    pub(crate) fn length(&self, short: u64, full: u64) -> u64 {
        if self.full { full } else { short }
    }
}
