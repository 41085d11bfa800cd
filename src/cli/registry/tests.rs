//! Tests of `registry`, as it is typed.

use super::{super::testing::unstyled, *};

const ORDERS: &str = "{\"portolan_registry\":1}\n\
    {\"generation\":4,\"instance\":{\"service\":\"orders\",\"id\":\"a\",\"origin\":\"http://h:80\"}}\n";

fn run(arguments: &[&str]) -> (String, String, Exit) {
    let all = ["portolan", "registry"].iter().chain(arguments);
    let said = super::super::answer(all.copied().map(std::ffi::OsString::from));
    (unstyled(&said.out), unstyled(&said.err), said.exit)
}

#[test]
fn a_store_is_filled_looked_at_and_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let file = folder.path().join("orders.jsonl").display().to_string();
    fs::write(&file, ORDERS).expect("written");
    let (out, err, exit) = run(&["import", &file, "--data-dir", &data]);
    assert_eq!((err.as_str(), exit), ("", Exit::Ok));
    assert_eq!(out, "1 taken over, 0 kept as they were, 0 removed; 1 instance registered now\n");
    let (out, _, exit) = run(&["verify", "--data-dir", &data]);
    let out = out.replace(&data, "DATA");
    assert_eq!(exit, Exit::Ok);
    assert!(out.starts_with("DATA/registry.db  ok  1 instance, last generation 4, "), "{out}");

    let (text, _, exit) = run(&["export", "--data-dir", &data]);
    assert_eq!(exit, Exit::Ok);
    assert_eq!(Export::parse(text.as_bytes()).expect("an export").last_generation(), 4);
    let out = folder.path().join("out.jsonl").display().to_string();
    let (said, _, _) = run(&["export", "--data-dir", &data, "--output", &out]);
    assert_eq!(said, format!("1 instance in {out}\n"));

    let (_, _, exit) = run(&["import", &file, "--replace", "--data-dir", &data]);
    assert_eq!(exit, Exit::Ok);
    fs::write(format!("{data}/registry.db"), "").expect("emptied");
    let (said, _, exit) = run(&["verify", "--data-dir", &data, "--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((exit, said["ok"].as_bool()), (Exit::No, Some(false)));
    assert!(said["files"][0]["error"].as_str().is_some_and(|why| why.contains("is empty")));
    assert_eq!(
        (&said["files"][1]["ok"], &said["files"][1]["instances"]),
        (&true.into(), &1.into())
    );
    let (_, err, exit) = run(&["export", "--data-dir", &data]);
    assert!(exit == Exit::No && err.contains("portolan registry restore"), "{err}");
    let (said, _, exit) = run(&["restore", "--data-dir", &data]);
    let said = said.replace(&data, "DATA");
    assert_eq!(exit, Exit::Ok);
    assert!(said.starts_with("restored 1 instance from DATA/snapshots/00000001.jsonl, "), "{said}");
    assert!(said.ends_with(" old\nwhat was there is in DATA/damaged/1\n"), "{said}");
    assert_eq!(run(&["verify", "--data-dir", &data]).2, Exit::Ok);
}

#[test]
fn a_bad_file_is_refused_with_its_line_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let file = folder.path().join("bad.jsonl").display().to_string();
    fs::write(&file, format!("{ORDERS}{{\"generation\":5}}\n")).expect("written");
    let (out, err, exit) = run(&["import", &file, "--data-dir", &data]);
    assert_eq!((out.as_str(), exit), ("", Exit::No));
    assert!(err.contains("nothing was imported") && err.contains("line 3: missing field"), "{err}");
    assert!(!Path::new(&data).exists());
    let (_, err, exit) = run(&["verify", "--data-dir", &data]);
    assert_eq!((exit, err.as_str()), (Exit::No, ""));
}

#[test]
fn the_config_file_says_which_store_is_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").display().to_string();
    let config = folder.path().join("proxy.toml").display().to_string();
    fs::write(&config, format!("[registry]\ndata_dir = {data:?}\n")).expect("written");
    let (out, ..) = run(&["verify", "--config", &config]);
    assert!(out.contains(&format!("there is no store at {data}/registry.db")), "{out}");
    fs::write(&config, "[registri]\n").expect("written");
    let (_, err, exit) = run(&["verify", "--config", &config]);
    assert!(exit == Exit::Usage && err.contains("--data-dir"), "{err}");
}
