//! Proxies that share a registry, without it.

use super::*;
use crate::{routed::outage, servers::relay::Relay};

fn writable(portolan: &Portolan) -> bool {
    portolan.admin("GET", "/api/v1/status", "").json()["store"]["state"] == "writable"
}

#[test]
fn without_etcd_all_that_is_known_stays() {
    let mut etcd = Etcd::start(Version::Newer);
    let (one, steady) = (named("one"), named("steady"));
    let [a, b] = proxies(&[etcd.url()]);
    register(&a, "orders/1", one.address, Some("2s"));
    register(&a, "steady/1", steady.address, None);
    for proxy in [&a, &b] {
        answered(proxy, "/orders", "one");
        answered(proxy, "/steady", "steady");
    }
    etcd.server.kill();
    eventually(|| !writable(&a) && !writable(&b));
    let begun = std::time::Instant::now();
    // Longer than the TTL: it sends heartbeats, and is told nothing of it.
    outage();
    while begun.elapsed() < std::time::Duration::from_secs(9) {
        assert_eq!(heartbeat(&a, "orders/1"), 200);
        for proxy in [&a, &b] {
            assert_eq!(proxy.get("/orders").text(), "one");
            assert_eq!(proxy.get("/steady").text(), "steady");
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    // What only this proxy would know of is not promised.
    let body = format!("{{\"address\": \"{}\"}}", one.address);
    assert_eq!(a.admin("PUT", &path("orders/2"), &body).status(), 503);
    etcd.restart();
    eventually(|| writable(&a) && writable(&b));
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(8) {
        assert_eq!(heartbeat(&a, "orders/1"), 200);
        for proxy in [&a, &b] {
            assert_eq!(proxy.get("/orders").text(), "one");
            assert_eq!(proxy.get("/steady").text(), "steady");
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    register(&b, "orders/1", steady.address, None);
    answered(&a, "/orders", "steady");
}

#[test]
fn who_was_cut_off_hears_of_all_that_happened() {
    let etcd = Etcd::start(Version::Newer);
    let (one, two) = (named("one"), named("two"));
    let relay = Relay::to(etcd.address);
    let a = Portolan::start(&config(&[etcd.url()]));
    let b = Portolan::start(&config(&[format!("http://{}", relay.address)]));
    register(&a, "orders/1", one.address, None);
    register(&a, "steady/1", two.address, None);
    answered(&b, "/orders", "one");
    answered(&b, "/steady", "two");
    relay.cut();
    eventually(|| !writable(&b));
    a.admin("DELETE", &path("orders/1"), "");
    register(&a, "steady/1", one.address, None);
    answered(&a, "/steady", "one");
    assert_eq!(b.get("/orders").text(), "one");
    relay.mend();
    unanswered(&b, "/orders");
    answered(&b, "/steady", "one");
}

#[test]
fn a_start_without_etcd_goes_on_from_what_was_known() {
    let mut etcd = Etcd::start(Version::Newer);
    let one = named("one");
    let a = Portolan::start(&config(&[etcd.url()]));
    register(&a, "orders/1", one.address, None);
    answered(&a, "/orders", "one");
    etcd.server.kill();
    let a = a.restart();
    answered(&a, "/orders", "one");
    assert!(!writable(&a));
    etcd.restart();
    eventually(|| writable(&a));
    assert_eq!(a.get("/orders").text(), "one");
}

/// A backup that was put back, or a member that has lost what the others have.
#[test]
fn an_etcd_that_has_gone_back_is_not_believed() {
    let mut etcd = Etcd::start(Version::Packaged);
    let one = named("one");
    let [a] = proxies(&[etcd.url()]);
    let folder = etcd.server.folder().to_owned();
    etcd.server.kill();
    let copied = std::process::Command::new("cp")
        .args(["-a", "data", "before"])
        .current_dir(&folder)
        .status();
    assert!(copied.expect("cp").success());
    etcd.restart();
    eventually(|| writable(&a));
    for name in ["orders/1", "steady/1", "steady/2"] {
        register(&a, name, one.address, None);
    }
    etcd.server.kill();
    etcd.server.erase("data");
    std::fs::rename(folder.join("before"), folder.join("data")).expect("renamed");
    etcd.restart();
    let state = || a.admin("GET", "/api/v1/status", "").json()["store"]["state"].to_string();
    eventually(|| state().contains("was heard before"));
    assert_eq!(a.get("/orders").text(), "one");
    let body = format!("{{\"address\": \"{}\"}}", one.address);
    assert_eq!(a.admin("PUT", &path("orders/2"), &body).status(), 503);
    // Who means it says so.
    let a = a.restart();
    eventually(|| writable(&a));
    unanswered(&a, "/orders");
}

#[test]
fn the_leader_may_die_while_many_register() {
    let mut members = Etcd::cluster();
    let urls: Vec<_> = members.iter().map(Etcd::url).collect();
    let steady = named("steady");
    let [a, b, c] = proxies(&urls);
    std::thread::scope(|scope| {
        let address = steady.address;
        for (number, proxy) in [&a, &b, &c].into_iter().enumerate() {
            scope.spawn(move || {
                for at in 0..40 {
                    register(proxy, &format!("steady/{number}-{at}"), address, Some("60s"));
                }
            });
        }
        eventually(|| members.iter().any(Etcd::leads));
        let leader = members.iter().position(Etcd::leads).expect("there is one");
        members[leader].server.kill();
    });
    let count = |proxy: &Portolan| {
        let list = proxy.admin("GET", "/api/v1/services/steady", "").json();
        list["instances"].as_array().map_or(0, Vec::len)
    };
    eventually(|| [&a, &b, &c].into_iter().all(|proxy| count(proxy) == 120));
}

fn accepting(urls: &[String]) -> String {
    config(urls).replace("[registry.etcd]\n", "[registry.etcd]\non_outage = 'accept'\n")
}

fn pending(portolan: &Portolan) -> u64 {
    portolan.admin("GET", "/api/v1/status", "").json()["fleet"]["pending"]
        .as_u64()
        .expect("a count")
}

#[test]
fn what_is_accepted_without_etcd_is_told_when_it_is_back() {
    let mut etcd = Etcd::start(Version::Newer);
    let (one, two, steady) = (named("one"), named("two"), named("steady"));
    let a = Portolan::start(&accepting(&[etcd.url()]));
    let b = Portolan::start(&accepting(&[etcd.url()]));
    register(&a, "steady/1", steady.address, None);
    answered(&b, "/steady", "steady");
    etcd.server.kill();
    eventually(|| !writable(&a) && !writable(&b));

    // One that is new, a new process under an old id, and one that goes again.
    register(&a, "orders/1", one.address, Some("5s"));
    assert_eq!(heartbeat(&a, "orders/1"), 200);
    register(&a, "steady/1", two.address, None);
    register(&a, "orders/2", two.address, None);
    assert_eq!(a.admin("DELETE", &path("orders/2"), "").status(), 200);
    answered(&a, "/orders", "one");
    answered(&a, "/steady", "two");
    assert_eq!(pending(&a), 2);
    assert_eq!(b.get("/steady").text(), "steady");
    assert_eq!(b.get("/orders").status(), 503);
    // Nobody can be asked.
    let waiting = format!("{}?wait=routable&timeout=700ms", path("orders/1"));
    let body = json!({ "address": one.address.to_string(), "ttl": "5s" }).to_string();
    let answer = a.admin("PUT", &waiting, &body);
    assert_eq!((answer.status(), &answer.json()["routed"]), (202, &json!(false)));

    // It is on disk.
    let a = a.restart();
    answered(&a, "/steady", "two");
    eventually(|| heartbeat(&a, "orders/1") == 200);
    answered(&a, "/orders", "one");
    let generations = [generation(&a, "orders/1"), generation(&a, "steady/1")];

    etcd.restart();
    let both = [&a, &b];
    eventually(|| {
        // What is known at one proxy never goes while the other hears of it.
        assert_eq!(a.get("/orders").text(), "one");
        assert_eq!(a.get("/steady").text(), "two");
        assert_eq!(heartbeat(&a, "orders/1"), 200);
        b.get("/orders").text() == "one" && b.get("/steady").text() == "two"
    });
    eventually(|| both.into_iter().all(|proxy| pending(proxy) == 0));
    for proxy in both {
        assert_eq!([generation(proxy, "orders/1"), generation(proxy, "steady/1")], generations);
        assert_eq!(heartbeat(proxy, "orders/1"), 200);
        assert_eq!(proxy.admin("GET", &path("orders/2"), "").status(), 404);
    }
    // By any proxy it goes as what was registered with etcd does.
    assert_eq!(b.admin("DELETE", &path("steady/1"), "").status(), 200);
    unanswered(&a, "/steady");
}

#[test]
fn what_etcd_was_told_meanwhile_is_not_overridden() {
    let etcd = Etcd::start(Version::Newer);
    let (one, two) = (named("one"), named("two"));
    let relay = Relay::to(etcd.address);
    let a = Portolan::start(&accepting(&[etcd.url()]));
    let b = Portolan::start(&accepting(&[format!("http://{}", relay.address)]));
    relay.cut();
    eventually(|| !writable(&b));
    register(&b, "orders/1", two.address, None);
    answered(&b, "/orders", "two");
    register(&a, "orders/1", one.address, None);
    answered(&a, "/orders", "one");
    relay.mend();
    answered(&b, "/orders", "one");
    eventually(|| pending(&b) == 0);
    assert_eq!(generation(&a, "orders/1"), generation(&b, "orders/1"));
}

/// What cannot be kept is not accepted, and neither is what is not asked for.
#[test]
fn what_cannot_be_kept_without_etcd_is_refused() {
    let mut etcd = Etcd::start(Version::Newer);
    let one = named("one");
    let a = Portolan::start(&accepting(&[etcd.url()]));
    etcd.server.kill();
    eventually(|| !writable(&a));
    // A folder is in its way.
    let file = a.folder().join("data/deferred-registrations.json");
    std::fs::create_dir(&file).expect("made");
    let body = json!({ "address": one.address.to_string() }).to_string();
    let answer = a.admin("PUT", &path("orders/1"), &body);
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("deferred-registrations.json"), "{}", answer.text());
    assert_ne!(a.get("/orders").status(), 200);
    std::fs::remove_dir(&file).expect("removed");
    register(&a, "orders/1", one.address, None);
    answered(&a, "/orders", "one");
}
