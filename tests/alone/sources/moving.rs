//! A service that leaves another registry one instance after the other, while
//! clients go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::*;
use crate::support::Connection;

const PROBED: &str = "[defaults]\nhealth = { kind = 'tcp', interval = '100ms' }\n";

/// Clients that post without a pause. What they send is sent once: no retry
/// covers up for a request that an instance did not answer.
struct Clients {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    all: Vec<JoinHandle<()>>,
}

impl Clients {
    fn start(address: SocketAddr) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |keeps: bool| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            thread::spawn(move || {
                let mut client = Connection::open(address);
                while !stop.load(Ordering::Relaxed) {
                    if !keeps {
                        client = Connection::open(address);
                    }
                    let request = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi";
                    let answer = client.exchange(request);
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let all = vec![client(true), client(true), client(false)];
        Self { stop, count, all }
    }

    /// Waits until some more requests were answered.
    fn go_on(&self) {
        let before = self.count.load(Ordering::Relaxed);
        eventually(|| self.count.load(Ordering::Relaxed) > before + 20);
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.all {
            client.join().expect("every request was answered");
        }
    }
}

fn view(portolan: &Portolan) -> Vec<Value> {
    let view = portolan.admin("GET", "/api/v1/services/app", "").json();
    view["instances"].as_array().cloned().unwrap_or_default()
}

/// How many instances of each source get requests: of the list, registered.
fn routed(portolan: &Portolan) -> (usize, usize) {
    let all = view(portolan);
    let of = |source: &str| {
        let of = all.iter().filter(|view| view["source"] == source && view["routable"] == true);
        of.count()
    };
    (of("list"), of("registry"))
}

#[test]
fn a_service_moves_over_one_by_one_and_back() {
    let lists = Lists::new();
    let backends: Vec<_> = (0..6).map(|_| named("app")).collect();
    let entry = |n: usize| app(&format!("i{n}"), backends[n].address);
    let list = |from: usize| {
        let all: Vec<_> = (from..6).map(entry).collect();
        lists.write("list", &all);
    };
    // Half of it is here already when Portolan comes before the other registry.
    list(3);
    let portolan = Portolan::start(&format!("{PROBED}{}{ROUTE}", lists.section("list")));
    for (n, backend) in backends.iter().enumerate().take(3) {
        portolan.register(&format!("app/r{n}"), backend.address);
    }
    eventually(|| routed(&portolan) == (3, 3));
    let clients = Clients::start(portolan.address());
    clients.go_on();
    // The same process registers here, and leaves there.
    for (n, backend) in backends.iter().enumerate().skip(3) {
        portolan.register(&format!("app/r{n}"), backend.address);
        assert_eq!(routed(&portolan), (5 - n, n + 1), "the one here is asked, the other rests");
        clients.go_on();
        list(n + 1);
        eventually(|| view(&portolan).len() == 6 && routed(&portolan) == (5 - n, n + 1));
        clients.go_on();
    }
    assert_eq!(routed(&portolan), (0, 6));
    // And back: it is there again before it leaves here.
    for n in (0..6).rev() {
        list(n);
        eventually(|| view(&portolan).len() == 7);
        let key = format!("app/i{n}");
        eventually(|| portolan.instance(&key)["state"] == "healthy");
        portolan.deregister(&format!("app/r{n}"));
        eventually(|| routed(&portolan) == (6 - n, n));
        clients.go_on();
    }
    clients.end();
    let each = backends.iter().map(|backend| backend.requests().len());
    assert!(each.clone().all(|count| count > 0), "{:?}", each.collect::<Vec<_>>());
}

#[test]
fn new_processes_take_the_place_of_those_that_the_source_has() {
    let lists = Lists::new();
    let mut old: Vec<_> = (0..4).map(|n| (n, named("old"))).collect();
    let list = |all: &[(usize, Backend)], leaving: Option<usize>| {
        let entry = |(n, backend): &(usize, Backend)| {
            let mut entry = app(&format!("i{n}"), backend.address);
            if leaving == Some(*n) {
                entry["reported"] = "out_of_service".into();
            }
            entry
        };
        lists.write("list", &all.iter().map(entry).collect::<Vec<_>>());
    };
    list(&old, None);
    let portolan = Portolan::start(&format!("{PROBED}{}{ROUTE}", lists.section("list")));
    eventually(|| routed(&portolan) == (4, 0));
    let clients = Clients::start(portolan.address());
    let mut new = Vec::new();
    for n in 0..4 {
        let backend = named("new");
        portolan.register(&format!("app/i{n}"), backend.address);
        new.push(backend);
        // The other registry takes the old one out of service, then forgets
        // it; once nobody has a connection to it, it may end.
        list(&old, Some(n));
        eventually(|| routed(&portolan) == (3 - n, n + 1));
        clients.go_on();
        let (_, gone) = old.remove(0);
        list(&old, None);
        eventually(|| gone.open() == 0);
        drop(gone);
        clients.go_on();
    }
    assert_eq!(portolan.get("/").text(), "new");
    clients.end();
    assert!(new.iter().all(|backend| !backend.requests().is_empty()));
    assert_eq!(view(&portolan).len(), 4);
}
