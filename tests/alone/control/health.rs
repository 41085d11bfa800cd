//! What probes decide, by which settings, and what panic makes of it.

use super::*;
use crate::support::Backend;

#[test]
fn a_failing_instance_is_taken_out_and_brought_back() {
    let proxy = Portolan::start(PROBED);
    let (one, two) = (Steered::start("one"), Steered::start("two"));
    proxy.put("app/one", "?wait=routable", &one.body(""));
    proxy.put("app/two", "?wait=routable", &two.body(""));
    one.set_health(503);
    proxy.until("app/one", "unhealthy");
    let why = proxy.instance("app/one")["why"].as_str().expect("why").to_owned();
    assert!(why.starts_with("GET /healthz -> 503"), "{why}");
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "two");
    }
    let attention = proxy.status()["attention"].clone();
    assert_eq!(attention[0], "app: 1 of 2 instances are unhealthy");
    one.set_health(200);
    proxy.until("app/one", "healthy");
    eventually(|| proxy.get("/").text() == "one");
    assert_eq!(proxy.status()["attention"].as_array().map(Vec::len), Some(0));
}

/// It has no lease that would end, so a ghost would be probed for ever.
#[test]
fn who_has_no_lease_and_fails_for_too_long_is_removed() {
    let proxy = Portolan::start(&format!("[registry]\nderegister_after = '1s'\n{PROBED}"));
    let (ghost, alive) = (Steered::start("ghost"), Steered::start("alive"));
    proxy.put("app/ghost", "?wait=routable", &ghost.body(""));
    proxy.put("app/alive", "?wait=routable", &alive.body(""));
    let leased = proxy.put("app/leased", "?wait=routable", &ghost.body(r#""ttl": "1h""#));
    assert_eq!(leased.status(), 201);
    ghost.set_health(503);
    eventually(|| proxy.admin("GET", &path("app/ghost"), "").status() == 404);
    let why = ("deregistered".to_owned(), "its probes failed for too long".to_owned());
    assert!(proxy.happened("ghost").contains(&why));
    assert_eq!(proxy.state("app/leased"), "unhealthy", "its lease decides");
    assert_eq!(proxy.get("/").text(), "alive");
}

#[test]
fn what_passes_is_a_setting() {
    let proxy =
        Portolan::start("[service.app]\nhealth = { path = '/healthz', interval = '100ms' }\n");
    let one = Steered::start("one");
    one.set_health(404);
    let health = |settings: &str| one.body(&format!("\"health\": {{{settings}}}"));
    let put = |name: &str, settings: &str| {
        let query = "?wait=routable&timeout=30s";
        assert_eq!(proxy.put(name, query, &health(settings)).status(), 201, "{name}");
    };
    put("app/status", r#""expect_status": "200, 404""#);
    put("app/body", r#""expect_status": "404", "expect_body": "up""#);
    put("app/tcp", r#""kind": "tcp""#);
    put("app/none", r#""kind": "none""#);
    assert_eq!(proxy.put("app/default", "", &one.body("")).status(), 201);
    let other = health(r#""expect_status": "404", "expect_body": "down""#);
    assert_eq!(proxy.put("app/other", "", &other).status(), 201);
    for name in ["app/default", "app/other"] {
        eventually(|| proxy.instance(name)["why"] != "waiting for the first probe");
        assert!(["starting", "unhealthy"].contains(&proxy.state(name).as_str()), "{name}");
    }
    let why = proxy.instance("app/other")["why"].as_str().expect("why").to_owned();
    assert!(why.contains("down"), "{why}");
}

#[test]
fn a_probe_may_have_a_port_a_host_and_a_pace_of_its_own() {
    let proxy = Portolan::start("[[route]]\nservice = 'app'\n");
    let (serving, probed) = (Steered::start("one"), crate::support::Echo::start("probed"));
    let settings = format!(
        "\"health\": {{\"path\": \"/up?x=1\", \"port\": {}, \"host\": \"health.test\", \"interval\": \"100ms\"}}",
        probed.address().port()
    );
    assert_eq!(proxy.put("app/one", "?wait=routable", &serving.body(&settings)).status(), 201);
    eventually(|| probed.requests().len() > 3);
    let probe = probed.requests().remove(0);
    assert_eq!((probe.method(), probe.target()), ("GET", "/up?x=1"));
    assert_eq!(probe.field("host"), Some("health.test"));
    assert_eq!(proxy.get("/").text(), "one");
    assert_eq!(serving.probes(), 0);
}

#[test]
fn when_most_fail_together_those_that_served_go_on() {
    let proxy = Portolan::start(PROBED);
    let instances = ["a", "b", "c"].map(Steered::start);
    for (name, instance) in ["app/a", "app/b", "app/c"].iter().zip(&instances) {
        proxy.put(name, "?wait=routable", &instance.body(""));
    }
    let beginner = Steered::start("beginner");
    beginner.set_health(503);
    proxy.put("app/beginner", "", &beginner.body(""));
    for instance in &instances {
        instance.set_health(503);
    }
    for name in ["app/a", "app/b", "app/c"] {
        proxy.until(name, "unhealthy");
    }
    let service = || proxy.admin("GET", "/api/v1/services/app", "").json();
    assert_eq!((&service()["panic"], &service()["routable"]), (&true.into(), &3.into()));
    assert!(proxy.status()["attention"][0].as_str().is_some_and(|line| line.contains("panic")));
    assert_eq!(proxy.metric("portolan_service_panic{service=\"app\"}"), 1.0);
    for _ in 0..30 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eq!(beginner.served(), 0, "it has never been healthy");
    for instance in &instances {
        instance.set_health(200);
    }
    for name in ["app/a", "app/b", "app/c"] {
        proxy.until(name, "healthy");
    }
    assert_eq!(service()["panic"], false);
}

#[test]
fn a_service_may_fail_closed() {
    let proxy = Portolan::start(&PROBED.replace("[[route]]", "panic = false\n[[route]]"));
    let instances = ["a", "b", "c"].map(Steered::start);
    for (name, instance) in ["app/a", "app/b", "app/c"].iter().zip(&instances) {
        proxy.put(name, "?wait=routable", &instance.body(""));
        instance.set_health(503);
    }
    eventually(|| proxy.get("/").reason() == "no_healthy_instance");
}

#[test]
fn in_panic_who_refuses_connections_gets_none() {
    let proxy = Portolan::start(PROBED);
    let mut instances: Vec<_> = ["a", "b", "c"].into_iter().map(Steered::start).collect();
    for (name, instance) in ["app/a", "app/b", "app/c"].iter().zip(&instances) {
        proxy.put(name, "?wait=routable", &instance.body(""));
    }
    instances.truncate(1);
    instances[0].set_health(503);
    for name in ["app/a", "app/b", "app/c"] {
        proxy.until(name, "unhealthy");
    }
    let routable = || {
        let service = proxy.admin("GET", "/api/v1/services/app", "").json();
        let instances = service["instances"].as_array().expect("instances").clone();
        let routable = instances.iter().filter(|instance| instance["routable"] == true);
        routable
            .map(|instance| instance["id"].as_str().expect("an id").to_owned())
            .collect::<Vec<_>>()
    };
    eventually(|| routable() == ["a"]);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "a");
    }
}

#[test]
fn endpoints_of_the_file_are_probed_and_exempt_from_the_address_rules() {
    let one = Steered::start("one");
    let text = format!(
        "[registry]\nallow_loopback = false\n{}",
        PROBED.replace(
            "[service.app]\n",
            &format!(
                "[service.app]\nendpoints = ['{}', '{}']\n",
                one.address(),
                Backend::refusing()
            )
        )
    );
    let proxy = Portolan::start(&text);
    eventually(|| proxy.get("/").text() == "one");
    let service = proxy.admin("GET", "/api/v1/services/app", "").json();
    assert_eq!(
        (&service["routable"], &service["instances"][0]["source"]),
        (&1.into(), &"proxy.toml".into())
    );
    let name = format!("app/{}", one.address());
    assert_eq!(proxy.heartbeat(&name).status(), 404, "it did not register");
    let left = proxy.delete(&name, "");
    assert_eq!((left.status(), &left.json()["found"]), (200, &false.into()));
    assert_eq!(proxy.get("/").text(), "one");
}
