//! Logs, the access log and metrics.

mod settings;

pub use settings::{AccessLogMode, AccessLogSettings, LogFormat, TelemetrySettings};
