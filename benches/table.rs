//! What the parts of a table cost: the look-up of a route, the pick of an
//! endpoint, one spelling for host and path, and a new table.
//!
//! `cargo bench --bench table`. What to look for stands in
//! `docs/performance.md`.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up should say so and end")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use portolan::{
    balance::{Balancer, Memory, Target},
    model::{BalancePolicy, Endpoint, ServiceSettings},
    routing::{
        Action, Lookup, Route, RouteSettings, Router, Service, ServiceState, Services, Slot, Slots,
        Table, channel, host, path,
    },
    telemetry::RouteMetrics,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// One in so many weights differs, where weights are to differ.
const HEAVY: usize = 10;

fn targets(count: usize, even: bool) -> Vec<Target> {
    let target = |index: usize| {
        let key = format!("service/{index}").parse().expect("a key");
        let address = "10.0.0.1:80".parse().expect("an address");
        let weight = if even || !index.is_multiple_of(HEAVY) { 100 } else { 333 };
        Target {
            endpoint: Arc::new(Endpoint::new(
                key,
                1,
                address,
                portolan::model::Provenance::Registered,
            )),
            weight,
        }
    };
    (0..count).map(target).collect()
}

mod look_up {
    use super::*;

    const COUNTS: [usize; 3] = [10, 1000, 100_000];

    /// Requests in turn: few enough that what they look at stays in the
    /// processor's caches.
    const REQUESTS: u32 = 64;

    /// Many enough that it does not, if the table is large.
    const MANY_REQUESTS: u32 = 16_384;

    fn router(count: usize, settings: impl Fn(usize) -> RouteSettings) -> Router {
        let metrics = RouteMetrics::new(1);
        let route = |index: usize| {
            let action = Action::Redirect { to: String::new(), status: 308 };
            let name = index.to_string();
            Arc::new(Route::new(settings(index), &name, None, action, Arc::clone(&metrics)))
        };
        Router::new((0..count).map(route).collect())
    }

    fn settings(host: Option<&str>, path: &str) -> RouteSettings {
        let path = path.parse().expect("a path");
        let mut settings = RouteSettings { path, ..RouteSettings::default() };
        settings.host.0.extend(host.map(|host| host.parse().expect("a host")));
        settings
    }

    fn run(bencher: Bencher<'_, '_>, router: &Router, requests: &[(String, String)]) {
        let headers = HeaderMap::new();
        let find = |(host, path): &(String, String)| {
            let lookup = Lookup { host, path, method: &Method::GET, headers: &headers };
            router.find(black_box(&lookup)).expect("a route").name.len()
        };
        requests.iter().for_each(|request| _ = find(request));
        let mut turn = requests.iter().cycle();
        bencher.bench_local(|| find(turn.next().expect("endless")));
    }

    fn spread(requests: u32, count: usize) -> impl Iterator<Item = usize> {
        (0..requests as usize).map(move |turn| turn * 7919 % count)
    }

    #[divan::bench(args = COUNTS, sample_size = REQUESTS)]
    fn exact_hosts(bencher: Bencher<'_, '_>, count: usize) {
        let router = router(count, |index| settings(Some(&format!("s{index}.example")), "/"));
        let request = |index| (format!("s{index}.example"), "/orders/17/items".to_owned());
        run(bencher, &router, &spread(REQUESTS, count).map(request).collect::<Vec<_>>());
    }

    #[divan::bench(args = COUNTS, sample_size = MANY_REQUESTS)]
    fn exact_hosts_out_of_cache(bencher: Bencher<'_, '_>, count: usize) {
        let router = router(count, |index| settings(Some(&format!("s{index}.example")), "/"));
        let request = |index| (format!("s{index}.example"), "/orders/17/items".to_owned());
        run(bencher, &router, &spread(MANY_REQUESTS, count).map(request).collect::<Vec<_>>());
    }

    #[divan::bench(args = COUNTS, sample_size = REQUESTS)]
    fn wildcard_hosts(bencher: Bencher<'_, '_>, count: usize) {
        let router = router(count, |index| settings(Some(&format!("*.s{index}.example")), "/"));
        let request = |index| (format!("a.b.s{index}.example"), "/orders/17/items".to_owned());
        run(bencher, &router, &spread(REQUESTS, count).map(request).collect::<Vec<_>>());
    }

    #[divan::bench(args = COUNTS, sample_size = REQUESTS)]
    fn paths_of_one_host(bencher: Bencher<'_, '_>, count: usize) {
        let path = |index| format!("/api/v1/service-{index}");
        let router = router(count, |index| settings(Some("shop.example"), &path(index)));
        let request = |index| ("shop.example".to_owned(), format!("{}/orders/17", path(index)));
        run(bencher, &router, &spread(REQUESTS, count).map(request).collect::<Vec<_>>());
    }
}

