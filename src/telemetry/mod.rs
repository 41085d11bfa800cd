//! Logs, the access log and metrics.

pub mod access_log;
pub mod logging;
pub mod metrics;
mod settings;

pub use access_log::{AccessLog, AccessRecord};
pub use metrics::{
    FrontCall, FrontMetrics, Metrics, RetryCause, RouteMetrics, ServiceMetrics, StoreMetrics,
    WorkerMetrics,
};
pub use settings::{AccessLogMode, AccessLogSettings, LogFormat, TelemetrySettings};
