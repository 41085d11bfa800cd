//! What fuzzing has found worth keeping, run again: each file of
//! `fuzz/corpus/TARGET` through the checks of that target, without a fuzzer.

#![allow(clippy::expect_used, reason = "a test says what it needs by failing without it")]

use std::{collections::BTreeSet, fs, panic, path::Path};

#[allow(unreachable_pub, reason = "elsewhere it is a crate of its own")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn what_was_found_once_holds() {
    let mut failed = Vec::new();
    for (target, check) in targets::ALL {
        let folder = Path::new("fuzz/corpus").join(target);
        let mut files = 0;
        for entry in fs::read_dir(&folder).expect("a corpus") {
            let path = entry.expect("an entry").path();
            let data = fs::read(&path).expect("a file");
            files += 1;
            if panic::catch_unwind(|| check(&data)).is_err() {
                failed.push(path);
            }
        }
        assert!(files >= 10, "{target}: {files} files are no corpus");
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let stem = |path: &Path| path.file_stem().map(|it| it.to_string_lossy().into_owned());
        entries.filter_map(|entry| stem(&entry.expect("an entry").path())).collect()
    };
    let targets: BTreeSet<String> =
        targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz/corpus"), targets);
    assert_eq!(names("fuzz/fuzz_targets"), targets);
    let manifest = fs::read_to_string("fuzz/Cargo.toml").expect("a manifest");
    for name in targets {
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name}");
    }
}
