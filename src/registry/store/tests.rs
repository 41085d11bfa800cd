//! The store on disk: what it refuses to open, and what it holds.

use std::{fs, os::unix::fs::PermissionsExt};

use rusqlite::OpenFlags;
use tempfile::TempDir;

use super::*;
use crate::registry::{
    Removal,
    tests::{instance, registration},
};

mod damage;
mod golden;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(folder: &TempDir) -> Result<(Store, Contents), OpenError> {
    Store::open(folder.path())
}

fn put(registration: &Registration) -> Outcome {
    Outcome { registration: registration.clone(), change: Some(Change::Created) }
}

/// A closed store with two instances, and the path of its database.
fn two_instances() -> (TempDir, PathBuf) {
    let folder = folder();
    let (mut store, _) = open(&folder).expect("a new store");
    let rows =
        [(1, "orders/a"), (2, "orders/b")].map(|(n, key)| registration(instance(key, "h:80"), n));
    store.write(rows.iter().map(put).collect::<Vec<_>>().iter(), 2, 2).expect("written");
    drop(store);
    let path = folder.path().join(FILE);
    (folder, path)
}

/// Runs SQL on a closed store, as a person with `sqlite3` would.
fn edit(path: &Path, sql: &str) {
    let connection = Connection::open(path).expect("opens");
    connection.execute_batch(sql).expect("runs");
}

fn refusal(folder: &TempDir) -> String {
    open(folder).expect_err("must not open").to_string()
}

#[test]
fn what_was_written_is_read_back() {
    let folder = folder();
    let (mut store, contents) = open(&folder).expect("a new store");
    assert!(contents.registrations.is_empty());
    let mut a = registration(instance("orders/a", "10.0.0.1:80"), 1);
    a.owner = Some("it's \"quoted\" ☂".to_owned());
    a.instance.metadata = [("k".to_owned(), "\0'\n".to_owned())].into();
    let mut b = registration(instance("orders/b", "[::1]:80"), 2);
    b.draining = true;
    let gone = registration(instance("orders/c", "10.0.0.1:80"), 3);
    let written = [put(&a), put(&b), put(&gone)];
    store.write(written.iter(), 3, 3).expect("written");
    let change = Some(Change::Removed(Removal::Deregistered));
    store.write([Outcome { registration: gone, change }].iter(), 3, 2).expect("written");
    drop(store);

    let (_store, contents) = open(&folder).expect("opens again");
    assert_eq!(contents.registrations, [a, b]);
    assert_eq!((contents.last_generation, contents.commits), (3, 2));
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let folder = folder();
    let _store = open(&folder).expect("a new store");
    let error = open(&folder).expect_err("locked");
    assert!(
        matches!(error, OpenError::Locked { holder, .. } if holder == Some(std::process::id()))
    );
}

#[test]
fn the_files_are_for_their_owner_only() {
    let parent = folder();
    let data = parent.path().join("deep/data");
    let (mut store, _) = Store::open(&data).expect("a new store");
    let row = registration(instance("orders/a", "10.0.0.1:80"), 1);
    store.write([put(&row)].iter(), 1, 1).expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for name in ["lock", FILE, "registry.db-wal", "registry.db-shm"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
}

#[test]
fn the_settings_that_the_promise_rests_on_are_in_force() {
    let (store, _) = open(&folder()).expect("a new store");
    let number =
        |sql: &str| store.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).expect(sql);
    assert_eq!(number("PRAGMA synchronous"), 2, "FULL");
    assert_eq!(number("PRAGMA wal_autocheckpoint"), 0);
    let mode: String =
        store.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("a mode");
    assert_eq!(mode, "wal");
}

#[test]
fn an_interrupted_creation_is_begun_again() {
    let folder = folder();
    for name in [UNFINISHED, "registry.db.new-wal", "registry.db.new-shm"] {
        fs::write(folder.path().join(name), "half of a database").expect("written");
    }
    let _store = open(&folder).expect("a new store");
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["lock", FILE, "registry.db-shm", "registry.db-wal"]);
}

#[test]
fn somebody_elses_journal_mode_does_not_stay() {
    let (folder, path) = two_instances();
    edit(&path, "PRAGMA journal_mode = DELETE");
    let (store, contents) = open(&folder).expect("opens");
    assert_eq!(contents.registrations.len(), 2);
    let mode: String =
        store.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("a mode");
    assert_eq!(mode, "wal");
}

#[test]
fn others_may_read_while_it_is_open() {
    let folder = folder();
    let (mut store, _) = open(&folder).expect("a new store");
    let row = registration(instance("orders/a", "10.0.0.1:80"), 1);
    store.write([put(&row)].iter(), 1, 1).expect("written");
    let reader =
        Connection::open_with_flags(folder.path().join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("opens");
    let id: String =
        reader.query_row("SELECT id FROM instance", [], |row| row.get(0)).expect("a row");
    assert_eq!(id, "a");
}

#[test]
fn the_log_is_copied_back_before_it_grows() {
    let folder = folder();
    let (mut store, _) = open(&folder).expect("a new store");
    let rows: Vec<_> = (1..=100)
        .map(|n| put(&registration(instance(&format!("orders/{n}"), "10.0.0.1:80"), n)))
        .collect();
    let size = |name| fs::metadata(folder.path().join(name)).expect("is there").len();
    let mut largest = 0;
    for _ in 0..100 {
        store.write(rows.iter(), 100, 100).expect("written");
        store.tidy().expect("tidied");
        largest = largest.max(size("registry.db-wal"));
    }
    assert!(largest < 4 << 20, "{largest}");
    assert!(size(FILE) > 8192, "copied");
}
