//! Tests over all metrics: from counting to the page, and the page against
//! its documentation.

mod parser;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, UNIX_EPOCH},
};

use http::Method;
use parser::{Family, Sample, parse};

use super::*;
use crate::model::{Ending, FrontApi, InstanceState, Reason, ServiceName};

const DOCS: &str = include_str!("../../../../docs/reference/metrics.md");

fn service(name: &str) -> ServiceName {
    name.parse().expect("a service name")
}

fn endpoint(id: &str, state: InstanceState) -> EndpointScrape {
    EndpointScrape {
        service: service("orders"),
        id: id.parse().expect("an id"),
        address: "10.0.0.1:80".parse().expect("an address"),
        state,
        routable: state.is_routable(),
        in_flight: 1,
        requests: 10,
        failures: 2,
    }
}

/// A page in which every metric has a series.
fn full() -> (Arc<Metrics>, Scrape) {
    let metrics = Metrics::new(2);
    let worker = metrics.worker(1);
    worker.connection_opened(0);
    worker.request_begun();
    worker.request_ended(Reason::Ok, false);
    worker.overhead(Duration::from_micros(40));
    metrics.fronts().answered(FrontApi::Eureka, FrontCall::Renew, 200);
    let route = RouteMetrics::new(2);
    route.record(1, &Method::GET, 200, Duration::from_millis(3), 10, 200);
    let upstream = ServiceMetrics::new(2);
    upstream.upstream(0, 200, Duration::from_millis(2));
    upstream.connect(0, true);
    upstream.retried(0, RetryCause::Connect);
    upstream.retry_refused(1);
    let scrape = Scrape {
        build: BuildScrape { version: "1.2.3".into(), revision: "abc".into() },
        listeners: vec!["0.0.0.0:8080".into()],
        routes: vec![RouteScrape {
            route: "orders".into(),
            service: Some(service("orders")),
            metrics: route,
        }],
        services: vec![ServiceScrape {
            service: service("orders"),
            routable: 1,
            panic: false,
            ejected: 0,
            ejections: vec![("latency", 1)],
            circuit: Some((false, 2)),
            metrics: upstream,
        }],
        endpoints: vec![endpoint("a", InstanceState::Healthy)],
        sources: vec![SourceScrape {
            source: "registry".into(),
            up: true,
            last_sync: Some(UNIX_EPOCH + Duration::from_millis(1_500)),
            failures: 0,
            rejections: 0,
            held: 0,
        }],
        instances: vec![InstancesScrape {
            source: "registry".into(),
            state: InstanceState::Healthy,
            count: 1,
        }],
        store: StoreScrape { newest_snapshot: Some(UNIX_EPOCH), ..StoreScrape::default() },
        fleet: Some(FleetScrape { present: 1, missing: 1, ..FleetScrape::default() }),
        config: ConfigScrape { last_success: Some(UNIX_EPOCH), ..ConfigScrape::default() },
        certificates: vec![CertificateScrape {
            listener: "127.0.0.1:8443".to_owned(),
            file: "a.pem".to_owned(),
            not_after: UNIX_EPOCH,
        }],
        ..Scrape::default()
    };
    (metrics, scrape)
}

fn page(metrics: &Arc<Metrics>, scrape: Scrape) -> BTreeMap<String, Family> {
    let text = render(metrics, scrape);
    parse(&text).unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

fn value(family: &Family, labels: &[(&str, &str)]) -> Option<f64> {
    let matches = |sample: &&Sample| {
        labels
            .iter()
            .all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
    };
    let mut found = family.samples.iter().filter(matches);
    let first = found.next().map(|sample| sample.value);
    assert!(found.next().is_none(), "{labels:?} names several series");
    first
}

#[test]
fn the_page_and_its_documentation_agree() {
    let (metrics, scrape) = full();
    let shown: BTreeMap<_, _> = page(&metrics, scrape)
        .into_iter()
        .map(|(name, family)| {
            let labels: BTreeSet<_> =
                family.samples.iter().flat_map(|sample| sample.labels.keys().cloned()).collect();
            assert!(!family.samples.is_empty(), "{name} has no series");
            assert!(family.help.ends_with('.') && !family.help.contains('\\'), "{name}");
            (name, (family.kind, labels))
        })
        .collect();
    let documented: BTreeMap<_, _> = DOCS
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, kind, labels, meaning] = cells[..] else { panic!("not four cells: {line}") };
            assert!(!meaning.is_empty(), "{line}");
            let mut labels: BTreeSet<_> =
                labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            if kind == "histogram" {
                labels.insert("le".into());
            }
            (name.trim_matches('`').to_owned(), (kind.to_owned(), labels))
        })
        .collect();
    assert_eq!(shown, documented);
}

