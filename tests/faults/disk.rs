//! A disk that is full or refuses writes: registrations are refused with the
//! reason, requests go on, and registrations do when the disk does.

use std::{fs, io::Write, path::PathBuf};

use crate::support::{Echo, Portolan, eventually};

fn web(echo: &Echo, registry: &str) -> String {
    format!(
        "[registry]\n{registry}\n[service.web]\nendpoints = ['{}']\n[[route]]\nservice = 'web'\n",
        echo.address()
    )
}

fn path(n: u32) -> String {
    format!("/api/v1/services/app/instances/{n}")
}

fn large(n: u32) -> String {
    let value = "v".repeat(500);
    let metadata: Vec<_> = (0..20).map(|n| format!("\"{n}\": \"{value}\"")).collect();
    let metadata = metadata.join(", ");
    format!("{{\"address\": \"127.0.0.1:{}\", \"metadata\": {{{metadata}}}}}", n + 1)
}

fn register(proxy: &Portolan, n: u32) -> crate::support::Message {
    proxy.admin("PUT", &path(n), &large(n))
}

/// How many instances of `app` there are.
fn registered(proxy: &Portolan) -> usize {
    let view = proxy.admin("GET", "/api/v1/services/app", "").json();
    view["instances"].as_array().map_or(0, Vec::len)
}

/// Runs the proxy with a disk of its own, of 8 MiB, under `disk` in its
/// folder. It takes a mount, which a user may do in a name space of its own.
fn with_a_small_disk(echo: &Echo) -> (Portolan, PathBuf) {
    let inner = "mkdir disk && mount -t tmpfs -o size=8m none disk && exec \"$0\" \"$@\"";
    let tool = std::process::Command::new("unshare").args(["-rm", "true"]).output();
    let is_allowed = tool.is_ok_and(|tried| tried.status.success());
    assert!(is_allowed, "this test mounts a disk: unshare -rm has to be there and allowed");
    let config = web(echo, "data_dir = 'disk/data'\nsnapshot_every = '200ms'\nsnapshots_kept = 2");
    let command = format!("exec unshare -rm sh -c '{inner}' \"$0\" \"$@\"");
    let proxy = Portolan::under(&config, &command);
    // As the proxy sees it.
    let root = PathBuf::from(format!("/proc/{}/root", proxy.process()));
    let disk = root.join(proxy.folder().strip_prefix("/").expect("absolute")).join("disk");
    (proxy, disk)
}

