//! Logs, the access log and metrics.

mod counters;
mod settings;
pub use counters::*;

pub use settings::{AccessLogMode, AccessLogSettings, LogFormat, TelemetrySettings};
