//! What the tests of sources with a proxy around them have in common: requests
//! under way while things break, and how long a change takes. What a driver
//! tells by itself is seen with `followed`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Backend, Connection, PATIENCE, Portolan, eventually};

/// Probes that are quick, and routes to every service by the path.
pub(crate) const AROUND: &str = "[defaults]\nhealth = { kind = 'tcp', interval = '5s', timeout = '5s' }\n\
    [[route]]\npath = '/orders'\nservice = 'orders'\n[[route]]\npath = '/steady'\nservice = 'steady'\n";

/// A server that answers with `name`.
pub(crate) fn named(name: &str) -> Backend {
    let length = name.len();
    Backend::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{name}"))
}

/// Waits until `/orders` is answered by `name`, and prints how long that took.
#[track_caller]
pub(crate) fn routed(portolan: &Portolan, what: &str, name: &str) {
    let begun = Instant::now();
    eventually(|| portolan.get("/orders").text() == name);
    say!("{what}: routed after {:?}", begun.elapsed());
}

/// Waits until nobody answers `/orders`.
#[track_caller]
pub(crate) fn unrouted(portolan: &Portolan, what: &str) {
    let begun = Instant::now();
    eventually(|| portolan.get("/orders").reason() == "no_healthy_instance");
    say!("{what}: gone after {:?}", begun.elapsed());
}

/// What is shown of the source `name`.
pub(crate) fn source(portolan: &Portolan, name: &str) -> Value {
    let all = portolan.admin("GET", "/api/v1/sources", "").json();
    let all = all["sources"].as_array().expect("sources").clone();
    all.into_iter().find(|source| source["source"] == *name).unwrap_or_default()
}

/// Waits until the source `name` is connected, or is not. After a long outage
/// it may be half a minute until the source is tried again.
#[track_caller]
pub(crate) fn connected(portolan: &Portolan, name: &str, is: bool) {
    let begun = Instant::now();
    while source(portolan, name)["connected"] != is {
        assert!(begun.elapsed() < 3 * PATIENCE, "{name}: {}", source(portolan, name));
        thread::sleep(Duration::from_millis(10));
    }
    say!("{name}: connected is {is} after {:?}", begun.elapsed());
}

/// Waits until `count` instances of the source `name` are gone and stay all the
/// same, and then until that is believed.
#[track_caller]
pub(crate) fn held_and_believed(portolan: &Portolan, name: &str, count: u64) {
    let before = source(portolan, name)["instances"].as_u64().expect("a number");
    eventually(|| source(portolan, name)["held"]["missing"] == count);
    assert_eq!(source(portolan, name)["instances"], before);
    eventually(|| source(portolan, name)["instances"] == before - count);
}

/// How many ask `/steady` at once.
const ASKING: usize = 4;

/// Requests to `/steady`, none of which may fail.
pub(crate) struct Steady {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    asking: Vec<JoinHandle<()>>,
}

impl Steady {
    /// Begins once `/steady` is answered.
    #[track_caller]
    pub(crate) fn begin(portolan: &Portolan) -> Self {
        eventually(|| portolan.get("/steady").status() == 200);
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let address = portolan.address();
        let ask_on = |_| {
            let (until, count) = (Arc::clone(&over), Arc::clone(&answered));
            thread::spawn(move || {
                while !until.load(Ordering::Relaxed) {
                    ask(address);
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(20));
                }
            })
        };
        let asking = (0..ASKING).map(ask_on).collect();
        Self { over, answered, asking }
    }

    /// Waits until some more were answered.
    #[track_caller]
    pub(crate) fn flow(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually(|| self.answered.load(Ordering::Relaxed) > before + 20);
    }

    /// Ends them. All were answered.
    #[track_caller]
    pub(crate) fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for asking in self.asking {
            asking.join().expect("every request was answered");
        }
        say!("{} requests meanwhile, none failed", self.answered.load(Ordering::Relaxed));
    }
}

#[track_caller]
fn ask(address: SocketAddr) {
    let mut connection = Connection::open(address);
    let answer =
        connection.exchange("GET /steady HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(answer.status(), 200, "{answer:?}");
}

/// How long an outage has to be that clients notice, whatever they wait for.
pub(crate) const HALF_A_MINUTE: Duration = Duration::from_secs(30);

/// How long it goes on that a server is away: a moment, or the half minute of
/// a full run (`PORTOLAN_FULL=1`).
pub(crate) fn outage() {
    let full = std::env::var_os("PORTOLAN_FULL").is_some();
    thread::sleep(if full { HALF_A_MINUTE } else { Duration::from_secs(1) });
}
