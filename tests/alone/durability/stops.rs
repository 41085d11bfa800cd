//! A process that is stopped for a while expires nobody when it goes on.
//!
//! That no clock of the wall is asked is held by `clippy.toml`, and shown with
//! a moved clock by the tests with outside tools.

use std::{thread, time::Duration};

use rustix::process::Signal;

use super::{PLAIN, path};
use crate::support::{Echo, Portolan, eventually};

const TTL: Duration = Duration::from_secs(4);

/// How long it is stopped: three times what a lease lasts, and a minute with
/// `PORTOLAN_TEST_FULL=1`.
fn stop() -> Duration {
    let full = std::env::var_os("PORTOLAN_TEST_FULL").is_some_and(|value| value == "1");
    if full { Duration::from_secs(60) } else { TTL * 3 }
}

#[test]
fn a_stopped_process_expires_nobody() {
    let echo = Echo::start("one");
    let proxy = Portolan::under(
        "[service.app]\nhealth = { kind = 'ttl' }\n[[route]]\nservice = 'app'\n",
        PLAIN,
    );
    let state = |n: usize| proxy.instance(&format!("app/{n}"))["state"].clone();
    let beat = |n: usize| {
        let beaten = proxy.admin("POST", &format!("{}/heartbeat", path(&n.to_string())), "");
        assert_eq!(beaten.status(), 200);
    };
    for n in 0..20 {
        let body = format!("{{\"address\": \"{}\", \"ttl\": \"4s\"}}", echo.address());
        assert_eq!(proxy.admin("PUT", &path(&n.to_string()), &body).status(), 201);
        beat(n);
    }
    eventually(|| (0..20).all(|n| state(n) == "healthy"));
    (0..20).for_each(beat);
    proxy.signal(Signal::STOP);
    thread::sleep(stop());
    proxy.signal(Signal::CONT);
    assert_eq!(proxy.get("/").status(), 200);
    for n in 0..20 {
        assert_eq!(state(n), "healthy", "{n}");
        beat(n);
    }
    // It goes on counting, from where it was.
    eventually(|| (0..20).all(|n| state(n) == "unhealthy"));
}
