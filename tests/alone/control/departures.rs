//! Who left, what it cost, and that the numbers are exact.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread,
};

use super::{drain::tunnel, *};
use crate::support::Backend;

/// What is shown of who left `app`, the last one first.
fn summaries(proxy: &Portolan) -> Vec<String> {
    let departures = proxy.status()["departures"].clone();
    let departures = departures.as_array().expect("a list");
    departures.iter().map(|left| left["summary"].as_str().expect("text").to_owned()).collect()
}

/// Many clients on several workers, GETs, POSTs, a stream and a tunnel, while
/// one instance leaves for another.
#[test]
fn a_rolling_deploy_costs_nothing_and_says_so() {
    let proxy = Portolan::start(PROBED);
    let (old, new) = (Steered::start("old"), Steered::start("new"));
    proxy.put("app/old", "?wait=routable", &old.body(""));
    let tunnel = tunnel(&proxy);
    let over = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    let started = Barrier::new(5);
    let view = thread::scope(|scope| {
        for number in 0..4 {
            let (proxy, over, asked, started) = (&proxy, &over, &asked, &started);
            scope.spawn(move || {
                let mut client = proxy.connect();
                let request = match number % 2 {
                    0 => "GET / HTTP/1.1\r\nhost: test\r\n\r\n",
                    _ => "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody",
                };
                assert_eq!(client.exchange(request).text(), "old");
                asked.fetch_add(1, Ordering::SeqCst);
                started.wait();
                while !over.load(Ordering::SeqCst) {
                    let answer = client.exchange(request);
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        started.wait();
        proxy.put("app/new", "?wait=routable", &new.body(""));
        let leaving = scope.spawn(|| proxy.deregister("app/old").json());
        eventually(|| proxy.admin("GET", &path("app/old"), "").status() == 404);
        drop(tunnel);
        let view = leaving.join().expect("no panic");
        over.store(true, Ordering::SeqCst);
        view
    });
    assert_eq!((&view["drained"], &view["in_flight"]), (&true.into(), &0.into()), "{view}");
    assert_eq!((&view["cut"], &view["retried"]), (&0.into(), &0.into()), "{view}");
    assert!(view["completed"].as_u64() >= Some(1), "the tunnel: {view}");
    let (served, new) = (old.served(), new.served());
    assert_eq!(served + new, asked.load(Ordering::SeqCst), "each was served once");
    let left = proxy.status()["departures"][0].clone();
    assert_eq!((&left["instance"], &left["successor"]), (&"old".into(), &"new".into()));
    // The tunnel is one more.
    assert_eq!(left["requests"], served + 1, "{left}");
    assert_eq!((&left["lost"], &left["retried"]), (&0.into(), &0.into()), "{left}");
    let of_service = proxy.admin("GET", "/api/v1/services/app", "").json();
    assert_eq!(of_service["departures"][0]["summary"], left["summary"]);
    // Late callers are told what the first one was.
    for _ in 0..2 {
        let late = proxy.deregister("app/old").json();
        assert_eq!((&late["drained"], &late["found"]), (&true.into(), &false.into()));
        assert_eq!((&late["completed"], &late["cut"]), (&view["completed"], &view["cut"]));
    }
}

#[test]
fn the_last_word_of_a_drain_is_the_last_word_of_all_who_ask() {
    let proxy = Portolan::start(PROBED);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let ask = |target: &str| {
        let mut client = proxy.connect();
        let before = proxy.in_flight("app");
        client.send(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n"));
        eventually(|| proxy.in_flight("app") > before);
        client
    };
    let (mut stays, leaves) = (ask("/slow"), ask("/slow"));
    let drain = format!("{}/drain", path("app/one"));
    assert_eq!(proxy.admin("POST", &drain, "").json()["in_flight"], 2);
    drop(leaves);
    eventually(|| proxy.in_flight("app") == 1);
    one.let_go();
    assert_eq!(stays.read_response().text(), "one");
    let whole = |view: &Value| {
        let of = |name: &str| view[name].as_u64().expect("a count");
        (of("completed"), of("client_gone"), of("retried"), of("cut"), of("in_flight"))
    };
    let drained = proxy.admin("POST", &format!("{drain}?wait=drained"), "").json();
    assert_eq!(whole(&drained), (1, 1, 0, 0, 0));
    for answer in [proxy.admin("POST", &drain, ""), proxy.deregister("app/one")] {
        assert_eq!(whole(&answer.json()), (1, 1, 0, 0, 0), "{answer:?}");
    }
}

/// It takes a request and dies, and nobody says so.
#[test]
fn a_crash_is_told_of_with_what_it_cost() {
    let proxy = Portolan::start(
        "[service.app]\nhealth = { path = '/healthz', interval = '100ms', unhealthy_after = 2 }\n\
         outlier = { consecutive_failures = 0 }\n[[route]]\nservice = 'app'\n",
    );
    let dead = std::sync::Arc::new(AtomicBool::new(false));
    let crashing = Backend::start({
        let dead = std::sync::Arc::clone(&dead);
        move |mut accepted| {
            while let Some(request) = accepted.request() {
                if request.target() == "/crash" {
                    dead.store(true, Ordering::SeqCst);
                }
                if dead.load(Ordering::SeqCst) {
                    return;
                }
                accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    });
    let body = format!("{{\"address\": \"{}\"}}", crashing.address);
    proxy.put("app/crashing", "?wait=routable", &body);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
    let post = "POST /crash HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(proxy.exchange(post).status(), 502, "nobody else, and not to be sent twice");
    eventually(|| !summaries(&proxy).is_empty());
    assert_eq!(summaries(&proxy), ["crashing: 4 requests, 0 retried, 1 lost"]);
    assert_eq!(proxy.status()["departures"][0]["why"], "its probes fail");
    let left = proxy.happened("crashing").into_iter().filter(|(kind, _)| kind == "left");
    assert_eq!(
        left.map(|(_, detail)| detail).collect::<Vec<_>>(),
        ["crashing: 4 requests, 0 retried, 1 lost; its probes fail"]
    );
}

#[test]
fn who_leaves_is_no_way_out_for_others() {
    let proxy = Portolan::start(PROBED);
    let (leaving, failing) = (
        Steered::start("leaving"),
        Backend::start(|mut accepted| {
            while let Some(request) = accepted.request() {
                if !request.target().starts_with("/healthz") {
                    return;
                }
                accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup");
            }
        }),
    );
    proxy.put("app/leaving", "?wait=routable", &leaving.body(""));
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| leaving.served() == 1);
    let body = format!("{{\"address\": \"{}\"}}", failing.address);
    proxy.put("app/failing", "?wait=routable", &body);
    let drain = format!("{}/drain", path("app/leaving"));
    proxy.admin("POST", &format!("{drain}?wait=drained&timeout=1ms"), "");
    for _ in 0..5 {
        // It could be sent once more, were there anybody.
        assert_ne!(proxy.get("/").status(), 200);
    }
    assert_eq!(leaving.served(), 1);
    leaving.let_go();
    assert_eq!(client.read_response().text(), "leaving");
}
