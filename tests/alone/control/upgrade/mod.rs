//! Upgrades: another process takes over, and nobody notices.

mod inherited;
mod load;
mod refused;

use std::sync::atomic::AtomicBool;

use super::*;
use crate::support::Connection;

/// A route from everywhere to `app`; its instances are probed seldom, so that
/// what is known of them is what was inherited.
const SELDOM: &str = "upgrade_timeout = '20s'\n\
    [service.app]\n\
    health = { path = '/healthz', interval = '1h', timeout = '1s', unhealthy_after = 1 }\n\
    [[route]]\nservice = 'app'\n";

/// The proxy in a process of its own.
#[track_caller]
fn spawned(config: &str) -> Portolan {
    Portolan::spawned(config, |_, _| {})
}

#[test]
fn another_process_serves_and_the_old_one_ends() {
    let mut proxy = spawned(SELDOM);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let (old, version) = (proxy.pid(), proxy.status()["version"].as_u64().expect("a version"));
    assert_eq!(old, proxy.process());
    let new = proxy.upgrade();
    assert_ne!(old, new);
    assert_eq!(proxy.pid(), new);
    assert_eq!(proxy.get("/").text(), "one");
    assert!(proxy.status()["version"].as_u64().expect("a version") > version);
    assert_eq!(proxy.exit().code(), Some(0));
    let events = kinds(&proxy);
    assert_eq!(events, ["upgraded"], "nothing else has happened");
}

#[test]
fn a_signal_upgrades_too() {
    let mut proxy = spawned(SELDOM);
    let old = proxy.pid();
    crate::support::signal(old, rustix::process::Signal::USR2);
    assert_eq!(proxy.exit().code(), Some(0));
    let new = proxy.pid();
    proxy.took_over(new);
    assert_ne!(old, new);
}

#[test]
fn connections_move_between_two_requests() {
    let mut proxy = spawned(SELDOM);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut fresh = proxy.connect();
    let mut used = proxy.connect();
    assert_eq!(used.exchange(GET).text(), "one");
    let mut resting = proxy.connect();
    assert_eq!(resting.exchange(GET).text(), "one");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(used.exchange(GET).text(), "one");
    let mut begun = proxy.connect();
    assert_eq!(begun.exchange(GET).text(), "one");
    begun.send("GET / HT");
    let mut busy = proxy.connect();
    busy.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| one.served() == 5);
    proxy.upgrade();
    begun.send("TP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(begun.read_response().text(), "one");
    one.let_go();
    let late = busy.read_response();
    assert_eq!((late.text().as_str(), late.field("connection")), ("one", None));
    for client in [&mut fresh, &mut used, &mut resting, &mut begun, &mut busy] {
        let answer = client.exchange(GET);
        assert_eq!((answer.text().as_str(), answer.field("connection")), ("one", None));
    }
    assert_eq!(proxy.exit().code(), Some(0), "nothing is left there");
    for client in [&mut fresh, &mut used, &mut resting, &mut begun, &mut busy] {
        assert_eq!(client.exchange(GET).text(), "one");
    }
}

