//! What fails because there is too much to do does not get more: the budget of
//! retries, over all workers.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use crate::support::{Backend, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
const REFUSED: &str = "portolan_upstream_retries_refused_total{service=\"app\"}";

fn retried(portolan: &Portolan, cause: &str) -> f64 {
    let name = "portolan_upstream_retries_total";
    portolan.metric(&format!("{name}{{service=\"app\",cause=\"{cause}\"}}"))
}

fn before(backends: &[&Backend], retry: &str) -> Portolan {
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address.to_string()).collect();
    Portolan::start(&format!(
        "[service.app]\nendpoints = {addresses:?}\nretry = {{ {retry} }}\n\
         [[route]]\nservice = 'app'"
    ))
}

/// Sends `each` requests over each of `clients` connections. Answers with the
/// seconds that it took, begun ones included.
fn storm(portolan: &Portolan, clients: usize, each: usize) -> usize {
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = portolan.connect();
                for _ in 0..each {
                    assert_eq!(client.exchange(GET).reason(), "upstream_reset");
                }
            });
        }
    });
    // The first and the last second may have been short ones.
    usize::try_from(begun.elapsed().as_secs()).expect("seconds") + 2
}

#[test]
fn when_all_fail_the_load_grows_by_no_more_than_the_budget() {
    let breaking = || {
        Backend::start(|mut accepted| {
            accepted.request();
        })
    };
    let (one, two, three) = (breaking(), breaking(), breaking());
    let backends = [&one, &two, &three];
    let portolan = before(&backends, "attempts = 3");
    let asked = 8 * 250;
    let seconds = storm(&portolan, 8, 250);
    let received: usize = backends.iter().map(|backend| backend.requests().len()).sum();
    let more = received - asked;
    assert!(more <= asked / 5 + 10 * seconds, "{more} more in {seconds} s");
    assert!(more >= 10, "{more} more in {seconds} s");
    println!("{asked} requests were sent {more} times more, in {seconds} begun seconds");
    // A connection that ends as it opens may do so before the request.
    let counted = retried(&portolan, "reset") + retried(&portolan, "unsent");
    assert_eq!(counted, more as f64);
    let lines = portolan.logged(asked);
    let refused = lines.iter().filter(|line| line["retry"] == "budget").count();
    assert!(refused > 0);
    assert_eq!(portolan.metric(REFUSED), refused as f64);
    let view = portolan.admin("GET", "/api/v1/services/app", "").json();
    assert_eq!((&view["retries"], &view["retries_refused"]), (&more.into(), &refused.into()));
}

#[test]
fn without_a_budget_nothing_that_burdens_an_instance_is_sent_again() {
    let breaking = Backend::start(|mut accepted| {
        accepted.request();
    });
    let other = Backend::start(|mut accepted| {
        accepted.request();
    });
    let portolan = before(&[&breaking, &other], "budget_percent = 0, budget_floor = 0");
    storm(&portolan, 4, 25);
    assert_eq!(breaking.requests().len() + other.requests().len(), 100);
    assert_eq!(portolan.metric(REFUSED), 100.0);
    assert!(portolan.logged(100).iter().all(|line| line["retry"] == "budget"));
}

#[test]
fn where_nobody_is_left_to_ask_the_budget_refuses_nothing() {
    let breaking = Backend::start(|mut accepted| {
        accepted.request();
    });
    let portolan = before(&[&breaking], "budget_percent = 0, budget_floor = 0");
    storm(&portolan, 1, 10);
    assert_eq!(portolan.metric(REFUSED), 0.0);
    assert!(portolan.logged(10).iter().all(|line| line["retry"].is_null()));
}

/// After a restart every idle connection is closed at once, some of them only
/// when a request has been written.
#[test]
fn a_pool_full_of_dead_connections_does_not_spend_the_budget() {
    const MANY: usize = 50;
    let together = Arc::new(Barrier::new(MANY));
    let backend = Backend::start(move |mut accepted| {
        let old = accepted.number <= MANY;
        accepted.request();
        if old {
            together.wait();
        }
        accepted.send(OK);
        while accepted.request().is_some() && !old {
            accepted.send(OK);
        }
    });
    let portolan = Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n\
         retry = {{ budget_percent = 0, budget_floor = 0 }}\n[[route]]\nservice = 'app'",
        backend.address
    ));
    let ask_all = || {
        thread::scope(|scope| {
            for _ in 0..MANY {
                scope.spawn(|| assert_eq!(portolan.get("/").text(), "hi"));
            }
        });
    };
    ask_all();
    assert_eq!(backend.connections(), MANY);
    for _ in 0..4 {
        ask_all();
    }
    assert!(retried(&portolan, "stale") >= 1.0);
    assert_eq!(portolan.metric(REFUSED), 0.0);
}

/// Nine good requests pay for one retry, if they are not forgotten.
#[test]
fn a_reload_does_not_forget_what_was_spent_and_earned() {
    let failing = Arc::new(AtomicBool::new(false));
    let start = || {
        let failing = Arc::clone(&failing);
        Backend::start(move |mut accepted| {
            while accepted.request().is_some() && !failing.load(Ordering::SeqCst) {
                accepted.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            }
        })
    };
    let (one, two) = (start(), start());
    let config = |response: u32| {
        format!(
            "[service.app]\nendpoints = ['{}', '{}']\ntimeouts = {{ response = '{response}s' }}\n\
             retry = {{ budget_percent = 10, budget_floor = 0 }}\n[[route]]\nservice = 'app'",
            one.address, two.address
        )
    };
    let portolan = Portolan::start(&config(10));
    let mut response = 10;
    // The window is ten seconds long: on a machine that is slower than that,
    // once more.
    eventually(|| {
        failing.store(false, Ordering::SeqCst);
        for _ in 0..20 {
            assert_eq!(portolan.get("/").status(), 200);
        }
        response += 1;
        assert_eq!(portolan.reload(&config(response)).status(), 200);
        failing.store(true, Ordering::SeqCst);
        portolan.get("/");
        retried(&portolan, "reset") > 0.0
    });
}