fn snapshots(disk: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(disk.join("data/snapshots")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_full_disk_refuses_registrations_and_recovers() {
    let echo = Echo::start("one");
    let (proxy, disk) = with_a_small_disk(&echo);
    assert_eq!(register(&proxy, 0).status(), 201);
    eventually(|| disk.join("data/snapshots/00000001.jsonl").exists());
    let filler = disk.join("filler");
    let mut file = fs::File::create(&filler).expect("a file");
    let block = [7; 4096];
    while file.write_all(&block).is_ok() {}
    // What the store has room for already it may still take.
    let mut n = 1;
    let refused = loop {
        let answer = register(&proxy, n);
        if answer.status() != 201 {
            break answer;
        }
        n += 1;
        assert!(n < 2000, "it was never refused");
    };
    assert_eq!(refused.status(), 507, "{refused:?}");
    assert_eq!(refused.json()["type"], "urn:portolan:problem:store_full");
    assert_eq!(proxy.metric("portolan_registry_store_writable"), 0.0);
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
        assert_eq!(register(&proxy, n).status(), 507);
    }
    assert_eq!(registered(&proxy), n as usize);
    let kept = snapshots(&disk);
    assert!(!kept.is_empty() && kept.iter().all(|it| it.metadata().is_ok_and(|it| it.len() > 0)));

    drop(file);
    fs::remove_file(&filler).expect("removed");
    assert_eq!(register(&proxy, n).status(), 201);
    assert_eq!(proxy.metric("portolan_registry_store_writable"), 1.0);
    assert_eq!(registered(&proxy), n as usize + 1);
    let taken = proxy.metric("portolan_registry_snapshots_total{result=\"ok\"}");
    eventually(|| proxy.metric("portolan_registry_snapshots_total{result=\"ok\"}") > taken);
    eventually(|| snapshots(&disk).len() <= 2);
}

#[test]
fn a_snapshot_is_not_what_fills_the_disk() {
    let echo = Echo::start("one");
    let (proxy, disk) = with_a_small_disk(&echo);
    assert_eq!(register(&proxy, 0).status(), 201);
    eventually(|| disk.join("data/snapshots/00000001.jsonl").exists());
    // Room for the store and for a snapshot, but for nothing after them.
    fs::write(disk.join("filler"), vec![7; 5 << 20]).expect("written");
    assert_eq!(register(&proxy, 1).status(), 201);
    let failed = "portolan_registry_snapshots_total{result=\"failed\"}";
    eventually(|| proxy.metric(failed) > 0.0);
    let status = proxy.admin("GET", "/api/v1/status", "").json();
    let why = status["attention"][0].as_str().expect("a sentence");
    assert!(why.contains("the disk has too little room"), "{why}");
    assert!(disk.join("data/snapshots/00000001.jsonl").exists(), "the old one stays");
    assert_eq!(register(&proxy, 2).status(), 201);
    fs::remove_file(disk.join("filler")).expect("removed");
    eventually(|| disk.join("data/snapshots/00000002.jsonl").exists());
}

/// A file system that turns read-only under the proxy: the writes of the store
/// fail, for a while.
#[test]
fn a_disk_that_refuses_writes_for_a_while_is_written_to_again() {
    let echo = Echo::start("one");
    for error in ["EROFS", "EIO", "EDQUOT"] {
        // Each registration makes some writes; those from the 30th on fail.
        let inject = format!("--inject=pwrite64:error={error}:when=30..60");
        let command = format!(
            "exec strace -D -f -qq -o strace --trace=pwrite64 -P \"$PWD/data/registry.db-wal\" \
             {inject} \"$0\" \"$@\""
        );
        let proxy = Portolan::under(&web(&echo, ""), &command);
        let mut n = 0;
        let mut refused = 0;
        while refused == 0 || n < 40 {
            let answer = register(&proxy, n);
            match answer.status() {
                201 => n += 1,
                503 => {
                    assert_eq!(answer.json()["type"], "urn:portolan:problem:store_failed");
                    let detail = answer.json()["detail"].as_str().expect("why").to_owned();
                    assert!(detail.contains("the disk refused a write"), "{detail}");
                    assert_eq!(proxy.get("/").status(), 200);
                    assert_eq!(registered(&proxy), n as usize);
                    refused += 1;
                    assert!(refused < 100, "{error}: it was never written to again");
                }
                _ => panic!("{answer:?}"),
            }
        }
        assert_eq!(proxy.metric("portolan_registry_store_writable"), 1.0);
        let proxy = proxy.kill_and_start("exec \"$0\" \"$@\"");
        assert_eq!(registered(&proxy), n as usize, "{error}");
    }
}

/// A failed flush, on the other hand, is final.
#[test]
fn a_failed_flush_refuses_registrations_until_the_restart() {
    let echo = Echo::start("one");
    let inject = ["fsync", "fdatasync"].map(|call| format!("--inject={call}:error=EIO:when=6"));
    let command = format!(
        "exec strace -D -f -qq -o strace --trace=fsync,fdatasync -P \"$PWD/data/registry.db-wal\" \
         {} \"$0\" \"$@\"",
        inject.join(" ")
    );
    let proxy = Portolan::under(&web(&echo, ""), &command);
    let mut n = 0;
    while register(&proxy, n).status() == 201 {
        n += 1;
        assert!(n < 100, "no flush has failed");
    }
    for _ in 0..10 {
        let refused = register(&proxy, n);
        assert_eq!(refused.status(), 503);
        let detail = refused.json()["detail"].as_str().expect("why").to_owned();
        assert!(detail.contains("restart once it is mended"), "{detail}");
        assert_eq!(proxy.get("/").status(), 200);
    }
    let same = register(&proxy, 0);
    assert_eq!(same.status(), 200, "what needs no write succeeds");
    let log = fs::read_to_string(proxy.folder().join("strace")).expect("a log");
    let (_, after) = log.split_once("(INJECTED)").expect("the fault");
    assert!(!after.contains("sync("), "it was tried again:\n{log}");
    let proxy = proxy.kill_and_start("exec \"$0\" \"$@\"");
    let found = registered(&proxy);
    assert!(found == n as usize || found == n as usize + 1, "{found} of {n}");
    assert_eq!(register(&proxy, 1000).status(), 201);
}

#[test]
fn a_read_only_disk_is_told_at_the_start() {
    let inner = "mkdir disk && mount -t tmpfs -o size=1m,ro none disk && exec \"$0\" \"$@\"";
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("proxy.toml");
    fs::write(&config, "[registry]\ndata_dir = 'disk/data'\n").expect("written");
    let refused = std::process::Command::new("unshare")
        .args(["-rm", "sh", "-c", inner, env!("CARGO_BIN_EXE_portolan"), "run", "--config"])
        .arg(&config)
        .current_dir(folder.path())
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(text.contains("Read-only file system") && text.contains("disk/data"), "{text}");
}
