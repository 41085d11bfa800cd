//! What comes late: to a proxy that has yet to hear of something, and from a
//! member of etcd that has stalled.

use std::{thread, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::*;

/// The lease of what is registered as `name`; none if nothing is.
fn lease(etcd: &Etcd, name: &str) -> Option<String> {
    let key = BASE64.encode(format!("/portolan/v1/services/{name}"));
    let found = etcd.call("/v3/kv/range", &json!({ "key": key }));
    let entry = found["kvs"].as_array()?.first()?.clone();
    Some(entry["lease"].as_str().unwrap_or("0").to_owned())
}

/// Else it would be there for ever if it ends before it says so.
#[test]
fn who_is_drained_by_a_proxy_that_has_yet_to_hear_of_it_keeps_its_lease() {
    let etcd = Etcd::start(Version::Newer);
    let one = named("one");
    let [a, b] = proxies(&[etcd.url()]);
    for round in 0..50 {
        let (here, there) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let name = format!("orders/{round}");
        register(here, &name, one.address, Some("60s"));
        let drained = there.admin("POST", &format!("{}/drain", path(&name)), "");
        assert!(matches!(drained.status(), 200 | 202), "{drained:?}");
        let lease = lease(&etcd, &name).expect("it is there");
        assert_ne!(lease, "0", "in round {round}");
    }
}

/// It accepts connections and answers nothing. Each is stalled once, so one of
/// them while it is the one that is asked.
#[test]
fn a_member_that_stalls_refuses_nobody_and_brings_back_nobody() {
    let etcd = Etcd::cluster_of(Version::Packaged);
    let urls: Vec<_> = etcd.iter().map(Etcd::url).collect();
    let one = named("one");
    let [a] = proxies(&urls);
    for (number, member) in etcd.iter().enumerate() {
        let name = format!("orders/{number}");
        member.server.stall();
        let begun = std::time::Instant::now();
        let body = json!({ "address": one.address.to_string() }).to_string();
        let registered = || a.admin("PUT", &path(&name), &body).status();
        // On a machine that is slow the first attempt may be over by then.
        let first = registered();
        assert!(matches!(first, 200 | 201) || matches!(registered(), 200 | 201), "{first}");
        say!("member {number} has stalled: registered after {:?}", begun.elapsed());
        let left = a.admin("DELETE", &path(&name), "");
        assert_eq!((left.status(), &left.json()["found"]), (200, &json!(true)), "{left:?}");
        member.server.resume();
        // What it was asked it does now.
        eventually(|| {
            http::call(member.address, "GET", "/health", "")
                .is_ok_and(|answer| answer.body.contains("\"true\""))
        });
        thread::sleep(Duration::from_secs(1));
        assert_eq!(lease(member, &name), None);
        assert_eq!(a.admin("GET", &path(&name), "").status(), 404);
    }
}

#[test]
fn what_cannot_be_read_is_not_written_over() {
    let etcd = Etcd::start(Version::Newer);
    let one = named("one");
    let [a] = proxies(&[etcd.url()]);
    etcd.put("/portolan/v1/services/orders/1", "{\"v\":2}");
    register(&a, "orders/2", one.address, None);
    let body = json!({ "address": one.address.to_string() }).to_string();
    let answer = a.admin("PUT", &path("orders/1"), &body);
    assert_eq!(answer.status(), 503);
    assert!(answer.text().contains("cannot be read"), "{}", answer.text());
}

/// Also where others write, of which it hears nothing.
#[test]
fn a_proxy_says_how_far_it_has_come() {
    let etcd = Etcd::start(Version::Packaged);
    let [a] = proxies(&[etcd.url()]);
    let fleet = || a.admin("GET", "/api/v1/status", "").json()["fleet"].clone();
    for round in 0..20 {
        etcd.put("/elsewhere", &round.to_string());
    }
    let there = etcd.call("/v3/kv/range", &json!({ "key": BASE64.encode("/elsewhere") }));
    let there: i64 = there["header"]["revision"].as_str().expect("one").parse().expect("one");
    eventually(|| {
        let fleet = fleet();
        fleet["revision"].as_i64() >= Some(there) && fleet["behind_ms"].is_null()
    });
    assert!(fleet()["etcd_revision"].as_i64() >= Some(there), "{}", fleet());
    assert_eq!(a.metric("portolan_registry_behind_seconds"), 0.0);
}

/// It is tried again and again to tell etcd of it, each time in vain.
#[test]
fn leases_of_what_cannot_be_written_do_not_pile_up() {
    let etcd = Etcd::start(Version::Newer);
    let one = named("one");
    let [a] = proxies(&[etcd.url()]);
    register(&a, "orders/1", one.address, Some("60s"));
    // A farewell that says nothing, and then it is gone.
    etcd.put("/portolan/v1/gone/orders/1", "-");
    assert_eq!(heartbeat(&a, "orders/1"), 200);
    etcd.delete("/portolan/v1/services/orders/1");
    let pending = || a.admin("GET", "/api/v1/status", "").json()["fleet"]["pending"].clone();
    eventually(|| pending() == 1);
    thread::sleep(Duration::from_secs(4));
    assert_eq!(pending(), 1);
    let leases = etcd.call("/v3/lease/leases", &json!({}))["leases"].clone();
    // Its old one, that of the proxy, and one that is being tried.
    assert!(leases.as_array().is_some_and(|all| all.len() < 6), "{leases}");
}
