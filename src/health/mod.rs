//! Health: probes, the threshold counter, the loop that runs them, and what
//! requests tell beside them.
//!
//! Pieces that know little of each other. `counter` turns outcomes into
//! verdicts, `schedule`, `pace` and `slots` say what is due when, `outlier` who
//! is ejected for what requests saw: all of them pure.
//! `probe` with one file per kind does the I/O. `watch_list` keeps what is
//! known of each endpoint, `runner` is the loop around it, and [`Prober`] the
//! handle that the control plane holds. What a verdict means for routing is
//! decided elsewhere.

mod counter;
mod dial;
mod failure;
mod grpc;
mod http;
mod outlier;
mod pace;
mod probe;
mod prober;
mod runner;
mod schedule;
mod settings;
mod slots;
mod tcp;
mod watch_list;

pub use outlier::{Ejection, Standing, Window, may_eject, outliers};
pub use probe::{Outcome, Target};
pub use prober::{LastProbe, ProbeCounts, ProbeReport, Prober};
pub use settings::ProberSettings;
