//! The instances' side: services and endpoints.

use std::{collections::BTreeMap, fmt};

use super::{super::scrape::EndpointScrape, ENDPOINT_SERIES_MAX, Exposition, page::Page};
use crate::model::InstanceState;

impl Exposition {
    pub(super) fn services(&self, page: &mut Page<'_>) -> fmt::Result {
        let services = &self.scrape.services;
        // A service without traffic has no series of it, so that a large
        // catalog does not make a large page.
        let used = || services.iter().filter(|service| service.metrics.is_used());
        let help = "Response heads from instances, by the class of their status.";
        page.counter("portolan_upstream_requests_total", help, |series| {
            used().try_for_each(|service| {
                service.metrics.responses().try_for_each(|(class, count)| {
                    let labels = [("service", service.service.as_str()), ("code_class", class)];
                    series.integer(&labels, count)
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
                series.integer(&[("service", name), ("result", "ok")], ok)?;
                series.integer(&[("service", name), ("result", "failed")], failed)
            })
        })?;
        let help = "Requests sent once more, by what became of them before.";
        page.counter("portolan_upstream_retries_total", help, |series| {
            used().try_for_each(|service| {
                service.metrics.retry_counts().by_cause().try_for_each(|(cause, count)| {
                    let labels = [("service", service.service.as_str()), ("cause", cause)];
                    series.integer(&labels, count)
                })
            })
        })?;
        let help = "Requests that the budget did not let be sent once more.";
        page.counter("portolan_upstream_retries_refused_total", help, |series| {
            used().try_for_each(|service| {
                let labels = [("service", service.service.as_str())];
                series.integer(&labels, service.metrics.retry_counts().refused)
            })
        })?;
        let help = "Instances of the service that requests are sent to.";
        page.gauge("portolan_service_routable_instances", help, |series| {
            services.iter().try_for_each(|service| {
                series.integer(&[("service", service.service.as_str())], service.routable as u64)
            })
        })?;
        let help = "1 while the panic threshold keeps failing instances in use.";
        page.gauge("portolan_service_panic", help, |series| {
            services.iter().try_for_each(|service| {
                series.integer(&[("service", service.service.as_str())], u64::from(service.panic))
            })
        })?;
        self.outliers(page)
    }

    fn outliers(&self, page: &mut Page<'_>) -> fmt::Result {
        let services = &self.scrape.services;
        let help = "Healthy instances that are ejected because of what requests saw of them.";
        page.gauge("portolan_service_ejected_instances", help, |series| {
            services.iter().try_for_each(|service| {
                series.integer(&[("service", service.service.as_str())], service.ejected as u64)
            })
        })?;
        let help = "Ejections of instances, by their cause.";
        page.counter("portolan_service_ejections_total", help, |series| {
            services.iter().try_for_each(|service| {
                service.ejections.iter().try_for_each(|(cause, count)| {
                    let labels = [("service", service.service.as_str()), ("cause", *cause)];
                    series.integer(&labels, *count)
                })
            })
        })?;
        let breakers = || {
            services.iter().filter_map(|service| Some((service.service.as_str(), service.circuit?)))
        };
        let help = "1 while the circuit of the service is open or half open.";
        page.gauge("portolan_service_circuit_open", help, |series| {
            breakers().try_for_each(|(service, (open, _))| {
                series.integer(&[("service", service)], u64::from(open))
            })
        })?;
        let help = "How often the circuit of the service has opened.";
        page.counter("portolan_service_circuit_openings_total", help, |series| {
            breakers().try_for_each(|(service, (_, opened))| {
                series.integer(&[("service", service)], opened)
            })
        })
    }

    pub(super) fn endpoints(&self, page: &mut Page<'_>) -> fmt::Result {
        let endpoints = self.each_endpoint();
        let mut gauge = |name, help, value: fn(&EndpointScrape) -> u64| {
            page.gauge(name, help, |series| {
                endpoints.values().try_for_each(|endpoint| {
                    series.integer(&endpoint_labels(endpoint), value(endpoint))
                })
            })
        };
        let help = "1 if requests are sent to the instance.";
        gauge("portolan_endpoint_up", help, |endpoint| u64::from(endpoint.routable))?;
        let help = "Requests, streams and tunnels on the instance.";
        gauge("portolan_endpoint_in_flight", help, |endpoint| endpoint.in_flight)?;
        let mut counter = |name, help, value: fn(&EndpointScrape) -> u64| {
            page.counter(name, help, |series| {
                endpoints.values().try_for_each(|endpoint| {
                    series.integer(&endpoint_labels(endpoint), value(endpoint))
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
                    series.integer(&labels, u64::from(endpoint.state == state))
                })
            })
        })?;
        let help = "1; tells where the instance listens.";
        page.gauge("portolan_endpoint_info", help, |series| {
            endpoints.values().try_for_each(|endpoint| {
                let [service, id] = endpoint_labels(endpoint);
                let address = endpoint.address.to_string();
                series.integer(&[service, id, ("address", &address)], 1)
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
}

fn endpoint_labels(endpoint: &EndpointScrape) -> [(&'static str, &str); 2] {
    [("service", endpoint.service.as_str()), ("endpoint", endpoint.id.as_str())]
}
