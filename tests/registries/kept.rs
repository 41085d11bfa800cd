//! What a registry has forgotten while nobody looked: it began anew as the
//! proxy did, or as the settings of the source were edited.

use std::{fs, time::Instant};

use crate::{
    routed::{AROUND, connected, named, source},
    servers::{consul::Consul, eureka::Eureka},
    support::{Backend, Portolan, eventually},
    trial::Registry,
};

const IDS: [&str; 4] = ["a", "b", "c", "d"];

/// The first `count` of them register.
fn come<R: Registry>(registry: &R, backends: &[Backend], count: usize) {
    for (id, backend) in IDS.iter().zip(backends).take(count) {
        registry.put("orders", id, backend.address);
    }
}

/// Waits until all four have their share of requests.
#[track_caller]
fn all_answer(portolan: &Portolan) {
    for id in IDS {
        eventually(|| portolan.get("/orders").text() == id);
    }
}

/// `forget` ends the server of the registry and starts it with nothing in it.
#[track_caller]
fn is_kept<R: Registry>(mut registry: R, edit: &str, forget: impl Fn(&mut R)) {
    let backends = IDS.map(named);
    let section = registry.section(registry.address());
    come(&registry, &backends, 4);
    let portolan = Portolan::start(&format!("{section}\n{AROUND}"));
    all_answer(&portolan);
    let kept = portolan.folder().join(format!("data/sources/{}.jsonl", R::NAME));
    eventually(|| fs::read_to_string(&kept).is_ok_and(|text| text.lines().count() == 5));

    forget(&mut registry);
    come(&registry, &backends, 3);
    let portolan = portolan.restart();
    connected(&portolan, R::NAME, true);
    assert_eq!(source(&portolan, R::NAME)["instances"], 4, "over a restart");
    all_answer(&portolan);

    come(&registry, &backends, 4);
    forget(&mut registry);
    come(&registry, &backends, 3);
    let edited = Instant::now();
    assert_eq!(portolan.reload(&format!("{section}\n{edit}\n{AROUND}")).status(), 200);
    eventually(|| {
        let since = edited.elapsed().as_millis();
        let listed = source(&portolan, R::NAME)["listed_ms"].as_u64();
        listed.is_some_and(|listed| u128::from(listed) < since)
    });
    assert_eq!(source(&portolan, R::NAME)["instances"], 4, "over an edit");
    all_answer(&portolan);
    // Settings that do not mean them keep nobody; that all are gone is held.
    let none = format!("{section}\n{edit}\nservices = ['other']\n{AROUND}");
    assert_eq!(portolan.reload(&none).status(), 200);
    eventually(|| !source(&portolan, R::NAME)["held"].is_null());
}

#[test]
fn eureka_that_begins_anew_as_the_proxy_does_loses_nobody_at_once() {
    is_kept(Eureka::start(), "use_hostname = true", Eureka::restart);
}

#[test]
fn consul_that_begins_anew_as_the_proxy_does_loses_nobody_at_once() {
    is_kept(Consul::start(), "wait = '30s'", Consul::restart_empty);
}
