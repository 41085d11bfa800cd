//! The Prometheus text format (0.0.4), written by prometheus-client.
//!
//! The crate writes OpenMetrics, which differs in one point: there the `TYPE`
//! line of a counter leaves `_total` out, and a reader of the older format,
//! which is what is served, would take such a counter for untyped. So counters
//! are given their whole name and written without a suffix.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::super::histogram::Distribution;

/// Names and values of labels.
pub(super) type Labels<'a> = [(&'static str, &'a str)];

/// The text as far as it is written.
#[derive(Debug)]
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

/// The series of one metric.
#[derive(Debug)]
pub(super) struct Series<'a>(MetricEncoder<'a>);

impl Page<'_> {
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Series<'_>) -> fmt::Result,
    ) -> fmt::Result {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.metric(name, help, MetricType::Counter, write)
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Series<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.metric(name, help, MetricType::Gauge, write)
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        write: impl FnOnce(&mut Series<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.metric(name, help, MetricType::Histogram, write)
    }

    fn metric(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(&mut Series<'_>) -> fmt::Result,
    ) -> fmt::Result {
        write(&mut Series(self.0.encode_descriptor(name, help, None, kind)?))
    }
}

impl Series<'_> {
    pub(super) fn integer(&mut self, labels: &Labels<'_>, integer: u64) -> fmt::Result {
        self.value(labels, &integer)
    }

    pub(super) fn number(&mut self, labels: &Labels<'_>, number: f64) -> fmt::Result {
        self.value(labels, &number)
    }

    pub(super) fn distribution(
        &mut self,
        labels: &Labels<'_>,
        distribution: &Distribution,
    ) -> fmt::Result {
        let Distribution { buckets, sum } = distribution;
        let count = distribution.count();
        let exemplars = None;
        if labels.is_empty() {
            return self.0.encode_histogram::<NoLabelSet>(*sum, count, buckets, exemplars);
        }
        let mut metric = self.0.encode_family(&labels)?;
        metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, exemplars)
    }

    fn value(&mut self, labels: &Labels<'_>, value: &impl EncodeGaugeValue) -> fmt::Result {
        if labels.is_empty() {
            return self.0.encode_gauge(value);
        }
        self.0.encode_family(&labels)?.encode_gauge(value)
    }
}
