//! A file that may not grow: registrations are refused with the reason, and
//! requests go on.

use std::fs;

use super::{PLAIN, path, ports, registry_ok};
use crate::support::{Echo, Portolan};

fn large(port: u16) -> String {
    let value = "v".repeat(500);
    let metadata: Vec<_> = (0..20).map(|n| format!("\"{n}\": \"{value}\"")).collect();
    format!("{{\"address\": \"127.0.0.1:{port}\", \"metadata\": {{{}}}}}", metadata.join(", "))
}

#[test]
fn a_limit_on_the_size_of_files_refuses_registrations_and_nothing_else() {
    let echo = Echo::start("one");
    let text =
        format!("[service.web]\nendpoints = ['{}']\n[[route]]\nservice = 'web'\n", echo.address());
    // 300 KiB, in blocks of 512 bytes.
    let proxy = Portolan::under(&text, "ulimit -f 600 && exec \"$0\" \"$@\"");
    let mut port = 0;
    let refused = loop {
        port += 1;
        assert!(port < 1000, "it was never refused");
        let answer = proxy.admin("PUT", &path(&port.to_string()), &large(port));
        if answer.status() != 201 {
            break answer;
        }
    };
    assert_eq!(refused.status(), 507, "{refused:?}");
    assert_eq!(refused.json()["type"], "urn:portolan:problem:store_full");
    assert!(port > 10, "{port}");
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(proxy.metric("portolan_registry_store_writable"), 0.0);
    let status = proxy.admin("GET", "/api/v1/status", "").json();
    assert_eq!(status["attention"][0], "the registry takes no writes: the disk is full");
    assert_eq!(status["store"]["state"], "the disk is full");
    assert_eq!(ports(&proxy).len() + 1, usize::from(port));
    let renewed = proxy.admin("PUT", &path("1"), &large(1));
    assert_eq!(renewed.status(), 200, "what needs no write succeeds");
    assert_eq!(proxy.get("/").status(), 200);
    // With room again it goes on, and everything that was acknowledged is there.
    let proxy = proxy.kill_and_start(PLAIN);
    assert_eq!(ports(&proxy).len() + 1, usize::from(port));
    assert_eq!(proxy.admin("PUT", &path("more"), &large(7)).status(), 201);
    registry_ok(&proxy, &["verify"]);
}

#[test]
fn a_store_that_cannot_be_made_is_told_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("proxy.toml");
    fs::write(&config, "[registry]\ndata_dir = '/proc/nowhere/data'\n").expect("written");
    let refused = std::process::Command::new(env!("CARGO_BIN_EXE_portolan"))
        .args(["run", "--config"])
        .arg(&config)
        .env("RUST_LOG", "off")
        .output()
        .expect("a process");
    let text = super::text(&refused.stderr);
    assert!(!refused.status.success());
    assert!(text.contains("/proc/nowhere/data"), "{text}");
    assert!(text.contains("check registry.data_dir and its permissions"), "{text}");
}
