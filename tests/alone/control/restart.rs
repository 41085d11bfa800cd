//! What a restart keeps, and what has to show itself anew.

use super::*;

#[test]
fn restored_instances_are_probed_before_they_are_routed_to() {
    let proxy = Portolan::start(PROBED);
    let (alive, dying) = (Steered::start("alive"), Steered::start("dying"));
    proxy.put("app/alive", "?wait=routable", &alive.body(r#""weight": 3, "tags": ["blue"]"#));
    proxy.put("app/dying", "?wait=routable", &dying.body(""));
    let refused = dying.address();
    drop(dying);
    let proxy = proxy.restart();
    proxy.until("app/alive", "healthy");
    for _ in 0..50 {
        assert_eq!(proxy.get("/").text(), "alive");
    }
    let view = proxy.instance("app/alive");
    assert_eq!(
        (&view["weight"], &view["tags"][0], &view["generation"]),
        (&3.into(), &"blue".into(), &1.into())
    );
    let dead = proxy.instance("app/dying");
    assert_eq!(
        (&dead["requests"], &dead["routable"]),
        (&0.into(), &false.into()),
        "{refused}: {dead}"
    );
}

#[test]
fn a_restored_instance_is_held_to_the_probe_of_its_service_from_the_start() {
    for _ in 0..5 {
        let proxy = Portolan::start(PROBED);
        let one = Steered::start("one");
        proxy.put("app/one", "?wait=routable", &one.body(""));
        // Its port is open, which would be enough without a path.
        one.set_health(503);
        let before = one.probes();
        let proxy = proxy.restart();
        eventually(|| one.probes() > before + 1);
        assert_ne!(proxy.state("app/one"), "healthy");
        assert_eq!(one.served(), 0);
        one.set_health(200);
        proxy.until("app/one", "healthy");
    }
}

#[test]
fn who_was_leaving_still_is() {
    let proxy = Portolan::start(PROBED);
    let (one, two) = (Steered::start("one"), Steered::start("two"));
    proxy.put("app/one", "?wait=routable", &one.body(""));
    proxy.put("app/two", "?wait=routable", &two.body(""));
    assert_eq!(proxy.admin("POST", &format!("{}/drain", path("app/one")), "").status(), 200);
    assert_eq!(proxy.deregister("app/two").status(), 200);
    let proxy = proxy.restart();
    assert_eq!(proxy.state("app/one"), "draining");
    assert_eq!(proxy.admin("GET", &path("app/two"), "").status(), 404);
    let before = one.probes();
    eventually(|| one.probes() > before + 1);
    assert_eq!(proxy.get("/").reason(), "no_healthy_instance");
    assert_eq!(one.served(), 0);
    assert_eq!(
        proxy.put("app/one", "?wait=routable", &one.body("")).json()["instance"]["generation"],
        3
    );
    assert_eq!(proxy.get("/").text(), "one");
}

#[test]
fn readiness_waits_for_the_first_probes_of_the_restored() {
    let config = PROBED.replace("interval", "timeout = '1s', interval");
    let proxy = Portolan::start(&config);
    let instance = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &instance.body(""));
    assert_eq!(proxy.admin("GET", "/readyz", "").status(), 200);
    let address = instance.address();
    drop(instance);
    // In its place somebody who accepts and says nothing.
    let mut silent = None;
    eventually(|| {
        silent = std::net::TcpListener::bind(address).ok();
        silent.is_some()
    });
    let proxy = proxy.restart();
    let ready = proxy.admin("GET", "/readyz", "");
    assert_eq!(ready.status(), 503, "{ready:?}");
    assert_eq!(ready.json()["waiting_for"][0], "the first probe of 1 instance");
    eventually(|| proxy.admin("GET", "/readyz", "").status() == 200);
    assert_eq!(proxy.admin("GET", "/livez", "").status(), 200);
}
