//! The text that Prometheus reads.
//!
//! `docs/reference/metrics.md` lists every metric; a test holds the two
//! together. Series of one metric stand together, and none occurs twice.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode_registry},
    registry::Registry,
};

use super::{
    Metrics, RouteMetrics,
    method::OTHER,
    page::{Page, Series},
    process::Process,
    route::Code,
    scrape::{EndpointScrape, Scrape},
    worker::LISTENERS,
};
use crate::model::{InstanceState, Reason};

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
        self.control(&mut page)?;
        self.telemetry(&mut page)?;
        self.process(&mut page)
    }
}

impl Exposition {
    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let help = "Requests that ended, by the reason word of how.";
        page.counter("portolan_requests_ended_total", help, |series| {
            by_reason(series, &metrics.requests_by_reason())
        })?;
        let help = "Requests that the proxy answered itself, by reason.";
        page.counter("portolan_local_responses_total", help, |series| {
            by_reason(series, &metrics.local_by_reason())
        })?;
        let help = "Requests that have begun and not ended.";
        page.gauge("portolan_requests_in_flight", help, |series| {
            series.number(&[], metrics.in_flight() as f64)
        })?;
        let help = "Time a request spent in the proxy, not waiting for its instance or client.";
        page.histogram("portolan_overhead_seconds", help, |series| match metrics.overhead() {
            Some(overhead) => series.distribution(&[], &overhead),
            None => Ok(()),
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

    fn routes(&self, page: &mut Page<'_>) -> fmt::Result {
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
                    series.count(&labels, count)
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
                        series.count(&[("route", route), ("service", service)], side(both))
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

    fn services(&self, page: &mut Page<'_>) -> fmt::Result {
        let services = &self.scrape.services;
        // A service without traffic has no series of it, so that a large
        // catalog does not make a large page.
        let used = || services.iter().filter(|service| service.metrics.is_used());
        let help = "Response heads from instances, by the class of their status.";
        page.counter("portolan_upstream_requests_total", help, |series| {
            used().try_for_each(|service| {
                service.metrics.responses().try_for_each(|(class, count)| {
                    let labels = [("service", service.service.as_str()), ("code_class", class)];
                    series.count(&labels, count)
                })
            })
        })?;
        let help = "Time from giving a request to an instance to the head of its response.";
        page.histogram("portolan_upstream_duration_seconds", help, |series| {
            used().try_for_each(|service| match service.metrics.first_bytes() {
                Some(times) => {
                    series.distribution(&[("service", service.service.as_str())], &times)
                }
                None => Ok(()),
            })
        })?;
        let help = "Attempts to open a connection to an instance, by result.";
        page.counter("portolan_upstream_connects_total", help, |series| {
            used().try_for_each(|service| {
                let name = service.service.as_str();
                let (ok, failed) = service.metrics.connects();
                series.count(&[("service", name), ("result", "ok")], ok)?;
                series.count(&[("service", name), ("result", "failed")], failed)
            })
        })?;
        let help = "Requests tried again on another instance.";
        page.counter("portolan_upstream_retries_total", help, |series| {
            used().try_for_each(|service| {
                let labels = [("service", service.service.as_str())];
                series.count(&labels, service.metrics.retries())
            })
        })?;
        let help = "Instances of the service that requests are sent to.";
        page.gauge("portolan_service_routable_instances", help, |series| {
            services.iter().try_for_each(|service| {
                series.number(&[("service", service.service.as_str())], service.routable as f64)
            })
        })?;
        let help = "1 while the panic threshold keeps failing instances in use.";
        page.gauge("portolan_service_panic", help, |series| {
            services.iter().try_for_each(|service| {
                series.number(&[("service", service.service.as_str())], flag(service.panic))
            })
        })
    }

    fn endpoints(&self, page: &mut Page<'_>) -> fmt::Result {
        let endpoints = self.each_endpoint();
        let mut gauge = |name, help, value: fn(&EndpointScrape) -> f64| {
            page.gauge(name, help, |series| {
                endpoints.values().try_for_each(|endpoint| {
                    series.number(&endpoint_labels(endpoint), value(endpoint))
                })
            })
        };
        let help = "1 if requests are sent to the instance.";
        gauge("portolan_endpoint_up", help, |endpoint| flag(endpoint.routable))?;
        let help = "Requests, streams and tunnels on the instance.";
        gauge("portolan_endpoint_in_flight", help, |endpoint| endpoint.in_flight as f64)?;
        let mut counter = |name, help, value: fn(&EndpointScrape) -> u64| {
            page.counter(name, help, |series| {
                endpoints.values().try_for_each(|endpoint| {
                    series.count(&endpoint_labels(endpoint), value(endpoint))
                })
            })
        };
        let help = "Requests begun on the instance.";
        counter("portolan_endpoint_requests_total", help, |endpoint| endpoint.requests)?;
        let help = "Requests that the instance failed.";
        counter("portolan_endpoint_failures_total", help, |endpoint| endpoint.failures)?;
        let help = "1 for the state the instance is in, 0 for the others.";
        page.gauge("portolan_endpoint_state", help, |series| {
            endpoints.values().try_for_each(|endpoint| {
                InstanceState::ALL.into_iter().try_for_each(|state| {
                    let [service, id] = endpoint_labels(endpoint);
                    let labels = [service, id, ("state", state.as_str())];
                    series.number(&labels, flag(endpoint.state == state))
                })
            })
        })?;
        let help = "1; tells where the instance listens.";
        page.gauge("portolan_endpoint_info", help, |series| {
            endpoints.values().try_for_each(|endpoint| {
                let [service, id] = endpoint_labels(endpoint);
                let address = endpoint.address.to_string();
                series.number(&[service, id, ("address", &address)], 1.0)
            })
        })
    }

    /// Endpoints by name; none if there are too many. Two of one name become
    /// one: the sum of both, in the state of the one that takes requests.
    fn each_endpoint(&self) -> BTreeMap<(&str, &str), EndpointScrape> {
        let mut endpoints = BTreeMap::new();
        if self.scrape.endpoints.len() > ENDPOINT_SERIES_MAX {
            return endpoints;
        }
        for endpoint in &self.scrape.endpoints {
            endpoints
                .entry((endpoint.service.as_str(), endpoint.id.as_str()))
                .and_modify(|one: &mut EndpointScrape| {
                    if one.state == InstanceState::Draining {
                        one.state = endpoint.state;
                        one.address = endpoint.address.clone();
                    }
                    one.routable |= endpoint.routable;
                    one.in_flight += endpoint.in_flight;
                    one.requests += endpoint.requests;
                    one.failures += endpoint.failures;
                })
                .or_insert_with(|| endpoint.clone());
        }
        endpoints
    }

    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let listeners = &self.scrape.listeners;
        let each = || {
            let named = listeners.iter().take(LISTENERS - 1).map(String::as_str);
            let last =
                if listeners.len() == LISTENERS { &*listeners[LISTENERS - 1] } else { OTHER };
            let all = named.enumerate();
            all.chain((listeners.len() >= LISTENERS).then_some((LISTENERS - 1, last)))
        };
        let help = "Client connections that are open.";
        page.gauge("portolan_connections", help, |series| {
            each().try_for_each(|(listener, name)| {
                let (open, _) = self.metrics.connections_of(listener);
                series.number(&[("listener", name)], open as f64)
            })
        })?;
        let help = "Client connections accepted.";
        page.counter("portolan_connections_total", help, |series| {
            each().try_for_each(|(listener, name)| {
                let (_, opened) = self.metrics.connections_of(listener);
                series.count(&[("listener", name)], opened)
            })
        })
    }

    fn control(&self, page: &mut Page<'_>) -> fmt::Result {
        let Scrape { sources, instances, table, config, probes, .. } = &self.scrape;
        let help = "1 if the source of instances answers.";
        page.gauge("portolan_registry_source_up", help, |series| {
            sources.iter().try_for_each(|source| {
                series.number(&[("source", &source.source)], flag(source.up))
            })
        })?;
        let help = "When the source was last known to be in step.";
        page.gauge("portolan_registry_last_sync_timestamp_seconds", help, |series| {
            sources.iter().try_for_each(|source| match source.last_sync {
                Some(time) => series.number(&[("source", &source.source)], timestamp(time)),
                None => Ok(()),
            })
        })?;
        let help = "Instances by source and state.";
        page.gauge("portolan_registry_instances", help, |series| {
            instances.iter().try_for_each(|some| {
                let labels = [("source", &*some.source), ("state", some.state.as_str())];
                series.number(&labels, some.count as f64)
            })
        })?;
        let help = "1 if the store of the registry takes writes.";
        page.gauge("portolan_registry_store_writable", help, |series| {
            series.number(&[], flag(self.scrape.store_writable))
        })?;
        let help = "Version of the routing table that every worker routes by.";
        page.gauge("portolan_table_version", help, |series| {
            series.number(&[], table.version as f64)
        })?;
        let help = "Routing tables published.";
        page.counter("portolan_table_publishes_total", help, |series| {
            series.count(&[], table.publishes)
        })?;
        let help = "Time spent on compiling and publishing routing tables.";
        page.counter("portolan_table_publish_seconds_total", help, |series| {
            series.number(&[], table.publish_time.as_secs_f64())
        })?;
        let help = "Reloads of the config file, by result.";
        page.counter("portolan_config_reloads_total", help, |series| {
            series.count(&[("result", "ok")], config.reloads_ok)?;
            series.count(&[("result", "failed")], config.reloads_failed)
        })?;
        let help = "1 if the last reload of the config file took effect.";
        let name = "portolan_config_last_reload_successful";
        page.gauge(name, help, |series| series.number(&[], flag(config.last_reload_ok)))?;
        let help = "When the running config was loaded.";
        let name = "portolan_config_last_reload_success_timestamp_seconds";
        page.gauge(name, help, |series| match config.last_success {
            Some(time) => series.number(&[], timestamp(time)),
            None => Ok(()),
        })?;
        let help = "Health probes, by result.";
        page.counter("portolan_probes_total", help, |series| {
            series.count(&[("result", "passed")], probes.passed)?;
            series.count(&[("result", "failed")], probes.failed)
        })?;
        let help = "Probe intervals as a multiple of what is configured; above 1 when stretched.";
        page.gauge("portolan_probe_stretch_ratio", help, |series| {
            series.number(&[], probes.stretch)
        })
    }

    fn telemetry(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Lines missing from the access log, by cause.";
        page.counter("portolan_access_log_dropped_total", help, |series| {
            let log = &self.scrape.access_log;
            series.count(&[("cause", "queue_full")], log.dropped)?;
            series.count(&[("cause", "write_failed")], log.lost)
        })?;
        let help = "1; tells what is running.";
        page.gauge("portolan_build_info", help, |series| {
            let build = &self.scrape.build;
            series.number(&[("version", &build.version), ("revision", &build.revision)], 1.0)
        })
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let process = &self.process;
        let help = "Time on a processor, user and system.";
        page.counter("process_cpu_seconds_total", help, |series| {
            series.number(&[], process.cpu.as_secs_f64())
        })?;
        let mut gauge = |name, help, value: Option<f64>| {
            page.gauge(name, help, |series| value.map_or(Ok(()), |value| series.number(&[], value)))
        };
        let bytes = process.resident_memory.map(|bytes| bytes as f64);
        gauge("process_resident_memory_bytes", "Resident memory.", bytes)?;
        let open = process.open_fds.map(|count| count as f64);
        gauge("process_open_fds", "Open file descriptors.", open)?;
        let max = process.max_fds.map(|count| count as f64);
        gauge("process_max_fds", "Most file descriptors that may be open.", max)?;
        let help = "When the process started.";
        gauge("process_start_time_seconds", help, process.start_time)
    }
}

fn by_reason(series: &mut Series<'_>, counts: &[(Reason, u64)]) -> fmt::Result {
    // Those that never happened too: a rate can only be seen to rise from 0.
    counts
        .iter()
        .try_for_each(|(reason, count)| series.count(&[("reason", reason.as_str())], *count))
}

fn endpoint_labels(endpoint: &EndpointScrape) -> [(&'static str, &str); 2] {
    [("service", endpoint.service.as_str()), ("endpoint", endpoint.id.as_str())]
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn timestamp(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
