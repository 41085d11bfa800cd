//! Whatever happens to the files, a store is refused or is what it was.

use super::{row::row_sum, *};

/// The files of a store that a process was killed in after six commits.
struct Killed {
    folder: TempDir,
    contents: Contents,
}

const FILES: [&str; 3] = [FILE, LOG, MARK];

impl Killed {
    /// The first `copied` commits are in the database, the others in the log.
    fn with(copied: u64) -> Self {
        let living = folder();
        let (mut store, _) = open(&living).expect("a new store");
        for n in 1..=6 {
            let mut row = registration(instance(&format!("orders/{n}"), "10.0.0.1:80"), n);
            row.instance.metadata = [("k".to_owned(), "v".repeat(400))].into();
            store.write([put(&row)].iter(), n, n as usize).expect("written");
            if n == copied {
                store.copy_log().expect("copied");
            }
        }
        let folder = folder();
        for name in FILES {
            fs::copy(living.path().join(name), folder.path().join(name)).expect("copied");
        }
        drop(store);
        let (_, contents) = open(&living).expect("opens");
        Self { folder, contents }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Does `damage` to one file of a copy, and says what opening it came to:
    /// none if it is refused. It must not be anything but what it was.
    fn damaged(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) -> Option<OpenError> {
        let copy = folder();
        for other in FILES {
            fs::copy(self.path(other), copy.path().join(other)).expect("copied");
        }
        let mut bytes = fs::read(self.path(name)).expect("readable");
        damage(&mut bytes);
        fs::write(copy.path().join(name), &bytes).expect("written");
        match open(&copy) {
            Ok((_, contents)) => {
                assert_eq!(contents, self.contents, "{name} changed without a word");
                None
            }
            Err(error) => {
                assert_eq!(fs::read(copy.path().join(name)).expect("readable"), bytes, "touched");
                Some(error)
            }
        }
    }
}

#[test]
fn a_store_that_was_killed_is_whole() {
    let killed = Killed::with(3);
    assert_eq!(killed.contents.registrations.len(), 6);
    assert!(killed.damaged(LOG, |_| {}).is_none());
}

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    for (name, copied) in [(FILE, 6), (FILE, 3), (LOG, 3)] {
        let killed = Killed::with(copied);
        if copied == 6 {
            fs::write(killed.path(LOG), "").expect("emptied");
        }
        let size = fs::metadata(killed.path(name)).expect("is there").len();
        let mut refused = 0;
        for _ in 0..200 {
            let (byte, bit) = (fastrand::u64(..size), fastrand::u32(..8));
            let error = killed.damaged(name, |bytes| bytes[byte as usize] ^= 1 << bit);
            refused += u32::from(error.is_some());
        }
        assert!(refused > 0, "{name}: none of 200");
    }
}

#[test]
fn a_cut_or_zeroed_file_is_refused_or_harmless() {
    let killed = Killed::with(3);
    for name in [FILE, LOG] {
        let size = fs::metadata(killed.path(name)).expect("is there").len() as usize;
        for _ in 0..60 {
            let end = fastrand::usize(..size);
            let error = killed.damaged(name, |bytes| bytes.truncate(end));
            // A page of the database that the log holds anew is not missed.
            assert!(error.is_some() || name == FILE, "{name} cut at {end} of {size}");
        }
        for start in (0..size).step_by(4096) {
            let end = size.min(start + 4096);
            killed.damaged(name, |bytes| bytes[start..end].fill(0));
        }
        let error = killed.damaged(name, |bytes| bytes.fill(0));
        assert!(error.is_some(), "{name} zeroed");
    }
}

#[test]
fn a_log_that_is_gone_is_missed() {
    let killed = Killed::with(3);
    fs::remove_file(killed.path(LOG)).expect("removed");
    let error = refusal(&killed.folder);
    assert!(error.contains("ends at change 3, and change 6 was acknowledged"), "{error}");
    assert!(error.contains("portolan registry restore --data-dir"), "{error}");
    let (_, mark) = error.rsplit_once("by removing ").expect("a way out");
    fs::remove_file(mark).expect("removed");
    assert_eq!(open(&killed.folder).expect("taken as it is").1.registrations.len(), 3);
}

#[test]
fn an_older_copy_is_not_taken_for_the_store() {
    let (folder, path) = two_instances();
    let older = fs::read(&path).expect("readable");
    let (mut store, _) = open(&folder).expect("opens");
    let row = registration(instance("orders/c", "h:80"), 3);
    store.write([put(&row)].iter(), 3, 3).expect("written");
    drop(store);
    fs::write(&path, older).expect("written");
    assert!(refusal(&folder).contains("an older copy"));
}

#[test]
fn a_mark_that_cannot_be_read_or_written_does_no_harm() {
    let (folder, _) = two_instances();
    let mark = folder.path().join(MARK);
    fs::write(&mark, "\0\0\0").expect("written");
    drop(open(&folder).expect("opens"));
    fs::remove_file(&mark).expect("removed");
    fs::create_dir(&mark).expect("in the way");
    let (mut store, _) = open(&folder).expect("opens");
    let row = registration(instance("orders/c", "h:80"), 3);
    store.write([put(&row)].iter(), 3, 3).expect("written");
}

