//! The text that Prometheus reads.
//!
//! `docs/reference/metrics.md` lists every metric; a test holds the two
//! together. Series of one metric stand together, and none occurs twice. The
//! files beside this one write a group of metrics each.

mod control;
mod page;
mod services;
mod tls;
mod traffic;

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode_registry},
    registry::Registry,
};

use page::Page;

use super::{Metrics, process::Process, scrape::Scrape};

/// The media type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// With more endpoints than this, no series of single endpoints are shown.
pub const ENDPOINT_SERIES_MAX: usize = 1_000;

/// Everything as Prometheus text. Takes some milliseconds with thousands of
/// services, so call it where nothing waits.
#[must_use]
pub fn render(metrics: &Arc<Metrics>, scrape: Scrape) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition {
        metrics: Arc::clone(metrics),
        process: Process::read(),
        scrape,
    }));
    let mut text = String::new();
    // Writing to a `String` does not fail.
    let _ = encode_registry(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Exposition {
    metrics: Arc<Metrics>,
    process: Process,
    scrape: Scrape,
}

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.requests(&mut page)?;
        self.routes(&mut page)?;
        self.services(&mut page)?;
        self.endpoints(&mut page)?;
        self.connections(&mut page)?;
        self.tls(&mut page)?;
        self.control(&mut page)?;
        self.telemetry(&mut page)?;
        self.process(&mut page)
    }
}