mod pick {
    use super::*;

    const COUNTS: [usize; 3] = [1, 10, 1000];

    fn run(bencher: Bencher<'_, '_>, policy: BalancePolicy, targets: Vec<Target>) {
        let (balancer, memory) = (Balancer::new(policy, targets), Memory::default());
        bencher.bench_local(|| balancer.pick(black_box(&memory), &[]).expect("a target").id);
    }

    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn least_request(bencher: Bencher<'_, '_>, count: usize) {
        run(bencher, BalancePolicy::LeastRequest, targets(count, true));
    }

    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn least_request_weighted(bencher: Bencher<'_, '_>, count: usize) {
        run(bencher, BalancePolicy::LeastRequest, targets(count, false));
    }

    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn round_robin(bencher: Bencher<'_, '_>, count: usize) {
        run(bencher, BalancePolicy::RoundRobin, targets(count, true));
    }

    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn round_robin_weighted(bencher: Bencher<'_, '_>, count: usize) {
        run(bencher, BalancePolicy::RoundRobin, targets(count, false));
    }

    #[divan::bench(args = COUNTS, sample_size = 1000)]
    fn random(bencher: Bencher<'_, '_>, count: usize) {
        run(bencher, BalancePolicy::Random, targets(count, true));
    }
}

mod canonical {
    use super::*;

    #[divan::bench(sample_size = 100)]
    fn plain_host() -> usize {
        host::of_authority(black_box(b"shop.example:8080")).expect("a host").as_bytes().len()
    }

    #[divan::bench(sample_size = 100)]
    fn mixed_case_host() -> usize {
        host::of_authority(black_box(b"Shop.Example.:8080")).expect("a host").as_bytes().len()
    }

    #[divan::bench(sample_size = 100)]
    fn plain_path() -> usize {
        path::canonical(black_box("/orders/17/items/blue-shirt")).expect("a path").len()
    }

    #[divan::bench(sample_size = 100)]
    fn encoded_path() -> usize {
        path::canonical(black_box("/orders/17/./items/%62lue%20shirt")).expect("a path").len()
    }
}

/// A new table after one of 10 instances of one service changed.
mod publish {
    use super::*;

    const SERVICES: [usize; 3] = [10, 1000, 10_000];
    const INSTANCES: usize = 10;

    fn service(state: Arc<ServiceState>, targets: Vec<Target>) -> Arc<Service> {
        Arc::new(Service {
            policy: Arc::new(ServiceSettings::default().resolve(&ServiceSettings::default())),
            balancer: Balancer::new(BalancePolicy::LeastRequest, targets),
            panic: false,
            retry_after: 0,
            state,
        })
    }

    fn table(count: usize) -> (Table, Vec<Slot>) {
        let (mut slots, mut services) = (Slots::default(), Services::default());
        let taken = (0..count).map(|index| {
            let name = format!("service-{index}").parse().expect("a name");
            let policy = ServiceSettings::default().resolve(&ServiceSettings::default());
            let state = Arc::new(ServiceState::new(name, &policy, 2));
            let service = service(state, targets(INSTANCES, true));
            let slot = slots.take();
            services.set(slot, Some(service));
            slot
        });
        let taken = taken.collect();
        (Table { services, ..Table::default() }, taken)
    }

    #[divan::bench(args = SERVICES, sample_size = 100)]
    fn after_one_change(bencher: Bencher<'_, '_>, count: usize) {
        let (mut table, slots) = table(count);
        let (mut publisher, readers) = channel(2);
        let mut turn = slots.iter().cycle();
        bencher.bench_local(|| {
            let slot = *turn.next().expect("endless");
            let old = table.services.get(slot).expect("a service");
            let state = Arc::clone(&old.state);
            let new = service(state, old.balancer.targets().to_vec());
            table.services.set(slot, Some(new));
            table.version += 1;
            publisher.publish(Arc::new(table.clone()));
            // The workers let go of the old one.
            for reader in &readers {
                reader.acknowledge();
            }
        });
    }

    /// The part of it that grows with the instances of a service.
    #[divan::bench(args = [10, 1000])]
    fn round_robin_weighted_of(bencher: Bencher<'_, '_>, count: usize) {
        let targets = targets(count, false);
        bencher
            .bench_local(|| Balancer::new(BalancePolicy::RoundRobin, black_box(targets.clone())));
    }
}
