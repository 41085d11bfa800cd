//! From a registration to the first request.

use super::*;
use crate::support::Backend;

#[test]
fn what_registers_is_probed_and_then_served() {
    let proxy = Portolan::start(PROBED);
    let instance = Steered::start("one");
    instance.set_health(500);
    assert_eq!(proxy.get("/").reason(), "no_healthy_instance");
    let answer = proxy.put("app/one", "", &instance.body(""));
    assert_eq!(answer.status(), 201, "{answer:?}");
    eventually(|| instance.probes() > 1);
    assert!(["starting", "unhealthy"].contains(&proxy.state("app/one").as_str()));
    assert_eq!(proxy.get("/").status(), 503);
    assert_eq!(instance.served(), 0);
    instance.set_health(200);
    proxy.until("app/one", "healthy");
    eventually(|| proxy.get("/").text() == "one");
}

#[test]
fn waiting_until_routable_means_that_the_next_request_is_served() {
    let proxy = Portolan::start(PROBED);
    let instance = Steered::start("one");
    let mut client = proxy.connect();
    for round in 0..200 {
        let name = format!("app/{}", round % 3);
        let answer = proxy.put(&name, "?wait=routable&timeout=30s", &instance.body(""));
        assert_eq!(answer.status(), 201, "{answer:?}");
        assert_eq!(answer.json()["routed"], true);
        let served = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!((served.status(), served.text().as_str()), (200, "one"), "round {round}");
        let left = proxy.deregister(&name);
        assert_eq!((left.status(), &left.json()["drained"]), (200, &true.into()), "{left:?}");
        let gone = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(gone.reason(), "no_healthy_instance", "round {round}");
    }
}

#[test]
fn a_wait_that_times_out_says_what_it_waited_for_and_goes_on() {
    let proxy = Portolan::start(PROBED);
    let instance = Steered::start("one");
    instance.set_health(503);
    let answer = proxy.put("app/one", "?wait=routable&timeout=300ms", &instance.body(""));
    assert_eq!(answer.status(), 202, "{answer:?}");
    let view = answer.json();
    assert_eq!(view["routed"], false);
    let waiting_for = view["waiting_for"].as_str().expect("what it waits for");
    assert!(waiting_for.starts_with("GET /healthz -> 503"), "{waiting_for}");
    instance.set_health(200);
    proxy.until("app/one", "healthy");
}

#[test]
fn the_same_again_changes_nothing_and_an_edit_keeps_what_was_counted() {
    let proxy = Portolan::start(PROBED);
    let instance = Steered::start("one");
    assert_eq!(proxy.put("app/one", "?wait=routable", &instance.body("")).status(), 201);
    for _ in 0..5 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    let version = proxy.status()["version"].clone();
    let again = proxy.put("app/one", "?wait=routable", &instance.body(""));
    assert_eq!((again.status(), &again.json()["created"]), (200, &false.into()));
    assert_eq!(proxy.status()["version"], version, "no new table");
    let edited = proxy.put("app/one", "?wait=routable", &instance.body(r#""weight": 7"#));
    let view = edited.json();
    assert_eq!((edited.status(), &view["instance"]["weight"]), (200, &7.into()));
    assert_eq!(view["instance"]["requests"], 5);
    assert_eq!(view["instance"]["generation"], 1);
    assert_eq!(view["instance"]["state"], "healthy");
    let other = Steered::start("other");
    let moved = proxy.put("app/one", "?wait=routable", &other.body("")).json();
    assert_eq!(
        (&moved["instance"]["generation"], &moved["instance"]["requests"]),
        (&2.into(), &0.into())
    );
    assert_eq!(proxy.get("/").text(), "other");
}

#[test]
fn addresses_that_only_the_proxy_can_reach_are_refused() {
    let proxy = Portolan::start(
        "[[listener]]\n[[listener]]\naddress = '127.0.0.2:0'\n[[route]]\nservice = 'app'\n",
    );
    let own = proxy.listeners.iter().map(ToString::to_string).chain([proxy.admin.to_string()]);
    let others = [
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "0.0.0.0:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[fe80::1]:80",
        "100.100.100.200:80",
    ];
    let own = own.collect::<Vec<_>>();
    assert_eq!(own.len(), 3);
    for address in own.into_iter().chain(others.map(str::to_owned)) {
        let answer = proxy.put("app/one", "", &format!("{{\"address\": \"{address}\"}}"));
        assert_eq!(
            (answer.status(), problem(&answer).as_str()),
            (422, "address_denied"),
            "{address}"
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], "/address");
    }
    assert_eq!(proxy.put("app/one", "", r#"{"address": "127.0.0.1:1"}"#).status(), 201);
}

#[test]
fn where_loopback_is_forbidden_nothing_is_sent_there() {
    let proxy = Portolan::start("[registry]\nallow_loopback = false\n[[route]]\nservice = 'app'\n");
    let trap = Backend::start(|_| {});
    let body = format!("{{\"address\": \"{}\"}}", trap.address);
    let answer = proxy.put("app/one", "", &body);
    assert_eq!((answer.status(), problem(&answer).as_str()), (422, "address_denied"));
    // A name is looked at when it is connected to.
    let probed = format!(
        "{{\"address\": \"localhost:{}\", \"health\": {{\"path\": \"/\"}}}}",
        trap.address.port()
    );
    assert_eq!(proxy.put("app/probed", "", &probed).status(), 201);
    eventually(|| {
        proxy.instance("app/probed")["why"].as_str().is_some_and(|why| why.contains("not allowed"))
    });
    let routed = format!("{{\"address\": \"localhost:{}\"}}", trap.address.port());
    assert_eq!(proxy.put("app/routed", "?wait=routable", &routed).status(), 201);
    assert_eq!(proxy.get("/").reason(), "address_denied");
    assert_eq!(trap.connections(), 0);
}

#[test]
fn limits_are_refused_by_name() {
    let proxy = Portolan::start("[registry]\nmax_instances_per_service = 2\nmax_services = 2\n");
    let put = |name: &str| proxy.put(name, "", r#"{"port": 80}"#);
    for name in ["a/1", "a/2", "b/1"] {
        assert_eq!(put(name).status(), 201);
    }
    for name in ["a/3", "c/1"] {
        let refused = put(name);
        assert_eq!((refused.status(), problem(&refused).as_str()), (429, "limit_reached"));
    }
    assert_eq!(put("a/1").status(), 200, "who is in may come back");
    assert_eq!(proxy.delete("a/1", "").status(), 200);
    assert_eq!(put("a/3").status(), 201);
    let pairs: Vec<_> = (0..65).map(|index| format!("\"k{index}\": \"v\"")).collect();
    let many = format!("{{\"port\": 80, \"metadata\": {{{}}}}}", pairs.join(", "));
    let long = format!("{{\"port\": 80, \"metadata\": {{\"k\": \"{}\"}}}}", "v".repeat(513));
    for body in [
        many.as_str(),
        long.as_str(),
        r#"{"port": 80, "ttl": "1000years"}"#,
        r#"{"port": 80, "ttl": "2d"}"#,
        r#"{"port": 80, "ttl": "10ms"}"#,
    ] {
        let refused = proxy.put("b/1", "", body);
        assert_eq!((refused.status(), problem(&refused).as_str()), (422, "invalid"), "{body}");
    }
    let huge = format!("{{\"port\": 80, \"zone\": \"{}\"}}", "z".repeat(70_000));
    assert_eq!(problem(&proxy.put("b/1", "", &huge)), "body_too_large");
}
