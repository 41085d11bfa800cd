//! Who registers, who asks, and what is counted of both.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use super::super::*;
use crate::support::PATIENCE;

pub(super) const STEADY: usize = 150;
const CHANGING: usize = 50;
const ALL: usize = STEADY + CHANGING;

/// One that registers.
pub(super) struct Service {
    pub(super) name: String,
    ttl: &'static str,
    backend: Backend,
    /// Whether the last thing that was acknowledged is that it is registered.
    pub(super) is_registered: AtomicBool,
    /// Whether it was told that it is drained.
    is_drained: Arc<AtomicBool>,
}

impl Service {
    fn start(number: usize, ip: Ipv4Addr, late: &Arc<AtomicU64>) -> Self {
        let (service, ttl) = if number < STEADY { ("steady", "5s") } else { ("orders", "30s") };
        let is_drained = Arc::new(AtomicBool::new(false));
        let (drained, late) = (Arc::clone(&is_drained), Arc::clone(late));
        let backend = Backend::at(ip, move |mut accepted| {
            while accepted.head().is_some() {
                if drained.load(SeqCst) {
                    late.fetch_add(1, SeqCst);
                }
                accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        let name = format!("{service}/{number:03}");
        Self { name, ttl, backend, is_registered: AtomicBool::new(false), is_drained }
    }
}

/// Where the proxies are: for clients, and for services. None while a proxy is
/// not there.
pub(super) type Places = Mutex<[(Option<SocketAddr>, Option<SocketAddr>); 3]>;

#[derive(Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    failed: AtomicU64,
    registered: AtomicU64,
    refused: AtomicU64,
    renewed: AtomicU64,
    /// Heartbeats of registered instances that a proxy did not know.
    pub(super) unknown: AtomicU64,
    /// Those of instances that it must know.
    forgotten: AtomicU64,
    left: AtomicU64,
    unconfirmed: AtomicU64,
    looks: AtomicU64,
    /// The fewest steady instances that any proxy routed to.
    fewest: AtomicUsize,
}

fn count(what: &AtomicU64) {
    what.fetch_add(1, SeqCst);
}

pub(super) struct Scene {
    begun: Instant,
    pub(super) places: Places,
    pub(super) services: Vec<Service>,
    pub(super) counts: Counts,
    late: Arc<AtomicU64>,
    pub(super) over: AtomicBool,
    /// Whether nobody comes or goes.
    pub(super) paused: AtomicBool,
    pub(super) busy: AtomicUsize,
    /// Whether it is looked how many steady ones there are.
    pub(super) watched: AtomicBool,
    notes: Mutex<Vec<String>>,
}

impl Scene {
    /// With instances at the address `ip`.
    pub(super) fn new(ip: Ipv4Addr, places: [(Option<SocketAddr>, Option<SocketAddr>); 3]) -> Self {
        let late = Arc::default();
        Self {
            begun: Instant::now(),
            places: Mutex::new(places),
            services: (0..ALL).map(|number| Service::start(number, ip, &late)).collect(),
            counts: Counts { fewest: AtomicUsize::new(STEADY), ..Counts::default() },
            late,
            over: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            notes: Mutex::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    fn admin(&self, from: usize) -> Option<SocketAddr> {
        let places = self.places.lock().expect("no panic");
        (0..3).find_map(|next| places[(from + next) % 3].1)
    }

    fn call(&self, from: usize, method: &str, path: &str, body: &str) -> Option<http::Answer> {
        http::call(self.admin(from)?, method, path, body).ok()
    }

    /// Clients of the proxy `number`.
    pub(super) fn ask(&self, number: usize, target: &str) {
        while !self.is_over() {
            let place = self.places.lock().expect("no panic")[number].0;
            let Some(address) = place else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let begun = Instant::now();
            let answer = http::call(address, "GET", target, "");
            let took = begun.elapsed();
            let ok = answer.as_ref().is_ok_and(|answer| answer.status == 200);
            // Who asks a proxy that is killed notices.
            if self.places.lock().expect("no panic")[number].0 == place {
                count(&self.counts.requests);
                if !ok {
                    count(&self.counts.failed);
                    let at = begun.duration_since(self.begun);
                    self.note(format!(
                        "a request to {target} by proxy {number} at {at:?} for {took:?}: {answer:?}"
                    ));
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn note(&self, what: String) {
        self.notes.lock().expect("no panic").push(what);
    }

    /// Registers `service` until that is acknowledged.
    pub(super) fn register(&self, service: &Service, mut by: usize) {
        let body = json!({ "address": service.backend.address.to_string(), "ttl": service.ttl });
        service.is_drained.store(false, SeqCst);
        while !self.is_over() {
            let answer = self.call(by, "PUT", &path(&service.name), &body.to_string());
            if answer.is_some_and(|answer| matches!(answer.status, 200 | 201)) {
                service.is_registered.store(true, SeqCst);
                count(&self.counts.registered);
                // Who has a TTL is routed to after the first heartbeat.
                self.renew(service, by);
                return;
            }
            count(&self.counts.refused);
            thread::sleep(Duration::from_millis(200));
            by += 1;
        }
    }

    fn renew(&self, service: &Service, by: usize) {
        let path = format!("{}/heartbeat", path(&service.name));
        let Some(answer) = self.call(by, "POST", &path, "") else { return };
        if answer.status == 200 {
            count(&self.counts.renewed);
        } else if service.is_registered.load(SeqCst) {
            // Who is cut off does not know who came since; the client would
            // register again.
            count(&self.counts.unknown);
            if self.watched.load(SeqCst) && service.ttl == "5s" {
                count(&self.counts.forgotten);
                self.note(format!("a heartbeat of {}: {answer:?}", service.name));
            }
        }
    }

    /// Takes `service` out until it is told that nothing comes any more.
    fn leave(&self, service: &Service, mut by: usize) {
        let path = format!("{}?wait=drained&timeout=2s", path(&service.name));
        service.is_registered.store(false, SeqCst);
        while !self.is_over() {
            match self.call(by, "DELETE", &path, "").map(|answer| answer.status) {
                Some(200) => {
                    service.is_drained.store(true, SeqCst);
                    count(&self.counts.left);
                    return;
                }
                Some(202) => count(&self.counts.unconfirmed),
                _ => count(&self.counts.refused),
            }
            thread::sleep(Duration::from_millis(200));
            by += 1;
        }
    }

    /// Some come and go, one after the other.
    pub(super) fn change(&self, services: &[Service]) {
        let mut round = 0;
        while !self.is_over() {
            for (number, service) in services.iter().enumerate() {
                self.busy.fetch_add(1, SeqCst);
                if !self.paused.load(SeqCst) && !self.is_over() {
                    match service.is_registered.load(SeqCst) {
                        true => self.leave(service, number + round),
                        false => self.register(service, number + round),
                    }
                }
                self.busy.fetch_sub(1, SeqCst);
                thread::sleep(Duration::from_millis(100));
            }
            round += 1;
        }
    }

    /// Heartbeats, each to another proxy than the one before.
    pub(super) fn heartbeats(&self, services: &[Service]) {
        let mut round = 0;
        while !self.is_over() {
            let begun = Instant::now();
            for (number, service) in services.iter().enumerate() {
                if service.is_registered.load(SeqCst) && !self.is_over() {
                    self.renew(service, number + round);
                }
            }
            round += 1;
            thread::sleep(Duration::from_millis(1500).saturating_sub(begun.elapsed()));
        }
    }

    /// Looks how many steady instances each proxy routes to.
    pub(super) fn look(&self) {
        while !self.is_over() {
            for number in 0..3 {
                let (place, admin) = self.places.lock().expect("no panic")[number];
                if let (Some(_), Some(admin), true) = (place, admin, self.watched.load(SeqCst))
                    && let Ok(answer) = http::call(admin, "GET", "/api/v1/services/steady", "")
                    && answer.status == 200
                {
                    let routable = answer.json()["routable"].as_u64().unwrap_or(0);
                    let routable = usize::try_from(routable).expect("a count");
                    self.counts.fewest.fetch_min(routable, SeqCst);
                    count(&self.counts.looks);
                }
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Has nobody come or go, and waits until nobody does.
    pub(super) fn pause(&self) {
        self.paused.store(true, SeqCst);
    }

    /// What each proxy knows of all instances.
    pub(super) fn tables(&self) -> Vec<BTreeMap<String, String>> {
        (0..3).filter_map(|number| self.table(number)).collect()
    }

    fn table(&self, number: usize) -> Option<BTreeMap<String, String>> {
        let admin = self.places.lock().expect("no panic")[number].1?;
        let mut table = BTreeMap::new();
        for service in ["steady", "orders"] {
            let path = format!("/api/v1/services/{service}");
            let view = http::call(admin, "GET", &path, "").ok()?.json();
            for it in view["instances"].as_array()? {
                let standing = format!("{} {}", it["generation"], it["routable"]);
                table.insert(format!("{service}/{}", it["id"].as_str()?), standing);
            }
        }
        Some(table)
    }

    /// Waits until all proxies know the same.
    /// Answers after how long they did.
    #[track_caller]
    pub(super) fn agree(&self, what: &str) -> Duration {
        let begun = Instant::now();
        let equal = |tables: &[_]| tables.len() == 3 && tables.iter().all(|it| *it == tables[0]);
        let mut tables = self.tables();
        while !equal(&tables) {
            let differ = |name: &&String| {
                tables.iter().any(|table| table.get(*name) != tables[0].get(*name))
            };
            let names = tables.iter().flat_map(BTreeMap::keys).filter(differ);
            let shown = |name| (name, tables.iter().map(|it| it.get(name)).collect::<Vec<_>>());
            let all: BTreeMap<_, _> = names.map(shown).collect();
            assert!(begun.elapsed() < PATIENCE, "{what}: {} tables, {all:#?}", tables.len());
            thread::sleep(Duration::from_millis(10));
            tables = self.tables();
        }
        let after = begun.elapsed();
        say!("{what}: all tables are equal after {after:?}");
        after
    }

    pub(super) fn is_writable(&self, number: usize) -> bool {
        let admin = self.places.lock().expect("no panic")[number].1;
        let status = admin.and_then(|it| http::call(it, "GET", "/api/v1/status", "").ok());
        status.is_some_and(|it| it.json()["store"]["state"] == "writable")
    }

    #[track_caller]
    pub(super) fn told(&self) {
        let Counts { requests, failed, registered, refused, renewed, .. } = &self.counts;
        let Counts { forgotten, unknown, left, unconfirmed, looks, fewest, .. } = &self.counts;
        say!("{requests:?} requests, {failed:?} failed");
        say!("{registered:?} registrations acknowledged, {left:?} departures confirmed");
        say!("{unconfirmed:?} departures not confirmed yet, {refused:?} calls refused");
        say!(
            "{renewed:?} heartbeats taken, {unknown:?} not known to a proxy that was cut off, \
             {forgotten:?} of instances that were forgotten"
        );
        say!("{looks:?} looks at {STEADY} steady instances, {fewest:?} routable at least");
        say!("{:?} requests to instances that were told they are drained", self.late);
        let notes = self.notes.lock().expect("no panic");
        assert_eq!(failed.load(SeqCst), 0, "{notes:#?}");
        assert_eq!(forgotten.load(SeqCst), 0, "{notes:#?}");
        assert_eq!(fewest.load(SeqCst), STEADY);
        assert_eq!(self.late.load(SeqCst), 0);
    }
}
