//! The clock of the wall, moved a day either way: nothing expires, and
//! snapshots are made as before.

use std::{fs, thread, time::Duration};

use crate::support::{Echo, Portolan, eventually};

/// Finds the library that Debian's `faketime` wraps.
fn library() -> String {
    let arch = std::env::consts::ARCH;
    let folder = format!("/usr/lib/{arch}-linux-gnu/faketime");
    let library = format!("{folder}/libfaketime.so.1");
    assert!(fs::exists(&library).is_ok_and(|it| it), "faketime, which ./scripts/test installs");
    library
}

#[test]
fn a_clock_that_is_moved_a_day_either_way_expires_nobody() {
    let echo = Echo::start("one");
    // The offset is read from a file, so that it can change meanwhile.
    let command = format!(
        "echo +0 > offset; LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE=\"$PWD/offset\" \
         FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1 exec \"$0\" \"$@\"",
        library()
    );
    let proxy = Portolan::under(
        "[registry]\nsnapshot_every = '300ms'\nsnapshots_kept = 100\n\
         [service.app]\nhealth = { kind = 'ttl' }\n[[route]]\nservice = 'app'\n",
        &command,
    );
    let path = |n: u32| format!("/api/v1/services/app/instances/{n}");
    let register = |n: u32, ttl: &str| {
        let body = format!("{{\"address\": \"{}\", \"ttl\": \"{ttl}\"}}", echo.address());
        assert_eq!(proxy.admin("PUT", &path(n), &body).status(), 201);
        let beaten = proxy.admin("POST", &format!("{}/heartbeat", path(n)), "");
        assert_eq!(beaten.status(), 200);
    };
    let state = |n: u32| proxy.instance(&format!("app/{n}"))["state"].clone();
    let snapshots = || proxy.metric("portolan_registry_snapshots_total{result=\"ok\"}");
    // By the clock of the wall, in seconds.
    let newest = || proxy.metric("portolan_registry_snapshot_timestamp_seconds");
    for n in 0..10 {
        register(n, "1h");
    }
    eventually(|| (0..10).all(|n| state(n) == "healthy") && snapshots() > 0.0);
    let mut number = 10;
    for offset in ["+1d", "-1d", "+0"] {
        let (then, taken) = (newest(), snapshots());
        fs::write(proxy.folder().join("offset"), format!("{offset}\n")).expect("written");
        register(number, "1h");
        number += 1;
        eventually(|| snapshots() > taken);
        register(number, "1h");
        number += 1;
        eventually(|| (newest() - then).abs() > 80_000.0);
        thread::sleep(Duration::from_secs(1));
        assert!((0..number).all(|n| state(n) == "healthy"), "{offset}");
        assert_eq!(proxy.get("/").status(), 200);
        let left = proxy.instance("app/0")["lease_left_ms"].as_u64().expect("a lease");
        assert!(left > 3_300_000, "{offset}: {left} ms");
    }
    // A lease that ends does so in its own time, whatever the wall says.
    register(99, "1s");
    fs::write(proxy.folder().join("offset"), "-1d\n").expect("written");
    eventually(|| state(99) == "unhealthy");
    let status = proxy.admin("GET", "/api/v1/status", "").json();
    assert!(status["store"]["snapshot_ms"].is_u64(), "{status}");
    assert_eq!(status["attention"].as_array().map(Vec::len), Some(1), "{status}");
}