#[test]
fn a_damaged_file_is_refused_and_named() {
    let (folder, path) = two_instances();
    let whole = fs::read(&path).expect("readable");
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let damages: [(&str, Damage<'_>); 5] = [
        ("emptied", &|bytes| bytes.clear()),
        ("header gone", &|bytes| bytes[..100].fill(0)),
        ("cut in half", &|bytes| bytes.truncate(whole.len() / 2)),
        ("text", &|bytes| *bytes = b"not a database at all, but long enough".repeat(100)),
        ("a page of rubbish", &|bytes| {
            let page = bytes.len() - 4096;
            bytes[page..].fill(0xa5);
        }),
    ];
    for (what, damage) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&path, &bytes).expect("written");
        let error = open(&folder).expect_err(what);
        assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
        assert!(error.to_string().contains("registry.db is damaged"), "{what}: {error}");
        assert!(error.to_string().contains("portolan registry restore"), "{what}: {error}");
        assert_eq!(fs::read(&path).expect("readable"), bytes, "{what}: not touched");
    }
    fs::write(&path, &whole).expect("written");
    assert_eq!(open(&folder).expect("whole again").1.registrations.len(), 2);
}

#[test]
fn an_emptied_database_keeps_its_log() {
    let killed = Killed::with(3);
    fs::write(killed.path(FILE), "").expect("written");
    let log = fs::read(killed.path(LOG)).expect("readable");
    assert!(refusal(&killed.folder).contains("the file is empty"));
    assert_eq!(fs::read(killed.path(LOG)).expect("still there"), log);
}

#[test]
fn what_is_left_of_a_store_is_no_fresh_start() {
    for left in [LOG, MARK, "snapshots/00000001.jsonl", "damaged/1/registry.db"] {
        let folder = folder();
        let path = folder.path().join(left);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, "anything").expect("written");
        let error = refusal(&folder);
        assert!(error.contains("registry.db is gone"), "{left}: {error}");
        assert!(!folder.path().join(FILE).exists(), "{left}");
    }
}

#[test]
fn other_formats_and_other_databases_are_refused() {
    let (folder, path) = two_instances();
    edit(&path, "PRAGMA user_version = 3");
    assert!(refusal(&folder).contains("has format 3 and this version knows 2"));
    edit(&path, "PRAGMA user_version = 2; PRAGMA application_id = 1");
    assert!(refusal(&folder).contains("is not a registry"));
    fs::remove_file(&path).expect("removed");
    edit(&path, "CREATE TABLE photos (name TEXT)");
    let before = fs::read(&path).expect("readable");
    assert!(refusal(&folder).contains("is not a registry"));
    assert_eq!(fs::read(&path).expect("readable"), before, "not touched");
}

#[test]
fn a_changed_value_does_not_fit_its_checksum() {
    for (sql, why) in [
        ("UPDATE instance SET body = replace(body, 'h:80', 'h:81') WHERE id = 'a'", "orders/a"),
        ("UPDATE instance SET draining = 1 WHERE id = 'a'", "orders/a"),
        ("UPDATE instance SET owner = '' WHERE id = 'b'", "orders/b"),
        ("UPDATE instance SET id = 'c' WHERE id = 'b'", "orders/c"),
        ("UPDATE state SET last_generation = 9", "the row of its state"),
        ("DELETE FROM state", "no one row of state"),
        ("INSERT INTO state SELECT * FROM state", "no one row of state"),
        ("DELETE FROM instance WHERE id = 'a'", "should hold 2 instances, 1 are there"),
    ] {
        let (folder, path) = two_instances();
        edit(&path, sql);
        let error = refusal(&folder);
        assert!(error.contains(why) && error.contains("restore"), "{sql}: {error}");
    }
}

#[test]
fn a_row_that_is_no_instance_is_named() {
    let good = r#"{"service":"orders","id":"a","origin":"http://h:80"}"#;
    for (body, why) in [
        ("{}", "missing field"),
        ("", "EOF"),
        (&good.replace("\"a\"", "\"b\""), "its body is that of orders/b"),
        (&good.replace("http://h:80", "h"), "has no port"),
    ] {
        let (folder, path) = two_instances();
        let sum = row_sum(["orders", "a"], 1, false, None, body);
        edit(&path, &format!("UPDATE instance SET body = '{body}', sum = {sum} WHERE id = 'a'"));
        let error = refusal(&folder);
        assert!(error.contains("orders/a") && error.contains(why), "{error}");
    }
}

#[test]
fn a_generation_that_was_never_given_is_damage() {
    let (folder, path) = two_instances();
    let sum = row_sum(["orders", "a"], 7, false, None, "{}");
    let sql = format!("UPDATE instance SET generation = 7, body = '{{}}', sum = {sum}");
    edit(&path, &format!("{sql} WHERE id = 'a'"));
    assert!(open(&folder).is_err());
}