#[test]
fn whom_a_balancer_has_named_is_still_the_client() {
    let told = "[[listener]]\nproxy_protocol = { from = ['127.0.0.0/8'] }\n";
    let backend =
        crate::support::Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut proxy = spawned(&format!(
        "{told}[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut client = proxy.connect();
    client.send("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n");
    assert_eq!(client.exchange(GET).status(), 200);
    for _ in 0..2 {
        // What is read ahead moves as well, and no header is asked for again.
        client.send("GET / HT");
        proxy.upgrade();
        client.send("TP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(client.read_response().status(), 200);
    }
    let named =
        |request: &crate::support::Message| request.field("x-forwarded-for") == Some("192.0.2.7");
    assert!(backend.requests().iter().all(named), "{:?}", backend.requests());
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn an_upload_that_goes_on_after_its_answer_does_not_move() {
    let early = crate::support::Backend::start(|mut accepted| {
        accepted.head();
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        accepted.connection.wait_for_end();
    });
    let proxy = spawned(&format!(
        "upgrade_timeout = '1s'\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        early.address
    ));
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\nhalf");
    assert_eq!(client.read_response().text(), "ok");
    proxy.upgrade();
    // Were it taken for a request, it would be answered.
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    let (rest, _) = client.read_to_end();
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

#[test]
fn streams_and_tunnels_end_where_they_began() {
    let mut proxy = spawned(SELDOM);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut tunnel = drain::tunnel(&proxy);
    for round in 0..3 {
        proxy.upgrade();
        tunnel.send("still there");
        assert_eq!(tunnel.read_exact(11).expect("an echo"), b"still there", "{round}");
        assert!(!proxy.has_exited());
    }
    drop(tunnel);
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn a_tunnel_that_is_agreed_to_after_the_upgrade_is_one() {
    static GO: AtomicBool = AtomicBool::new(false);
    let backend = crate::support::Backend::start(|mut accepted| {
        accepted.request();
        while !GO.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        accepted.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\n\r\n",
        );
        while let Ok(bytes) = accepted.connection.read() {
            accepted.send(bytes);
        }
    });
    let mut proxy = spawned(&format!(
        "[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        backend.address
    ));
    let mut client = proxy.connect();
    client
        .send("GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    eventually(|| backend.requests().len() == 1);
    proxy.upgrade();
    GO.store(true, Ordering::SeqCst);
    assert_eq!(client.read_response().status(), 101);
    client.send("hello");
    assert_eq!(client.read_exact(5).expect("an echo"), b"hello");
    drop(client);
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn an_old_process_that_is_told_to_stop_has_as_long_as_for_any_stop() {
    let mut proxy =
        spawned(&format!("shutdown_timeout = '300ms'\n{SELDOM}").replace("'20s'", "'10m'"));
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut tunnel = drain::tunnel(&proxy);
    let new = proxy.upgrade();
    assert!(!proxy.has_exited());
    crate::support::signal(proxy.process(), rustix::process::Signal::TERM);
    tunnel.wait_for_end();
    assert_eq!(proxy.exit().code(), Some(0));
    assert_eq!((proxy.pid(), proxy.get("/").text().as_str()), (new, "one"));
}

#[test]
fn more_or_fewer_workers_accept_from_the_same_sockets() {
    let proxy = spawned(&format!("workers = 3\n{SELDOM}"));
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    for workers in [1, 4, 2] {
        proxy.write(&format!("workers = {workers}\n{SELDOM}"));
        proxy.upgrade();
        assert_eq!(proxy.status()["workers"], workers);
        for _ in 0..40 {
            assert_eq!(proxy.get("/").text(), "one");
        }
    }
}

#[test]
fn listeners_come_and_go_with_an_upgrade() {
    let two = format!("[[listener]]\n[[listener]]\naddress = '127.0.0.2:0'\n{SELDOM}");
    // The first keys belong to the file, not to a listener.
    let two = two.replace("upgrade_timeout = '20s'\n", "");
    let proxy = spawned(&two);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let gone = proxy.listeners[1];
    assert_eq!(Connection::open(gone).exchange(GET).text(), "one");
    proxy.write(SELDOM);
    proxy.upgrade();
    assert_eq!(proxy.get("/").text(), "one");
    assert_eq!(proxy.status()["listeners"].as_array().map(Vec::len), Some(1));
    eventually(|| std::net::TcpStream::connect(gone).is_err());
    proxy.write(&two);
    proxy.upgrade();
    let came: std::net::SocketAddr =
        proxy.status()["listeners"][1].as_str().expect("an address").parse().expect("an address");
    assert_eq!(Connection::open(came).exchange(GET).text(), "one");
    // The rules for addresses know what the process before listened on.
    let own = format!("{{\"address\": \"{}\"}}", proxy.address());
    assert_eq!(problem(&proxy.put("app/self", "", &own)), "address_denied");
    let own = format!("{{\"address\": \"{came}\"}}");
    assert_eq!(problem(&proxy.put("app/self", "", &own)), "address_denied");
}

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// The kinds of all that has happened in the process that answers now.
#[track_caller]
fn kinds(proxy: &Portolan) -> Vec<String> {
    // It is the last one: whatever came before has been told.
    assert_eq!(
        proxy.put("mark/mark", "", r#"{"port": 1, "health": {"kind": "ttl"}}"#).status(),
        201
    );
    let mut stream = events::Stream::open(proxy, Some("0-0"));
    let mut kinds = Vec::new();
    loop {
        let event = stream.next();
        if event.data["instance"] == "mark" {
            return kinds;
        }
        kinds.push(event.kind);
    }
}
