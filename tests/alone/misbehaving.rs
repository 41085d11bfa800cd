//! Instances that do what no instance should, beside one that is well. Each
//! ends its own requests for its own reason, and nobody else's; not a byte of
//! one gets into another's answer.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::support::{Accepted, Backend, Connection, Echo, Portolan, eventually};

/// What a bad answer would look like at the neighbour's clients.
const MARK: &str = "misbehaving";

/// How an instance misbehaves.
struct Manner {
    name: &'static str,
    /// What it does to each connection.
    script: fn(Accepted),
    /// Settings of its service.
    service: &'static str,
    /// How its requests end.
    reason: &'static str,
    /// The status that the client sees, and the body if there is one.
    seen: (u16, Option<&'static str>),
}

/// In which what was sent arrives.
const A_WHILE: Duration = Duration::from_secs(1);

fn manners() -> Vec<Manner> {
    let short = "timeouts = { response = '300ms' }";
    let idle = "timeouts = { idle = '300ms' }";
    let manner =
        |name, script, service, reason, seen| Manner { name, script, service, reason, seen };
    vec![
        manner("silent", silent, short, "response_timeout", (504, None)),
        manner("slow-head", slow_head, short, "response_timeout", (504, None)),
        manner("endless-head", endless_head, "", "upstream_protocol_error", (502, None)),
        manner("slow-body", slow_body, idle, "response_idle_timeout", (200, Some("m"))),
        manner(
            "trickling",
            trickling,
            "timeouts = { request = '3s' }",
            "request_timeout",
            (200, None),
        ),
        manner("reset-in-body", reset_in_body, "", "response_truncated", (200, Some(MARK))),
        manner("reset-in-head", reset_in_head, "", "upstream_reset", (502, None)),
        manner("garbage", garbage, "", "upstream_protocol_error", (502, None)),
        manner("bad-chunks", bad_chunks, "", "response_truncated", (200, None)),
        manner("too-short", too_short, "", "response_truncated", (200, Some(MARK))),
        manner("too-long", too_long, "", "ok", (200, Some("misbehav"))),
        manner("two-answers", two_answers, "", "ok", (200, Some(MARK))),
        manner("deaf", deaf, short, "response_timeout", (504, None)),
    ]
}

fn silent(mut accepted: Accepted) {
    accepted.request();
    accepted.connection.wait_for_end();
}

/// Takes nothing.
fn deaf(mut accepted: Accepted) {
    accepted.head();
    accepted.connection.wait_for_end();
}

fn slow_head(mut accepted: Accepted) {
    accepted.request();
    // And the next byte in a minute.
    accepted.send("H");
    accepted.connection.wait_for_end();
}

fn endless_head(mut accepted: Accepted) {
    accepted.request();
    accepted.send("HTTP/1.1 200 OK\r\n");
    let field = format!("x-{MARK}: {}\r\n", "m".repeat(4000));
    while accepted.connection.try_send(&field).is_ok() {}
}

fn slow_body(mut accepted: Accepted) {
    accepted.request();
    accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nm");
    accepted.connection.wait_for_end();
}

fn trickling(mut accepted: Accepted) {
    accepted.request();
    accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
    while accepted.connection.try_send("m").is_ok() {
        thread::sleep(Duration::from_millis(50));
    }
}

fn reset_in_body(mut accepted: Accepted) {
    accepted.request();
    accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{MARK}"));
    thread::sleep(A_WHILE);
    accepted.connection.reset();
}

fn reset_in_head(mut accepted: Accepted) {
    accepted.request();
    accepted.send(format!("HTTP/1.1 200 OK\r\nx-{MARK}: 1\r\n"));
    thread::sleep(A_WHILE);
    accepted.connection.reset();
}

fn garbage(mut accepted: Accepted) {
    accepted.request();
    accepted.send(format!("{MARK}\r\n\r\n"));
    accepted.connection.wait_for_end();
}

fn bad_chunks(mut accepted: Accepted) {
    accepted.request();
    accepted.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    thread::sleep(A_WHILE);
    accepted.send(format!("{MARK}\r\n"));
    accepted.connection.wait_for_end();
}

fn too_short(mut accepted: Accepted) {
    accepted.request();
    accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{MARK}"));
    thread::sleep(A_WHILE);
}

fn too_long(mut accepted: Accepted) {
    while accepted.request().is_some() {
        accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{MARK}"));
    }
}

fn two_answers(mut accepted: Accepted) {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{MARK}");
    while accepted.request().is_some() {
        accepted.send(format!("{answer}{answer}"));
    }
}

/// Asks the neighbour for `target`, and holds it to its answer.
#[track_caller]
fn ask_neighbour(client: &mut Connection, target: &str) {
    let answer = client.exchange(format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n"));
    assert!(answer.complete && answer.status() == 200, "{answer:?}");
    let said = answer.json();
    assert_eq!((&said["name"], &said["target"]), (&"neighbour".into(), &target.into()));
    assert!(!answer.text().contains(MARK), "{answer:?}");
}

/// One request to a misbehaving instance, over a connection that goes on to
/// the neighbour if it can.
fn ask_misbehaving(portolan: &Portolan, manner: &Manner, number: usize) {
    let mut client = portolan.connect();
    ask_neighbour(&mut client, &format!("/neighbour/before-{}-{number}", manner.name));
    let method = if number.is_multiple_of(2) { "GET" } else { "POST" };
    client.send(format!(
        "{method} /{} HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n",
        manner.name
    ));
    let answer = client.read_response();
    let name = manner.name;
    assert_eq!(answer.status(), manner.seen.0, "{name}: {answer:?}");
    if let Some(body) = manner.seen.1 {
        assert_eq!(answer.text(), body, "{name}");
    }
    assert_eq!(answer.complete, answer.status() != 200 || manner.reason == "ok", "{name}");
    if answer.complete {
        ask_neighbour(&mut client, &format!("/neighbour/after-{name}-{number}"));
    } else {
        client.wait_for_end();
    }
}

#[test]
fn none_harms_its_neighbours() {
    const EACH: usize = 6;
    let neighbour = Echo::start("neighbour");
    let manners = manners();
    let backends: Vec<_> = manners.iter().map(|manner| Backend::start(manner.script)).collect();
    // One worker: all of this is on one thread.
    let mut config = format!(
        "workers = 1\n[service.neighbour]\nendpoints = ['{}']\n\
         [[route]]\npath = '/neighbour'\nservice = 'neighbour'\n",
        neighbour.address()
    );
    for (manner, backend) in manners.iter().zip(&backends) {
        config += &format!(
            "[service.{0}]\nendpoints = ['{1}']\n{2}\n[[route]]\npath = '/{0}'\nservice = '{0}'\n",
            manner.name, backend.address, manner.service
        );
    }
    let portolan = Portolan::start(&config);
    let over = AtomicBool::new(false);
    let asked: usize = thread::scope(|scope| {
        let steady: Vec<_> = (0..3)
            .map(|number| {
                let (portolan, over) = (&portolan, &over);
                scope.spawn(move || {
                    let mut client = portolan.connect();
                    let mut count = 0;
                    while !over.load(Ordering::SeqCst) {
                        ask_neighbour(&mut client, &format!("/neighbour/steady-{number}-{count}"));
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let misbehaving: Vec<_> = manners
            .iter()
            .flat_map(|manner| (0..EACH).map(move |number| (manner, number)))
            .map(|(manner, number)| {
                let portolan = &portolan;
                scope.spawn(move || ask_misbehaving(portolan, manner, number))
            })
            .collect();
        let ended: Vec<_> = misbehaving.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok), "see above");
        steady.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert!(asked > 0);
    let good = |line: &serde_json::Value| line["service"] == "neighbour" && line["reason"] == "ok";
    let mut lines = Vec::new();
    eventually(|| {
        lines = portolan.access_log();
        lines.iter().filter(|line| line["service"] != "neighbour").count() == manners.len() * EACH
    });
    assert!(lines.iter().all(|line| line["service"] != "neighbour" || good(line)));
    for (manner, backend) in manners.iter().zip(&backends) {
        let of_it = lines.iter().filter(|line| line["service"] == manner.name);
        let reasons: Vec<_> = of_it.map(|line| line["reason"].as_str()).collect();
        assert_eq!(reasons, [Some(manner.reason); EACH], "{}", manner.name);
        // None of its connections was used a second time.
        assert_eq!(backend.connections(), EACH, "{}", manner.name);
        assert_eq!(backend.requests().len(), EACH, "{}", manner.name);
        eventually(|| backend.open() == 0 && portolan.in_flight(manner.name) == 0);
    }
    assert_eq!(portolan.in_flight("neighbour"), 0);
}

/// An instance that ends idle connections when it pleases: a GET does not
/// notice, and a POST fails at worst, but none is read twice.
#[test]
fn connections_that_end_at_random_never_send_a_post_twice() {
    const CLIENTS: usize = 8;
    const EACH: usize = 150;
    let backend = Backend::start(|mut accepted| {
        let mut seed = accepted.number as u64;
        let mut idle = false;
        loop {
            // Splits the range evenly enough.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let patience = Duration::from_micros(200 + (seed >> 33) % 5_000);
            if idle && accepted.connection.is_silent_for(patience) {
                return;
            }
            idle = true;
            let Some(request) = accepted.request() else { return };
            let target = request.target();
            accepted.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}",
                target.len()
            ));
        }
    });
    let portolan = Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    ));
    let answered = Mutex::new(HashMap::new());
    thread::scope(|scope| {
        for client_number in 0..CLIENTS {
            let (portolan, answered) = (&portolan, &answered);
            scope.spawn(move || {
                let mut client = portolan.connect();
                for number in 0..EACH {
                    let method = if number.is_multiple_of(2) { "POST" } else { "GET" };
                    let target = format!("/{method}-{client_number}-{number}");
                    let body = if method == "POST" { "body" } else { "" };
                    let answer = client.exchange(format!(
                        "{method} {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n\
                         {body}",
                        body.len()
                    ));
                    if answer.status() == 200 {
                        assert_eq!(answer.text(), target);
                    } else {
                        assert_eq!((method, &*answer.reason()), ("POST", "upstream_reset"));
                    }
                    let mut answered = answered.lock().expect("no panic");
                    answered.insert(target, answer.status());
                    drop(answered);
                    thread::sleep(Duration::from_micros(number as u64 * 37 % 4_000));
                }
            });
        }
    });
    let answered = answered.into_inner().expect("no panic");
    assert_eq!(answered.len(), CLIENTS * EACH);
    let mut read: HashMap<String, usize> = HashMap::new();
    for request in backend.requests() {
        *read.entry(request.target().to_owned()).or_default() += 1;
    }
    for (target, status) in &answered {
        let times = read.get(target).copied().unwrap_or_default();
        assert!(times <= 1 || target.starts_with("/GET"), "{target} was read {times} times");
        assert!(*status != 200 || times >= 1, "{target} was answered by nobody");
    }
    let failed = answered.values().filter(|status| **status != 200).count();
    eventually(|| portolan.ended("upstream_reset") == failed as f64);
    println!("{failed} of {} POSTs met a connection that was just ending", CLIENTS * EACH / 2);
}
