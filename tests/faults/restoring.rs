//! A restore and an import that are broken off at every call leave the store
//! as it was, as it is to be, or refused; never an empty one, never a mix.

use std::{fs, path::Path, process::Command};

use portolan::registry::{self, Export};

use crate::strace::{self, CHANGING, FLUSHING, Fault};

fn export_of(ids: std::ops::RangeInclusive<u32>) -> Export {
    let mut text = "{\"portolan_registry\":1}\n".to_owned();
    for n in ids {
        text += &format!(
            "{{\"generation\":{n},\"instance\":{{\"service\":\"app\",\"id\":\"{n}\",\
             \"origin\":\"http://127.0.0.1:{n}\"}}}}\n"
        );
    }
    Export::parse(text.as_bytes()).expect("an export")
}

fn command(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.arg("registry").args(arguments).arg("--data-dir").arg(data);
    command
}

#[track_caller]
fn succeeds(arguments: &[&str], data: &Path, what: &str) {
    let output = command(arguments, data).output().expect("a process");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {err}");
}

fn ids(data: &Path) -> Result<Vec<u32>, registry::OpenError> {
    let export = registry::export(data)?;
    let ids = export.registrations().iter().map(|it| it.instance.id.as_str().parse());
    let mut ids: Vec<u32> = ids.map(|id| id.expect("a number")).collect();
    ids.sort_unstable();
    Ok(ids)
}

#[test]
fn an_import_is_all_or_nothing() {
    let file = tempfile::tempdir().expect("a folder");
    let path = file.path().join("import.jsonl").display().to_string();
    fs::write(&path, export_of(10..=30).to_text()).expect("written");
    let broken_off = |call, fault, when| {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        registry::import(&data, &export_of(1..=5), false).expect("imported");
        let import = command(&["import", &path, "--replace"], &data);
        let Some(output) = strace::run(&import, &data, call, fault, when) else { return false };
        let what = format!("{call} {fault:?} {when}");
        let found = ids(&data).unwrap_or_else(|error| panic!("{what}: {error}"));
        let (old, new): (Vec<_>, Vec<_>) = ((1..=5).collect(), (10..=30).collect());
        assert!(found == old || found == new, "{what}: {found:?}");
        if output.status.success() {
            assert_eq!(found, new, "{what}");
        }
        succeeds(&["import", &path, "--replace"], &data, &what);
        assert_eq!(ids(&data).expect("whole"), new, "{what}");
        true
    };
    let calls = [CHANGING, FLUSHING].concat();
    let count = strace::at_every(&calls, &[Fault::Kill, Fault::Error("EIO")], broken_off);
    println!("broken off at {count} calls");
    assert!(count > 20, "{count}");
}

#[test]
fn a_restore_ends_in_a_store_or_a_refusal() {
    let broken_off = |call, fault, when| {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        registry::import(&data, &export_of(1..=5), false).expect("imported");
        fs::create_dir(data.join("snapshots")).expect("made");
        let snapshot = data.join("snapshots/00000001.jsonl");
        fs::write(snapshot, export_of(1..=4).to_text()).expect("written");
        let restore = command(&["restore"], &data);
        let Some(output) = strace::run(&restore, &data, call, fault, when) else { return false };
        let what = format!("{call} {fault:?} {when}");
        // What a proxy would make of it.
        let settings = registry::RegistrySettings { data_dir: data.clone(), ..Default::default() };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let opened = runtime.block_on(async {
            let opened = registry::Registry::open(&settings).await?;
            let restored = opened.restored;
            opened.registry.close().await;
            Ok::<_, registry::OpenError>(restored)
        });
        match opened {
            Ok(found) => assert!(found == 4 || found == 5, "{what}: {found}"),
            Err(error) => {
                assert!(!output.status.success(), "{what}: {error}");
                let told = error.to_string();
                assert!(told.contains("portolan registry restore"), "{what}: {told}");
            }
        }
        succeeds(&["restore"], &data, &what);
        let found = ids(&data).expect("whole");
        // A snapshot may have been made of what the open store held.
        assert!(found == [1, 2, 3, 4] || found == [1, 2, 3, 4, 5], "{what}: {found:?}");
        true
    };
    let calls = [CHANGING, FLUSHING].concat();
    let count = strace::at_every(&calls, &[Fault::Kill, Fault::Error("EIO")], broken_off);
    println!("broken off at {count} calls");
    assert!(count > 20, "{count}");
}
