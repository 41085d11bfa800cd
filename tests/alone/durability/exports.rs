//! What is carried out of a store while it is written to is of one moment, and
//! what is carried in is there as a whole or not at all.

use std::{
    fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use portolan::registry::Export;
use rustix::process::Signal;

use super::{PLAIN, path, registry, registry_ok, text};
use crate::support::Portolan;

fn ids(export: &str) -> Vec<u32> {
    let export = Export::parse(export.as_bytes()).expect("an export");
    let mut ids: Vec<_> = export
        .registrations()
        .iter()
        .map(|it| it.instance.id.as_str().parse().expect("a number"))
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn an_export_while_writing_is_of_one_moment() {
    let proxy = Portolan::under("[registry]\nsnapshot_every = '100ms'\n", PLAIN);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Ten in a row, one coming and one going after the other.
        scope.spawn(|| {
            for n in 0_u32.. {
                let body = format!("{{\"address\": \"127.0.0.1:{}\"}}", 1 + n % 1000);
                assert_eq!(proxy.admin("PUT", &path(&n.to_string()), &body).status(), 201);
                if let Some(old) = n.checked_sub(10) {
                    assert_eq!(proxy.admin("DELETE", &path(&old.to_string()), "").status(), 200);
                }
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..15 {
            let ids = ids(&registry_ok(&proxy, &["export"]));
            assert!(ids.len() <= 11, "{ids:?}");
            assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
            registry_ok(&proxy, &["verify"]);
        }
        done.store(true, Ordering::Relaxed);
    });
    for entry in fs::read_dir(proxy.folder().join("data/snapshots")).expect("a folder") {
        let Ok(snapshot) = fs::read_to_string(entry.expect("an entry").path()) else { continue };
        if !snapshot.is_empty() {
            let ids = ids(&snapshot);
            assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
        }
    }
}

#[test]
fn an_import_is_refused_while_the_proxy_runs_and_is_routed_to_afterwards() {
    let mut proxy = Portolan::under("", PLAIN);
    let body = r#"{"address": "127.0.0.1:7"}"#;
    assert_eq!(proxy.admin("PUT", &path("1"), body).status(), 201);
    let file = proxy.folder().join("export.jsonl").display().to_string();
    registry_ok(&proxy, &["export", "--output", &file]);
    let more = fs::read_to_string(&file).expect("readable").replace("\"id\":\"1\"", "\"id\":\"2\"");
    let (_, body) = more.split_once('\n').expect("a header");
    fs::write(&file, format!("{{\"portolan_registry\":1}}\n{body}")).expect("written");
    for arguments in [&["import", &file][..], &["import", &file, "--replace"], &["restore"]] {
        let refused = registry(&proxy, arguments);
        assert_eq!(refused.status.code(), Some(1));
        let why = text(&refused.stderr);
        assert!(why.contains(&format!("in use by process {}", proxy.process())), "{why}");
    }
    proxy.signal(Signal::TERM);
    proxy.wait();
    registry_ok(&proxy, &["import", &file]);
    let proxy = proxy.kill_and_start(PLAIN);
    assert_eq!(super::ports(&proxy), [("1".to_owned(), 7), ("2".to_owned(), 7)].into());
}

#[test]
fn an_import_that_is_killed_has_happened_or_has_not() {
    let mut proxy = Portolan::under("", PLAIN);
    assert_eq!(proxy.admin("PUT", &path("0"), r#"{"address": "127.0.0.1:7"}"#).status(), 201);
    proxy.signal(Signal::TERM);
    proxy.wait();
    let before = ids(&registry_ok(&proxy, &["export"]));
    let mut file = "{\"portolan_registry\":1}\n".to_owned();
    for n in 1..=2000 {
        file += &format!(
            "{{\"generation\":{n},\"instance\":{{\"service\":\"app\",\"id\":\"{n}\",\
             \"origin\":\"http://127.0.0.1:{n}\"}}}}\n"
        );
    }
    let path = proxy.folder().join("import.jsonl");
    fs::write(&path, file).expect("written");
    let all: Vec<_> = (1..=2000).collect();
    let mut happened = [0, 0];
    for _ in 0..12 {
        let mut import = Command::new(env!("CARGO_BIN_EXE_portolan"))
            .args(["registry", "import", "--replace"])
            .arg(&path)
            .arg("--data-dir")
            .arg(proxy.folder().join("data"))
            .stdout(Stdio::null())
            .spawn()
            .expect("a process");
        thread::sleep(Duration::from_millis(fastrand::u64(20..400)));
        let _ = import.kill();
        import.wait().expect("ended");
        let found = ids(&registry_ok(&proxy, &["export"]));
        assert!(found == before || found == all, "{} are there", found.len());
        happened[usize::from(found == all)] += 1;
        if found == all {
            let original = proxy.folder().join("data/snapshots/00000001.jsonl");
            let original = original.display().to_string();
            registry_ok(&proxy, &["import", &original, "--replace"]);
        }
    }
    println!("of 12 imports that were killed {} had happened", happened[1]);
}
