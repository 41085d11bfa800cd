//! Requests that arrive while no instance is there wait for one.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::support::{Backend, Connection, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

fn start(service: &str) -> Portolan {
    Portolan::start(&format!(
        "[defaults]\noutlier = {{}}\n[service.app]\n{service}\n[[route]]\nservice = 'app'"
    ))
}

/// Sends a request that is held, and waits until it is.
fn held(portolan: &Portolan, request: &str) -> Connection {
    let before = portolan.metric("portolan_requests_in_flight");
    let mut client = portolan.connect();
    client.send(request);
    eventually(|| portolan.metric("portolan_requests_in_flight") > before);
    client
}

#[test]
fn a_request_waits_for_the_first_instance() {
    let portolan = start("hold = '1h'");
    let mut clients: Vec<_> = (0..5).map(|_| held(&portolan, GET)).collect();
    assert!(clients[0].is_silent_for(Duration::from_millis(300)));
    let backend = Backend::answering(OK);
    portolan.register("app/a", backend.address);
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "hi");
    }
}

#[test]
fn who_has_waited_for_long_enough_is_told_when_to_come_back() {
    let portolan = start("hold = '200ms'\nhealth = { kind = 'tcp', interval = '7s' }");
    let answer = portolan.get("/");
    assert_eq!((answer.status(), &*answer.reason()), (503, "no_healthy_instance"));
    let seconds = answer.field("retry-after").expect("a time");
    assert!(["7", "8"].contains(&seconds), "{seconds}");
}

#[test]
fn as_many_wait_as_the_queue_holds_over_all_workers_and_no_more() {
    let portolan = start("hold = '1h'\nlimits = { queue = 3 }");
    let mut clients: Vec<_> = (0..3).map(|_| held(&portolan, GET)).collect();
    for _ in 0..10 {
        assert_eq!(portolan.get("/").reason(), "no_healthy_instance");
    }
    // Who leaves gives its place to another.
    drop(clients.pop());
    eventually(|| portolan.ended("client_gone") == 1.0);
    clients.push(held(&portolan, GET));
    let backend = Backend::answering(OK);
    portolan.register("app/a", backend.address);
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "hi");
    }
    assert_eq!(portolan.ended("no_healthy_instance"), 10.0);
}

#[test]
fn the_body_is_read_when_somebody_is_there_to_take_it() {
    let portolan = start("hold = '1h'");
    let mut client =
        held(&portolan, "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 8000000\r\n\r\n");
    let taken = client.send_until_stuck(8_000_000);
    assert!(taken < 8_000_000, "somebody took all of it");
    let backend = Backend::answering(OK);
    portolan.register("app/a", backend.address);
    client.send(vec![0; 8_000_000 - taken]);
    assert_eq!(client.read_response().text(), "hi");
    assert_eq!(backend.only_request().body.len(), 8_000_000);
}

/// The only instance is killed and comes back elsewhere, under load.
fn restarted(health: &str) {
    let portolan = start(&format!("hold = '25s'\n{health}"));
    let first = Backend::answering(OK);
    portolan.register("app/only", first.address);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let (portolan, over) = (&portolan, &over);
                scope.spawn(move || {
                    let mut served = 0;
                    while !over.load(Ordering::SeqCst) {
                        // GET: what a dying instance had got is sent again.
                        let answer = portolan.get(&format!("/{number}"));
                        assert_eq!(answer.status(), 200, "{answer:?}");
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        eventually(|| first.requests().len() > 20);
        drop(first);
        thread::sleep(Duration::from_millis(700));
        let second = Backend::answering(OK);
        portolan.register("app/only", second.address);
        eventually(|| second.requests().len() > 20);
        over.store(true, Ordering::SeqCst);
        let served: usize = clients.into_iter().map(|client| client.join().expect("served")).sum();
        assert!(served > 40);
    });
}

#[test]
fn a_restart_of_the_only_instance_fails_no_request() {
    restarted("health = { kind = 'tcp', interval = '1s' }");
}

#[test]
fn nor_of_one_that_nobody_probes() {
    restarted("health = { kind = 'none' }");
}

#[test]
fn who_resets_again_and_again_is_not_waited_for() {
    let portolan = start("hold = '1h'");
    let breaking = Backend::start(|mut accepted| {
        accepted.request();
    });
    portolan.register("app/only", breaking.address);
    assert_eq!(portolan.get("/").reason(), "upstream_reset");
    assert_eq!(breaking.requests().len(), 3);
}

#[test]
fn a_post_that_nobody_took_waits_too() {
    let portolan = start("hold = '1h'");
    let refusing = Backend::refusing();
    let body = format!("{{\"address\": \"{refusing}\"}}");
    let path = "/api/v1/services/app/instances/only";
    assert_eq!(portolan.admin("PUT", path, &body).status(), 201);
    let post = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbody";
    let mut client = portolan.connect();
    client.send(post);
    eventually(|| {
        portolan.metric("portolan_upstream_connects_total{service=\"app\",result=\"failed\"}")
            >= 1.0
    });
    // What waits is not on the one that refused, which may leave.
    eventually(|| portolan.in_flight("app") == 0);
    let backend = Backend::answering(OK);
    portolan.register("app/only", backend.address);
    assert_eq!(client.read_response().text(), "hi");
    assert_eq!(backend.only_request().body, b"body");
}
