//! Holds docs/reference/http-rules.md to the tests that it names.

#![allow(clippy::expect_used, reason = "a test says what it needs by failing without it")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const DOCS: &str = include_str!("../docs/reference/http-rules.md");

/// Every rule, and how many there are of its kind.
const RULES: [(char, usize); 7] =
    [('F', 21), ('P', 8), ('H', 11), ('B', 16), ('D', 12), ('W', 4), ('S', 4)];

struct Row {
    rule: String,
    does: String,
    tests: Vec<String>,
}

fn rows() -> Vec<Row> {
    let is_row = |line: &&str| {
        let id = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next());
        id.is_some_and(|id| id.len() > 1 && id[1..].bytes().all(|byte| byte.is_ascii_digit()))
    };
    DOCS.lines()
        .filter(is_row)
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" |").map(str::trim).collect();
            let [rule, does, tests] = cells[..] else { panic!("not three cells: {line}") };
            let rule = rule.split(' ').next().unwrap_or_default().to_owned();
            Row { rule, does: does.to_owned(), tests: quoted(tests) }
        })
        .collect()
}

/// What is between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The names of all tests there are.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut left = vec![PathBuf::from("src"), PathBuf::from("tests")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).expect("a folder");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(tests_in(&path));
        }
    }
    names
}

fn tests_in(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a file");
    let mut marked = false;
    let mut names = Vec::new();
    for line in text.lines().map(str::trim) {
        let line = line.strip_prefix("async ").unwrap_or(line);
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            if marked {
                names.extend(rest.split(['(', '<']).next().map(str::to_owned));
            }
            marked = false;
        }
    }
    names
}

#[test]
fn every_rule_has_a_row() {
    let expected =
        RULES.iter().flat_map(|(kind, count)| (1..=*count).map(move |n| format!("{kind}{n}")));
    let found: Vec<_> = rows().into_iter().map(|row| row.rule).collect();
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[test]
fn every_row_names_tests_that_there_are() {
    let tests = tests();
    for Row { rule, does, tests: named } in rows() {
        assert_eq!(named.is_empty(), does.starts_with("To come"), "{rule} names no test");
        for name in named {
            assert!(tests.contains(&name), "{rule} names {name}, which is no test");
        }
    }
    let prose = DOCS.lines().filter(|line| !line.starts_with('|')).flat_map(quoted);
    for name in prose.filter(|name| name.contains('_') && name.len() > 20) {
        assert!(tests.contains(&name), "{name} is no test");
    }
}
