//! What the new process knows because the old one did.

use std::thread;

use super::*;

#[test]
fn verdicts_are_inherited() {
    let proxy = spawned(SELDOM);
    let (up, down) = (Steered::start("up"), Steered::start("down"));
    proxy.put("app/up", "?wait=routable", &up.body(""));
    down.set_health(503);
    proxy.put("app/down", "", &down.body(""));
    proxy.until("app/down", "unhealthy");
    let probes = (up.probes(), proxy.instance("app/up")["why"].clone());
    for _ in 0..3 {
        proxy.upgrade();
        assert_eq!(
            (proxy.state("app/up"), proxy.state("app/down")),
            ("healthy".into(), "unhealthy".into())
        );
        for _ in 0..20 {
            assert_eq!(proxy.get("/").text(), "up");
        }
        assert_eq!(proxy.admin("GET", "/readyz", "").status(), 200);
    }
    assert_eq!((up.probes(), proxy.instance("app/up")["why"].clone()), probes);
    assert_eq!(down.served(), 0);
}

#[test]
fn an_instance_that_fails_after_an_upgrade_is_counted_from_where_it_was() {
    let config =
        SELDOM.replace("1h", "100ms").replace("unhealthy_after = 1", "unhealthy_after = 3");
    let proxy = spawned(&config);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    proxy.upgrade();
    one.set_health(503);
    proxy.until("app/one", "unhealthy");
    one.set_health(200);
    proxy.until("app/one", "healthy");
    let happened = proxy.happened("one");
    let states: Vec<_> = happened.iter().filter(|(kind, _)| kind == "state").collect();
    let states: Vec<_> = states.iter().map(|(_, detail)| detail.as_str()).collect();
    assert_eq!(states, ["healthy -> unhealthy", "unhealthy -> healthy"]);
}

#[test]
fn leases_go_on() {
    let proxy = spawned(SELDOM);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body("\"ttl\": \"60s\""));
    proxy.put("app/beating", "", r#"{"port": 1, "ttl": "60s", "health": {"kind": "ttl"}}"#);
    proxy.heartbeat("app/beating");
    proxy.put("app/late", "", r#"{"port": 1, "ttl": "1s", "health": {"kind": "ttl"}}"#);
    proxy.heartbeat("app/late");
    proxy.until("app/late", "unhealthy");
    let left = |proxy: &Portolan, name: &str| {
        proxy.instance(name)["lease_left_ms"].as_u64().expect("a lease")
    };
    let before = left(&proxy, "app/one");
    proxy.upgrade();
    assert!(left(&proxy, "app/one") <= before, "a full TTL again");
    assert_eq!(left(&proxy, "app/late"), 0);
    assert_eq!(proxy.state("app/beating"), "healthy", "without another heartbeat");
    assert_eq!(proxy.state("app/late"), "unhealthy");
    assert!(!kinds(&proxy).iter().any(|kind| kind.starts_with("lease")));
    assert_eq!(proxy.heartbeat("app/late").status(), 200);
    assert_eq!(proxy.state("app/late"), "healthy");
}

#[test]
fn who_was_leaving_still_is() {
    let proxy = spawned(SELDOM);
    let (one, two) = (Steered::start("one"), Steered::start("two"));
    proxy.put("app/one", "?wait=routable", &one.body(""));
    proxy.put("app/two", "?wait=routable", &two.body(""));
    proxy.admin("POST", &format!("{}/drain", path("app/one")), "");
    proxy.upgrade();
    assert_eq!(proxy.state("app/one"), "draining");
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "two");
    }
}

#[test]
fn a_drain_waits_for_what_is_in_flight_in_every_process() {
    let proxy = spawned(SELDOM);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut clients = Vec::new();
    for served in 1..=3 {
        let mut client = proxy.connect();
        client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
        eventually(|| one.served() == served);
        clients.push(client);
        // The last one stays in the process that answers.
        if served < 3 {
            proxy.upgrade();
        }
    }
    let early = proxy.delete("app/one", "?wait=drained&timeout=300ms");
    assert_eq!((early.status(), &early.json()["in_flight"]), (202, &3.into()), "{early:?}");
    assert_eq!(proxy.get("/").reason(), "no_healthy_instance");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| proxy.deregister("app/one"));
        one.let_go();
        let view = waiting.join().expect("no panic");
        assert_eq!((view.status(), &view.json()["drained"]), (200, &true.into()), "{view:?}");
    });
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "one", "finished, not cut");
    }
}

#[test]
fn the_old_process_picks_nobody_who_has_left() {
    // A request that waits for its turn picks only then.
    let config = SELDOM.replace(
        "[service.app]\n",
        "[service.app]\nlimits = { concurrency = 1 }\ntimeouts = { queue = '20s' }\n",
    );
    let proxy = spawned(&config);
    let (one, two) = (Steered::start("one"), Steered::start("two"));
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut first = proxy.connect();
    first.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| one.served() == 1);
    proxy.put("app/two", "?wait=routable", &two.body(""));
    let mut queued: Vec<_> = (0..10).map(|_| proxy.connect()).collect();
    for client in &mut queued {
        client.send(GET);
    }
    eventually(|| proxy.metric("portolan_requests_in_flight") == 11.0);
    proxy.upgrade();
    assert_eq!(proxy.delete("app/one", "?wait=drained&timeout=300ms").status(), 202);
    one.let_go();
    assert_eq!(first.read_response().text(), "one");
    for client in &mut queued {
        assert_eq!(client.read_response().text(), "two");
    }
}

#[test]
fn waits_are_answered_with_how_things_stand() {
    let proxy = spawned(SELDOM);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| one.served() == 1);
    let mut waiting = Connection::open(proxy.admin);
    let path = path("app/one");
    let host = proxy.admin;
    waiting
        .send(format!("DELETE {path}?wait=drained&timeout=60s HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    eventually(|| proxy.admin("GET", &path, "").status() == 404);
    proxy.upgrade();
    let answer = waiting.read_response();
    assert_eq!((answer.status(), &answer.json()["in_flight"]), (202, &1.into()), "{answer:?}");
    assert_eq!(proxy.admin("GET", &path, "").status(), 404);
}

#[test]
fn open_connections_of_the_admin_address_reach_the_new_process() {
    let mut proxy = spawned(SELDOM);
    let host = proxy.admin;
    let mut client = Connection::open(host);
    let status = format!("GET /api/v1/status HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let old = client.exchange(&status).json()["pid"].clone();
    let mut other = Connection::open(host);
    assert_eq!(other.exchange(&status).json()["pid"], old);
    let mut stream = events::Stream::open(&proxy, None);
    let new = proxy.upgrade();
    assert_eq!(stream.next().kind, "upgraded", "the last one of this stream");
    let answer = client.exchange(&status);
    assert_eq!((&answer.json()["pid"], answer.field("connection")), (&new.into(), Some("close")));
    let body = r#"{"port": 1, "health": {"kind": "ttl"}}"#;
    let path = path("app/late");
    let length = body.len();
    let answer = other.exchange(format!(
        "PUT {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    ));
    assert_eq!(answer.status(), 201, "{answer:?}");
    let ip = answer.json()["instance"]["origin"].clone();
    assert_eq!(ip, "http://127.0.0.1:1", "the address that the call came from");
    assert_eq!(proxy.exit().code(), Some(0));
}
