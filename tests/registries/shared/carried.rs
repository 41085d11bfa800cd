//! From an embedded registry to a shared one and back, by the program.

use std::process::{Command, Output};

use super::*;

fn portolan(config: &std::path::Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.arg("registry").args(words).arg("--config").arg(config);
    command.output().expect("a process")
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn registrations_move_to_etcd_and_back() {
    let etcd = Etcd::start(Version::Newer);
    let (one, steady) = (named("one"), named("steady"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let embedded = Portolan::start(&format!("[registry]\nallow_loopback = true\n{ROUTES}"));
    register(&embedded, "orders/1", one.address, None);
    register(&embedded, "steady/1", steady.address, Some("60s"));
    let out = file("embedded.jsonl");
    succeeds(&portolan(&embedded.config_file(), &["export", "--output", &out]));

    // A proxy that runs hears of it.
    let [a, b] = proxies(&[etcd.url()]);
    register(&b, "orders/2", one.address, None);
    let said = succeeds(&portolan(&a.config_file(), &["import", &out]));
    assert!(
        said.starts_with("2 taken over, 0 kept as they were, 0 removed; 3 instances"),
        "{said}"
    );
    assert_eq!(heartbeat(&b, "steady/1"), 200);
    for proxy in [&a, &b] {
        answered(proxy, "/orders", "one");
        answered(proxy, "/steady", "steady");
    }
    // Once more: nothing happens to what is there.
    let before = generation(&a, "orders/1");
    let said = succeeds(&portolan(&a.config_file(), &["import", &out]));
    assert!(said.starts_with("0 taken over, 2 kept as they were"), "{said}");
    assert_eq!(generation(&a, "orders/1"), before);
    // In the place of all: the one that came later goes.
    let said = succeeds(&portolan(&a.config_file(), &["import", "--replace", &out]));
    assert!(
        said.starts_with("0 taken over, 2 kept as they were, 1 removed; 2 instances"),
        "{said}"
    );
    eventually(|| b.instance("orders/2")["state"].is_null());

    // And back.
    let back = file("shared.jsonl");
    let said = succeeds(&portolan(&a.config_file(), &["export", "--output", &back]));
    assert!(said.starts_with("2 instances"), "{said}");
    let data = folder.path().join("data").display().to_string();
    let words = ["import", "--data-dir", &data, &back];
    let said = succeeds(&portolan(&embedded.config_file(), &words));
    assert!(said.starts_with("2 taken over"), "{said}");
    let verified = portolan(&embedded.config_file(), &["verify", "--data-dir", &data]);
    assert!(succeeds(&verified).contains("2 instances"));
    // What is for files is refused.
    let refused = portolan(&a.config_file(), &["verify"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is in etcd"), "{refused:?}");
}
