//! The real proxy with a real registry before it: what is registered gets
//! requests and what has left gets none, while instances that nothing happens
//! to lose no request whatever happens to the registry.

use std::{
    env,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    followed::show,
    servers::{Server, consul::Consul, eureka::Eureka, http},
    support::{Backend, Portolan, eventually},
};

/// How long a registry is stalled: `PORTOLAN_STALL` in seconds, or a little.
fn stall() -> Duration {
    let seconds = env::var("PORTOLAN_STALL").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

/// An instance that answers with `name`.
fn named(name: &str) -> Backend {
    let length = name.len();
    Backend::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{name}"))
}

fn proxy(source: &str) -> Portolan {
    Portolan::start(&format!(
        "[[source]]\n{source}\nallow_loopback = true\n\
         [[route]]\npath = '/steady'\nservice = 'steady'\n\
         [[route]]\npath = '/moving'\nservice = 'moving'\n"
    ))
}

/// Requests to one path, one after the other, until it is asked for the sum.
struct Trickle {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<String>>,
}

impl Trickle {
    fn start(proxy: SocketAddr, path: &'static str) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || {
            let mut lost = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                match http::call(proxy, "GET", path, "") {
                    Ok(answer) if answer.status == 200 => {}
                    other => lost.push(format!("{other:?}")),
                }
                counted.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(10));
            }
            lost
        });
        Self { stop, sent, thread }
    }

    /// Waits until some more requests were answered.
    fn flow(&self) {
        let before = self.sent.load(Ordering::SeqCst);
        eventually(|| self.sent.load(Ordering::SeqCst) > before + 20);
    }

    #[track_caller]
    fn none_was_lost(self) {
        self.stop.store(true, Ordering::SeqCst);
        let lost = self.thread.join().expect("no panic");
        assert!(lost.is_empty(), "{} lost: {:?}", lost.len(), lost.first());
    }
}

/// What every registry is put through.
struct Trial<'a> {
    name: &'a str,
    register: &'a dyn Fn(&str, &str, SocketAddr),
    deregister: &'a dyn Fn(&str, &str),
}

impl Trial<'_> {
    /// Waits until `/moving` is answered by `expected`, or with an error if
    /// that is empty.
    #[track_caller]
    fn until(&self, portolan: &Portolan, what: &str, expected: &str) {
        let begun = Instant::now();
        eventually(|| {
            let answer = portolan.get("/moving");
            match expected {
                "" => answer.status() == 503,
                name => answer.status() == 200 && answer.text() == name,
            }
        });
        show(&format!("{}: {what}", self.name), begun.elapsed());
    }

    /// Comes and goes, once.
    #[track_caller]
    fn round(&self, portolan: &Portolan, when: &str) {
        let moving = named("moving");
        (self.register)("moving", "moving-1", moving.address);
        self.until(portolan, &format!("routed {when}"), "moving");
        (self.deregister)("moving", "moving-1");
        self.until(portolan, &format!("no more routed {when}"), "");
        // No ghost comes back.
        let asked = moving.requests().len();
        thread::sleep(Duration::from_millis(500));
        assert_eq!(portolan.get("/moving").status(), 503);
        assert_eq!(moving.requests().len(), asked);
    }
}

/// Stalls `server` while `trickle` goes on.
fn stalled(server: &Server, trickle: &Trickle) {
    server.stall();
    let until = Instant::now() + stall();
    while Instant::now() < until {
        trickle.flow();
    }
    server.resume();
}

#[test]
fn requests_follow_consul_and_none_is_lost_when_it_fails() {
    let mut consul = Consul::start();
    let steady = [named("one"), named("two")];
    for (id, backend) in ["steady-1", "steady-2"].into_iter().zip(&steady) {
        consul.register("steady", id, backend.address, &json!({}));
    }
    // Known from the start, so that the route leads to an instance that leaves.
    let first = named("first");
    consul.register("moving", "moving-0", first.address, &json!({ "Check": { "TTL": "1h" } }));
    consul.report("moving-0", "pass");
    let portolan = proxy(&format!("kind = 'consul'\nurl = '{}'", consul.url()));
    eventually(|| portolan.get("/steady").status() == 200);
    let trickle = Trickle::start(portolan.address(), "/steady");

    {
        let register = |service: &str, id: &str, address| {
            consul.register(service, id, address, &json!({}));
        };
        let deregister = |_: &str, id: &str| consul.deregister(id);
        let trial = Trial { name: "consul", register: &register, deregister: &deregister };
        trial.until(&portolan, "routed at first", "first");
        consul.report("moving-0", "fail");
        trial.until(&portolan, "critical", "");
        consul.report("moving-0", "pass");
        trial.until(&portolan, "passing", "first");
        consul.deregister("moving-0");
        trial.until(&portolan, "deregistered", "");
        trial.round(&portolan, "at rest");
        stalled(&consul.server, &trickle);
        trial.round(&portolan, "after a stall");
    }

    consul.server.kill();
    trickle.flow();
    consul.restart();
    {
        let register = |service: &str, id: &str, address| {
            consul.register(service, id, address, &json!({}));
        };
        let deregister = |_: &str, id: &str| consul.deregister(id);
        let trial = Trial { name: "consul", register: &register, deregister: &deregister };
        trial.round(&portolan, "after a kill and a restart");
    }
    consul.restart_empty();
    trickle.flow();
    consul.register("other", "other-1", first.address, &json!({}));
    eventually(|| portolan.admin("GET", "/api/v1/services/other", "").status() == 200);
    trickle.flow();
    trickle.none_was_lost();
}

#[test]
fn requests_follow_eureka_and_none_is_lost_when_it_fails() {
    let mut eureka = Eureka::start();
    let steady = [named("one"), named("two")];
    for (id, backend) in ["steady-1", "steady-2"].into_iter().zip(&steady) {
        eureka.register("steady", id, backend.address, &json!({}));
    }
    let first = named("first");
    eureka.register("moving", "moving-0", first.address, &json!({}));
    let source = format!("kind = 'eureka'\nurls = ['{}']\ninterval = '200ms'", eureka.url());
    let portolan = proxy(&source);
    eventually(|| portolan.get("/steady").status() == 200);
    let trickle = Trickle::start(portolan.address(), "/steady");

    {
        let register = |service: &str, id: &str, address| {
            eureka.register(service, id, address, &json!({}));
        };
        let deregister = |service: &str, id: &str| eureka.deregister(service, id);
        let trial = Trial { name: "eureka", register: &register, deregister: &deregister };
        trial.until(&portolan, "routed at first", "first");
        eureka.set_status("moving", "moving-0", "OUT_OF_SERVICE");
        trial.until(&portolan, "out of service", "");
        eureka.set_status("moving", "moving-0", "UP");
        trial.until(&portolan, "up again", "first");
        eureka.deregister("moving", "moving-0");
        trial.until(&portolan, "deregistered", "");
        trial.round(&portolan, "at rest");
        stalled(&eureka.server, &trickle);
        trial.round(&portolan, "after a stall");
    }

    // It has forgotten everybody when it is back.
    eureka.server.kill();
    trickle.flow();
    eureka.restart();
    let register = |service: &str, id: &str, address| {
        eureka.register(service, id, address, &json!({}));
    };
    let deregister = |service: &str, id: &str| eureka.deregister(service, id);
    let trial = Trial { name: "eureka", register: &register, deregister: &deregister };
    trial.round(&portolan, "after a kill and a restart");
    trickle.flow();
    trickle.none_was_lost();
}
