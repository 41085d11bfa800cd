//! Leases: coming back in time, too late, and not at all.

use super::*;

const LEASED: &str = r#""ttl": "1s""#;

/// Short graces, so that a test sees their end.
fn config(health: &str) -> String {
    format!(
        "[registry]\nsuspect_for = '1s'\n[service.app]\nhealth = {health}\n[[route]]\nservice = 'app'\n"
    )
}

#[test]
fn heartbeats_keep_an_instance_alive() {
    let proxy = Portolan::start(&config("{ kind = 'tcp', interval = '100ms' }"));
    let instance = Steered::start("one");
    assert_eq!(proxy.put("app/one", "?wait=routable", &instance.body(LEASED)).status(), 201);
    for _ in 0..15 {
        std::thread::sleep(Duration::from_millis(100));
        let renewed = proxy.heartbeat("app/one");
        assert_eq!(renewed.status(), 200);
        assert!(renewed.json()["lease_left_ms"].as_u64().is_some_and(|left| left > 500));
    }
    let happened = proxy.happened("one");
    assert!(happened.iter().all(|(kind, _)| kind != "lease_expired"), "{happened:?}");
    assert_eq!(proxy.heartbeat("app/other").status(), 404);
}

#[test]
fn an_open_port_does_not_outweigh_an_expired_lease() {
    let proxy = Portolan::start(&config("{ kind = 'tcp', interval = '100ms' }"));
    let instance = Steered::start("one");
    assert_eq!(proxy.put("app/one", "?wait=routable", &instance.body(LEASED)).status(), 201);
    proxy.until("app/one", "unhealthy");
    eventually(|| proxy.get("/").reason() == "no_healthy_instance");
    let happened = proxy.happened("one");
    assert!(happened.iter().all(|(_, detail)| !detail.contains("suspect")), "{happened:?}");
    assert_eq!(proxy.heartbeat("app/one").status(), 200, "it is still known");
    proxy.until("app/one", "healthy");
    eventually(|| proxy.get("/").status() == 200);
}

#[test]
fn passing_http_probes_outweigh_it_for_a_while() {
    let proxy = Portolan::start(&config("{ path = '/healthz', interval = '100ms' }"));
    let instance = Steered::start("one");
    assert_eq!(proxy.put("app/one", "?wait=routable", &instance.body(LEASED)).status(), 201);
    proxy.until("app/one", "suspect");
    let view = proxy.instance("app/one");
    assert_eq!((&view["routable"], &view["lease_left_ms"]), (&true.into(), &0.into()));
    let why = view["why"].as_str().expect("why");
    assert!(why.starts_with("lease expired") && why.contains("GET /healthz -> 200"), "{why}");
    assert_eq!(proxy.get("/").status(), 200);
    proxy.until("app/one", "unhealthy");
    assert_eq!(proxy.get("/").reason(), "no_healthy_instance");
    assert_eq!(proxy.put("app/one", "?wait=routable", &instance.body(LEASED)).status(), 200);
    assert_eq!(proxy.get("/").status(), 200, "to register again is a sign of life");
    let states: Vec<_> =
        proxy.happened("one").into_iter().filter(|(kind, _)| kind == "state").collect();
    let states: Vec<_> = states.iter().map(|(_, detail)| detail.as_str()).collect();
    assert_eq!(
        states[..4],
        [
            "starting -> healthy",
            "healthy -> suspect",
            "suspect -> unhealthy",
            "unhealthy -> healthy"
        ]
    );
}

#[test]
fn the_grace_ends_when_somebody_else_registers_the_address() {
    let proxy = Portolan::start(
        &config("{ path = '/healthz', interval = '100ms' }").replace("'1s'", "'1h'"),
    );
    let instance = Steered::start("one");
    assert_eq!(proxy.put("app/one", "?wait=routable", &instance.body(LEASED)).status(), 201);
    proxy.until("app/one", "suspect");
    assert_eq!(proxy.put("other/new", "", &instance.body("")).status(), 201);
    assert_eq!(proxy.state("app/one"), "unhealthy");
    assert_eq!(proxy.get("/").reason(), "no_healthy_instance");
}

#[test]
fn who_reports_by_heartbeats_is_routable_from_the_first_to_the_last() {
    let proxy = Portolan::start(&config("{ kind = 'ttl' }"));
    let instance = Steered::start("one");
    let answer = proxy.put("app/one", "?wait=routable&timeout=100ms", &instance.body(LEASED));
    assert_eq!(
        (answer.status(), &answer.json()["waiting_for"]),
        (202, &"waiting for the first heartbeat".into())
    );
    assert_eq!(proxy.get("/").reason(), "no_healthy_instance");
    assert_eq!(proxy.heartbeat("app/one").status(), 200);
    proxy.until("app/one", "healthy");
    eventually(|| proxy.get("/").status() == 200);
    proxy.until("app/one", "unhealthy");
    assert_eq!(proxy.heartbeat("app/one").status(), 200);
    proxy.until("app/one", "healthy");
    assert_eq!(instance.probes(), 0);
}

#[test]
fn the_record_of_who_never_comes_back_is_forgotten() {
    let config = config("{ kind = 'ttl' }").replace("[service", "forget_after = '1s'\n[service");
    let proxy = Portolan::start(&config);
    let instance = Steered::start("one");
    assert_eq!(proxy.put("app/one", "", &instance.body(LEASED)).status(), 201);
    eventually(|| {
        proxy.heartbeat("app/gone").status() == 404
            && proxy.admin("GET", &path("app/one"), "").status() == 404
    });
    assert_eq!(problem(&proxy.heartbeat("app/one")), "not_found", "it is told to register again");
}