#[test]
fn numbers_arrive_on_the_page() {
    let (metrics, mut scrape) = full();
    metrics.worker(0).request_begun();
    metrics.worker(0).request_ended(Reason::NoRoute, true);
    metrics.worker(0).request_begun();
    metrics.unrouted().record(0, &Method::POST, 404, Duration::from_millis(1), 5, 6);
    scrape.access_log = AccessLogScrape { dropped: 7, lost: 8 };
    let page = page(&metrics, scrape);
    let value = |name: &str, labels: &[(&str, &str)]| value(&page[name], labels);
    let routed = [("route", "orders"), ("method", "GET"), ("code", "200")];
    assert_eq!(value("portolan_requests_total", &routed), Some(1.0));
    let unrouted = [("route", ""), ("service", ""), ("method", "POST"), ("code", "404")];
    assert_eq!(value("portolan_requests_total", &unrouted), Some(1.0));
    let no_route = [("reason", "no_route")];
    assert_eq!(value("portolan_requests_ended_total", &no_route), Some(1.0));
    assert_eq!(value("portolan_local_responses_total", &no_route), Some(1.0));
    assert_eq!(value("portolan_local_responses_total", &[("reason", "ok")]), Some(0.0));
    assert_eq!(value("portolan_requests_in_flight", &[]), Some(1.0));
    assert_eq!(value("portolan_connections", &[("listener", "0.0.0.0:8080")]), Some(1.0));
    let cause = [("cause", "write_failed")];
    assert_eq!(value("portolan_access_log_dropped_total", &cause), Some(8.0));
    assert_eq!(value("portolan_registry_last_sync_timestamp_seconds", &[]), Some(1.5));
    let durations = &page["portolan_request_duration_seconds"];
    let bucket = |le| self::value(durations, &[("route", "orders"), ("le", le)]);
    assert_eq!(
        (bucket("0.0025"), bucket("0.005"), bucket("+Inf")),
        (Some(0.0), Some(1.0), Some(1.0))
    );
}

#[test]
fn label_values_are_escaped() {
    let (metrics, mut scrape) = full();
    let name = "a\"b\\c\nd {é} ,=";
    scrape.routes[0].route = name.into();
    let page = page(&metrics, scrape);
    assert_eq!(value(&page["portolan_requests_total"], &[("route", name)]), Some(1.0));
}

#[test]
fn many_endpoints_have_no_series_of_their_own() {
    let (metrics, mut scrape) = full();
    let many = |count: usize| {
        (0..count).map(|n| endpoint(&format!("i{n}"), InstanceState::Healthy)).collect()
    };
    scrape.endpoints = many(ENDPOINT_SERIES_MAX);
    let shown = page(&metrics, scrape.clone());
    assert_eq!(shown["portolan_endpoint_up"].samples.len(), ENDPOINT_SERIES_MAX);
    scrape.endpoints = many(ENDPOINT_SERIES_MAX + 1);
    let shown = page(&metrics, scrape);
    assert!(shown["portolan_endpoint_up"].samples.is_empty());
    assert_eq!(value(&shown["portolan_service_routable_instances"], &[]), Some(1.0));
}

#[test]
fn two_endpoints_of_one_name_are_one_series() {
    let (metrics, mut scrape) = full();
    scrape.endpoints =
        vec![endpoint("a", InstanceState::Draining), endpoint("a", InstanceState::Healthy)];
    for _ in 0..2 {
        let page = page(&metrics, scrape.clone());
        let labels = [("service", "orders"), ("endpoint", "a")];
        assert_eq!(value(&page["portolan_endpoint_up"], &labels), Some(1.0));
        assert_eq!(value(&page["portolan_endpoint_requests_total"], &labels), Some(20.0));
        let healthy = [labels[0], labels[1], ("state", "healthy")];
        assert_eq!(value(&page["portolan_endpoint_state"], &healthy), Some(1.0));
        scrape.endpoints.reverse();
    }
}

#[test]
fn listeners_beyond_the_last_place_share_it() {
    let (metrics, mut scrape) = full();
    metrics.worker(0).connection_opened(31);
    metrics.worker(0).connection_opened(40);
    scrape.listeners = (0..41).map(|n| format!("l{n}")).collect();
    let page = page(&metrics, scrape);
    let value = |listener| value(&page["portolan_connections"], &[("listener", listener)]);
    assert_eq!((value("l30"), value("l31"), value("_OTHER")), (Some(0.0), None, Some(2.0)));
    assert_eq!(metrics.connections(), 3);
}

#[test]
fn workers_count_at_once_and_lose_nothing() {
    const EACH: u64 = 20_000;
    let metrics = Metrics::new(4);
    let route = RouteMetrics::new(4);
    let done = AtomicBool::new(false);
    let start = Barrier::new(5);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|number| {
                let (metrics, route, start) = (&metrics, &route, &start);
                scope.spawn(move || {
                    let worker = metrics.worker(number);
                    start.wait();
                    for n in 0..EACH {
                        worker.request_begun();
                        let status = 200 + u16::try_from(n % 40).expect("small");
                        route.record(
                            number,
                            &Method::GET,
                            status,
                            Duration::from_millis(n % 9),
                            1,
                            2,
                        );
                        worker.request_ended(Reason::Ok, false);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            start.wait();
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let ledger = metrics.ledger();
                assert!(ledger.in_flight() <= 4 * EACH, "never below zero");
                let ended = ledger.of(Ending::Completed);
                assert!(ended >= last, "counts never go back");
                last = ended;
                let shown: u64 = route.requests().values().sum();
                assert!(shown <= 4 * EACH);
            }
        });
        for worker in workers {
            worker.join().expect("counts");
        }
        done.store(true, Ordering::Relaxed);
    });
    let ledger = metrics.ledger();
    assert_eq!(ledger.ended[0], (Reason::Ok, 4 * EACH));
    assert_eq!((ledger.accepted, ledger.in_flight()), (4 * EACH, 0));
    assert_eq!(route.bytes(), Some((4 * EACH, 8 * EACH)));
    assert_eq!(route.requests().values().sum::<u64>(), 4 * EACH);
    let durations: u64 = route.durations().map(|(_, durations)| durations.count()).sum();
    assert_eq!(durations, 4 * EACH);
}
