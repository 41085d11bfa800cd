//! Several proxies on one registry in etcd.

mod carried;
mod fellows;
mod fleet;
mod late;
mod outages;
mod severed;

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};

use crate::{
    routed::named,
    servers::{
        etcd::{Etcd, Version},
        http,
    },
    support::{Backend, Portolan, eventually},
};

const ROUTES: &str = "[[route]]\npath = '/orders'\nservice = 'orders'\n\
                      [[route]]\npath = '/steady'\nservice = 'steady'\n";

fn config(urls: &[String]) -> String {
    format!(
        "[registry]\nbackend = 'etcd'\nallow_loopback = true\n[registry.etcd]\nendpoints = {urls:?}\n{ROUTES}"
    )
}

fn proxies<const COUNT: usize>(urls: &[String]) -> [Portolan; COUNT] {
    std::array::from_fn(|_| Portolan::start(&config(urls)))
}

fn register(portolan: &Portolan, name: &str, address: SocketAddr, ttl: Option<&str>) -> Value {
    let mut body = json!({ "address": address.to_string() });
    if let Some(ttl) = ttl {
        body["ttl"] = ttl.into();
    }
    let answer = portolan.admin("PUT", &path(name), &body.to_string());
    assert!(matches!(answer.status(), 200 | 201), "{answer:?}");
    answer.json()
}

fn path(name: &str) -> String {
    let (service, id) = name.split_once('/').expect("service/id");
    format!("/api/v1/services/{service}/instances/{id}")
}

fn heartbeat(portolan: &Portolan, name: &str) -> u16 {
    portolan.admin("POST", &format!("{}/heartbeat", path(name)), "").status()
}

#[track_caller]
fn answered(portolan: &Portolan, target: &str, name: &str) {
    eventually(|| {
        let answer = portolan.get(target);
        answer.status() == 200 && answer.text() == name
    });
}

#[track_caller]
fn unanswered(portolan: &Portolan, target: &str) {
    eventually(|| matches!(portolan.get(target).status(), 404 | 503));
}

fn generation(portolan: &Portolan, name: &str) -> Value {
    portolan.instance(name)["generation"].clone()
}

#[test]
fn what_one_is_told_all_route_by() {
    for version in Version::BOTH {
        let etcd = Etcd::start(version);
        let (one, two) = (named("one"), named("two"));
        let [a, b, c] = proxies(&[etcd.url()]);
        register(&a, "orders/1", one.address, None);
        for proxy in [&a, &b, &c] {
            answered(proxy, "/orders", "one");
        }
        assert_eq!(generation(&a, "orders/1"), generation(&c, "orders/1"));
        // Another process under the id, by another proxy.
        register(&b, "orders/1", two.address, None);
        for proxy in [&a, &b, &c] {
            answered(proxy, "/orders", "two");
        }
        let left = c.admin("DELETE", &path("orders/1"), "");
        assert!(matches!(left.status(), 200 | 202 | 204), "{left:?}");
        for proxy in [&a, &b, &c] {
            unanswered(proxy, "/orders");
        }
        // It left, so no heartbeat brings it back.
        assert_eq!(heartbeat(&a, "orders/1"), 404);
        assert_eq!(heartbeat(&b, "orders/1"), 404);
    }
}

#[test]
fn an_old_process_does_not_take_out_its_successor_by_another_proxy() {
    let etcd = Etcd::start(Version::Packaged);
    let (one, two) = (named("one"), named("two"));
    let [a, b] = proxies(&[etcd.url()]);
    let first = register(&a, "orders/1", one.address, None);
    answered(&b, "/orders", "one");
    let old = generation(&a, "orders/1");
    register(&b, "orders/1", two.address, None);
    // By the proxy that may not have heard of it yet.
    a.admin("DELETE", &format!("{}?generation={old}", path("orders/1")), "");
    for proxy in [&a, &b] {
        answered(proxy, "/orders", "two");
    }
    assert_ne!(generation(&b, "orders/1"), old, "{first}");
}

/// What was acknowledged by one is not unknown to another that has yet to hear
/// of it.
#[test]
fn who_has_just_come_by_one_can_leave_by_another() {
    let etcd = Etcd::start(Version::Newer);
    let (one, two) = (named("one"), named("two"));
    let [a, b] = proxies(&[etcd.url()]);
    for round in 0..50 {
        let (here, there) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        register(here, "orders/1", one.address, None);
        let second = register(there, "orders/1", two.address, None);
        let generation = &second["instance"]["generation"];
        let path = format!("{}?generation={generation}", path("orders/1"));
        let left = here.admin("DELETE", &path, "");
        assert_eq!((left.status(), &left.json()["found"]), (200, &json!(true)), "{left:?}");
    }
}

#[test]
fn a_heartbeat_to_any_keeps_it_and_none_to_any_loses_it() {
    let etcd = Etcd::start(Version::Packaged);
    let one = named("one");
    let [a, b] = proxies(&[etcd.url()]);
    register(&a, "orders/1", one.address, Some("1s"));
    for proxy in [&a, &b] {
        answered(proxy, "/orders", "one");
    }
    let begun = std::time::Instant::now();
    let given = generation(&a, "orders/1");
    while begun.elapsed() < std::time::Duration::from_secs(12) {
        assert_eq!(heartbeat(&b, "orders/1"), 200);
        assert_eq!(a.get("/orders").text(), "one");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    for proxy in [&a, &b] {
        unanswered(proxy, "/orders");
    }
    // Its record is kept; by whichever proxy it comes back, it is the same.
    assert_eq!(heartbeat(&a, "orders/1"), 200);
    for proxy in [&a, &b] {
        answered(proxy, "/orders", "one");
        assert_eq!(generation(proxy, "orders/1"), given);
    }
}

#[test]
fn a_drain_is_known_to_all_and_to_who_starts_later() {
    let etcd = Etcd::start(Version::Packaged);
    let one = named("one");
    let [a, b] = proxies(&[etcd.url()]);
    register(&a, "orders/1", one.address, None);
    answered(&b, "/orders", "one");
    let drained = b.admin("POST", &format!("{}/drain", path("orders/1")), "");
    assert!(matches!(drained.status(), 200 | 202), "{drained:?}");
    unanswered(&a, "/orders");
    let late = Portolan::start(&config(&[etcd.url()]));
    unanswered(&late, "/orders");
    assert_eq!(late.instance("orders/1")["state"], "draining");
}

/// Many register at once by two proxies, and both know all of them.
#[test]
fn two_hundred_at_once_are_the_same_everywhere() {
    let etcd = Etcd::start(Version::Newer);
    let steady: Backend = named("steady");
    let [a, b] = proxies(&[etcd.url()]);
    std::thread::scope(|scope| {
        for (number, proxy) in [&a, &b, &a, &b].into_iter().enumerate() {
            let address = steady.address;
            scope.spawn(move || {
                for at in 0..50 {
                    register(proxy, &format!("steady/{number}-{at}"), address, Some("60s"));
                }
            });
        }
    });
    let all = |proxy: &Portolan| {
        let list = proxy.admin("GET", "/api/v1/services/steady", "").json();
        let mut all: Vec<_> = list["instances"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| (it["id"].to_string(), it["generation"].to_string()))
            .collect();
        all.sort();
        all
    };
    eventually(|| all(&a).len() == 200 && all(&a) == all(&b));
}
