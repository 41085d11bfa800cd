//! Active health: probes, the threshold counter, and the loop that runs them.
//!
//! Four pieces that know little of each other. `counter` turns outcomes into
//! verdicts and `schedule` and `pace` say what is due when: all three pure.
//! `probe` with one file per kind does the I/O. `watch_list` keeps what is
//! known of each endpoint, `runner` is the loop around it, and [`Prober`] the
//! handle that the control plane holds. What a verdict means for routing is
//! decided elsewhere.

mod counter;
mod dial;
mod failure;
mod http;
mod pace;
mod probe;
mod prober;
mod runner;
mod schedule;
mod settings;
mod tcp;
mod watch_list;

pub use probe::{Outcome, Target};
pub use prober::{LastProbe, ProbeCounts, ProbeReport, Prober};
pub use settings::ProberSettings;
