//! What is counted, and how it is shown to Prometheus.
//!
//! Counting happens on the request path, so it is sharded: each worker writes
//! to memory of its own with plain stores, and a scrape adds the shards up.
//! Nothing here locks, hashes or formats while a request waits, and what a
//! worker never touches is never allocated.

mod counter;
mod exposition;
mod front;
mod histogram;
mod method;
mod process;
mod retry;
mod route;
mod scrape;
mod service;
mod store;
#[cfg(test)]
mod tests;
mod worker;

pub use exposition::{CONTENT_TYPE, ENDPOINT_SERIES_MAX, render};
pub use front::{FrontCall, FrontMetrics};
pub use retry::RetryCause;
pub use route::RouteMetrics;
pub use scrape::{
    AccessLogScrape, BuildScrape, CertificateScrape, ConfigScrape, EndpointScrape, FleetScrape,
    InstancesScrape, ProbesScrape, RouteScrape, Scrape, ServiceScrape, SourceScrape, StoreScrape,
    TableScrape,
};
pub use service::ServiceMetrics;
pub use store::StoreMetrics;
pub use worker::{Ledger, Metrics, WorkerMetrics};
