//! The clients' side: requests, routes and connections.

use std::fmt;

use super::{
    super::{RouteMetrics, method::OTHER, route::Code, worker::LISTENERS},
    Exposition,
    page::{Page, Series},
};
use crate::model::Reason;

impl Exposition {
    pub(super) fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        // Read once, so that it adds up.
        let ledger = metrics.ledger();
        let help = "Requests accepted: those that ended and those in flight.";
        page.counter("portolan_requests_accepted_total", help, |series| {
            series.integer(&[], ledger.accepted)
        })?;
        let help = "Requests that ended, by the reason word of how.";
        page.counter("portolan_requests_ended_total", help, |series| {
            by_reason(series, &ledger.ended)
        })?;
        let help = "Requests that the proxy answered itself, by reason.";
        page.counter("portolan_local_responses_total", help, |series| {
            by_reason(series, &metrics.local_by_reason())
        })?;
        let help = "Requests that have begun and not ended.";
        page.gauge("portolan_requests_in_flight", help, |series| {
            series.integer(&[], ledger.in_flight())
        })?;
        let help = "Time a request spent in the proxy, not waiting for its instance or client.";
        page.histogram("portolan_overhead_seconds", help, |series| match metrics.overhead() {
            Some(overhead) if overhead.count() > 0 => series.distribution(&[], &overhead),
            _ => Ok(()),
        })
    }

    /// Every route with its labels, and the requests that none matched.
    fn each_route(&self) -> impl Iterator<Item = (&str, &str, &RouteMetrics)> {
        let routed = self.scrape.routes.iter().map(|route| {
            let service = route.service.as_ref().map_or("", |service| service.as_str());
            (&*route.route, service, &*route.metrics)
        });
        routed.chain([("", "", &**self.metrics.unrouted())])
    }

    pub(super) fn routes(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Requests by route, method and status sent to the client.";
        page.counter("portolan_requests_total", help, |series| {
            self.each_route().try_for_each(|(route, service, metrics)| {
                metrics.requests().into_iter().try_for_each(|((method, code), count)| {
                    let exact;
                    let code = match code {
                        Code::Exact(status) => {
                            exact = status.to_string();
                            &exact
                        }
                        Code::Class(class) => class,
                    };
                    let labels = [
                        ("route", route),
                        ("service", service),
                        ("method", method),
                        ("code", code),
                    ];
                    series.integer(&labels, count)
                })
            })
        })?;
        let help = "Time from the head of a request to the last byte of its response.";
        page.histogram("portolan_request_duration_seconds", help, |series| {
            self.each_route().try_for_each(|(route, service, metrics)| {
                metrics.durations().try_for_each(|(class, durations)| {
                    let labels = [("route", route), ("service", service), ("code_class", class)];
                    series.distribution(&labels, &durations)
                })
            })
        })?;
        let mut bytes = |name, help, side: fn((u64, u64)) -> u64| {
            page.counter(name, help, |series| {
                self.each_route().try_for_each(|(route, service, metrics)| match metrics.bytes() {
                    Some(both) => {
                        series.integer(&[("route", route), ("service", service)], side(both))
                    }
                    None => Ok(()),
                })
            })
        };
        let help = "Bytes of request bodies.";
        bytes("portolan_request_bytes_total", help, |(bytes_in, _)| bytes_in)?;
        let help = "Bytes of response bodies.";
        bytes("portolan_response_bytes_total", help, |(_, bytes_out)| bytes_out)
    }

    pub(super) fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let listeners = &self.scrape.listeners;
        let each = || {
            listeners.iter().take(LISTENERS).enumerate().map(|(listener, name)| {
                // The last place counts all that found none of their own.
                let shared = listener == LISTENERS - 1 && listeners.len() > LISTENERS;
                (listener, if shared { OTHER } else { name.as_str() })
            })
        };
        let help = "Client connections that are open.";
        page.gauge("portolan_connections", help, |series| {
            each().try_for_each(|(listener, name)| {
                let (open, _) = self.metrics.connections_of(listener);
                series.integer(&[("listener", name)], open)
            })
        })?;
        let help = "Client connections accepted.";
        page.counter("portolan_connections_total", help, |series| {
            each().try_for_each(|(listener, name)| {
                let (_, opened) = self.metrics.connections_of(listener);
                series.integer(&[("listener", name)], opened)
            })
        })
    }
}

fn by_reason(series: &mut Series<'_>, counts: &[(Reason, u64)]) -> fmt::Result {
    // Those that never happened too: a rate can only be seen to rise from 0.
    counts
        .iter()
        .try_for_each(|(reason, count)| series.integer(&[("reason", reason.as_str())], *count))
}
