//! Every accepted request ends once, and what became of them adds up.

use std::thread;

use super::*;
use crate::support::{Backend, Connection};

/// What became of the requests of a client, as the client saw it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    completed: u64,
    gone: u64,
    refused: u64,
    failed: u64,
}

const MIX: &str = "[service.app]\ntimeouts = { idle = '200ms' }\nretry = { attempts = 0 }\n\
    [[route]]\nservice = 'app'\n[[route]]\npath = '/away'\nredirect = { to = '/' }\n\
    [[route]]\nhost = 'other'\nservice = 'none'\n[service.none]\n[[route]]\nhost = 'small'\nservice = 'app'\n";

/// One of each kind.
fn mix(proxy: &Portolan) -> Seen {
    let ask = |request: &str| proxy.exchange(request).status();
    let get = |target: &str| ask(&format!("GET {target} HTTP/1.1\r\nhost: test\r\n\r\n"));
    let mut seen = Seen::default();
    for target in ["/whole", "/whole", "/away", "/error"] {
        let _ = get(target);
        seen.completed += 1;
    }
    assert_eq!(get("/closed"), 502);
    assert_eq!(ask("GET / HTTP/1.1\r\nhost: other\r\n\r\n"), 503);
    seen.failed += 2;
    let mut broken = proxy.connect();
    broken.send("GET /half HTTP/1.1\r\nhost: test\r\n\r\n");
    broken.wait_for_end();
    seen.failed += 1;
    // By the proxy, and by the parser before it.
    assert_eq!(ask("GET /whole HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(ask("TRACE / HTTP/1.1\r\nhost: test\r\n\r\n"), 405);
    assert_eq!(ask("GET /whole HTTP/1.1\r\nhost: te st\x01\r\n\r\n"), 400);
    assert_eq!(ask("NOT HTTP AT ALL\r\n\r\n"), 400);
    // One is served, and the parser refuses what follows on the connection.
    let mut client = proxy.connect();
    client.send("GET /whole HTTP/1.1\r\nhost: test\r\n\r\nNOT HTTP AT ALL\r\n\r\n");
    assert_eq!(client.read_response().status(), 200);
    assert_eq!(client.read_response().status(), 400);
    seen.completed += 1;
    // A head is read, and its body is no body.
    let chunked =
        "POST /upload HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";
    assert_eq!(ask(chunked), 400);
    // Bytes that are no request yet are none.
    let mut half = proxy.connect();
    half.send("GET /whole HTT");
    drop(half);
    seen.refused += 6;
    let mut leaver: Connection = proxy.connect();
    let before = proxy.in_flight("app");
    leaver.send("GET /never HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| proxy.in_flight("app") > before);
    drop(leaver);
    seen.gone += 1;
    seen
}

#[test]
fn what_became_of_the_requests_adds_up() {
    let backend = Backend::start(|mut accepted| {
        while let Some(head) = accepted.head() {
            match head.target() {
                "/half" => {
                    accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
                    return;
                }
                "/closed" => return,
                "/never" => drop(accepted.connection.wait_for_end()),
                "/error" => accepted.send("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"),
                _ => accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
            }
        }
    });
    let proxy = Portolan::start(MIX);
    proxy.register("app/a", backend.address);
    let rounds = 5;
    thread::scope(|scope| {
        let looks = scope.spawn(|| {
            for _ in 0..50 {
                let ledger = proxy.status()["ledger"].clone();
                assert_eq!(sum(&ledger), ledger["accepted"], "{ledger}");
            }
        });
        for _ in 0..rounds {
            assert_eq!(mix(&proxy), Seen { completed: 5, gone: 1, refused: 6, failed: 3 });
        }
        looks.join().expect("no panic");
    });
    eventually(|| proxy.status()["ledger"]["in_flight"] == 0);
    let ledger = proxy.status()["ledger"].clone();
    let of = |name: &str| ledger[name].as_u64().expect("a count");
    assert_eq!(of("accepted"), 15 * rounds, "{ledger}");
    assert_eq!(of("completed"), 5 * rounds, "{ledger}");
    assert_eq!(of("client_gone"), rounds, "{ledger}");
    assert_eq!(of("refused"), 6 * rounds, "{ledger}");
    assert_eq!(of("failed"), 3 * rounds, "{ledger}");
    let accepted = proxy.metric("portolan_requests_accepted_total");
    assert_eq!(accepted, f64::from(u32::try_from(15 * rounds).expect("few")));
}

fn sum(ledger: &Value) -> u64 {
    let parts = ["completed", "client_gone", "refused", "failed", "in_flight"];
    parts.iter().map(|part| ledger[*part].as_u64().expect("a count")).sum()
}
