//! Logs, the access log and metrics.

pub mod metrics;
mod settings;

pub use metrics::{Metrics, RouteMetrics, ServiceMetrics, WorkerMetrics};
pub use settings::{AccessLogMode, AccessLogSettings, LogFormat, TelemetrySettings};
