//! Holds the source to the structure that ARCHITECTURE.md tells of.
//!
//! [`HOUSE`] is the one list of who may import whom; what it allows is what
//! there is, no more and no less. It reads the text of the source, so test
//! code is held to it too.

#![allow(clippy::expect_used, reason = "a test says what it needs by failing without it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A top-level module, what it may import, and why that is so where it is not
/// plain. `X settings` is what `src/X/settings.rs` defines: the section of
/// `proxy.toml` that configures the folder, and nothing of the folder itself,
/// which imports it as a matter of course.
const HOUSE: &[(&str, &[&str], &str)] = &[
    // Known to both planes.
    ("model", &[], "the vocabulary; knows nobody"),
    ("deadline", &[], "a mechanism that could be a crate of its own"),
    ("balance", &["model"], ""),
    ("telemetry", &["model"], "is told numbers, and does not ask for them"),
    ("tls", &["model"], "files to configurations of rustls; no sockets"),
    ("etcd", &["model", "tls"], "a client of one protocol; what the keys mean is told elsewhere"),
    (
        "routing",
        &["balance", "model", "telemetry", "tls"],
        "routes and services carry their own counters, and services how they are reached",
    ),
    // The data plane.
    ("upstream", &["deadline", "model", "tls"], "pings of shared connections"),
    ("listener settings", &["model"], ""),
    ("listener", &["deadline", "model", "tls"], "generic over the service that it feeds"),
    (
        "proxy",
        &[
            "balance",
            "deadline",
            "listener settings",
            "model",
            "routing",
            "telemetry",
            "tls",
            "upstream",
        ],
        "never the control plane; a request is judged by the limits of its listener, and a CA \
         is shown what it looks for",
    ),
    ("worker", &["deadline", "listener", "listener settings", "model", "proxy", "tls"], ""),
    // The control plane.
    ("registry settings", &["model"], ""),
    ("registry", &["etcd", "model", "telemetry"], "tells what happened, and does not know to whom"),
    ("acme settings", &["model"], ""),
    (
        "acme",
        &["registry", "tls"],
        "obtains files that listeners take over; the registry knows how to write one as a whole, and \
         how values are called that proxies share",
    ),
    ("file_watch", &[], "a mechanism that could be a crate of its own"),
    (
        "sources",
        &["etcd", "file_watch", "model", "tls"],
        "tell what others have, and do not know to whom",
    ),
    ("health settings", &[], ""),
    ("health", &["model", "tls"], "probes what it is told to, and reports"),
    ("telemetry settings", &[], ""),
    ("admin settings", &["model"], ""),
    ("front settings", &["admin settings", "model"], "tokens are those of the admin address"),
    (
        "config",
        &[
            "acme settings",
            "admin settings",
            "front settings",
            "health settings",
            "listener settings",
            "model",
            "registry settings",
            "routing",
            "sources",
            "telemetry settings",
            "tls",
        ],
        "each folder owns its section; of routing also the patterns, to tell which routes clash",
    ),
    (
        "control",
        &[
            "acme",
            "balance",
            "config",
            "health",
            "model",
            "registry",
            "routing",
            "sources",
            "telemetry",
            "tls",
        ],
        "the one writer of the table",
    ),
    (
        "admin",
        &["control", "model", "registry", "routing", "sources", "tls"],
        "the registry's idea of a caller, and the router's idea of a host, are the only ones",
    ),
    (
        "front",
        &["admin", "admin settings", "control", "model", "registry", "sources", "telemetry", "tls"],
        "who asks is found out as at the admin address, and what others call things as in what \
         is read of them",
    ),
    // Both.
    (
        "app",
        &[
            "acme",
            "admin",
            "admin settings",
            "config",
            "control",
            "deadline",
            "file_watch",
            "front",
            "front settings",
            "health",
            "listener",
            "listener settings",
            "model",
            "proxy",
            "registry",
            "routing",
            "telemetry",
            "tls",
            "worker",
        ],
        "the composition root: the one place that knows both planes",
    ),
    (
        "cli",
        &[
            "admin settings",
            "app",
            "config",
            "control",
            "model",
            "registry",
            "registry settings",
            "tls",
        ],
        "speaks the admin API, whose answers are the views of control; mends the store of a \
         proxy that does not run, and carries a registry from one place to another",
    ),
    ("main", &["cli"], ""),
];

/// Lines that a file may have.
const LONGEST: usize = 400;

/// Files that are longer, and how long they may be. To be split, not to grow.
const LONGER: &[(&str, usize)] = &[];

/// Words that say nothing about what is in a file.
const EMPTY_NAMES: &[&str] =
    &["common", "helper", "helpers", "manager", "misc", "util", "utility", "utils"];

#[test]
fn modules_import_what_they_may_and_nothing_else() {
    let allowed: BTreeSet<Edge> =
        HOUSE.iter().flat_map(|(from, to, _)| to.iter().map(|to| edge(from, to))).collect();
    let found = imports();
    let forbidden: Vec<_> = found
        .iter()
        .filter(|(edge, _)| !allowed.contains(edge))
        .map(|((from, to), file)| format!("{from} must not import {to}: {}", file.display()))
        .collect();
    assert!(forbidden.is_empty(), "{}", forbidden.join("\n"));
    let idle: Vec<_> = allowed.iter().filter(|edge| !found.contains_key(edge)).collect();
    assert!(idle.is_empty(), "allowed but not there, take it out of the list: {idle:?}");
}

#[test]
fn every_module_is_on_the_list() {
    let listed: BTreeSet<_> = HOUSE.iter().map(|(module, ..)| *module).collect();
    assert_eq!(listed.len(), HOUSE.len(), "a module is listed twice");
    let map = read(Path::new("src/lib.rs"));
    let modules = map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules: BTreeSet<_> = modules.chain(["main"]).collect();
    let plain: BTreeSet<_> = listed.into_iter().filter(|name| !name.contains(' ')).collect();
    assert_eq!(plain, modules);
}

#[test]
fn there_are_no_cycles() {
    let mut left: BTreeMap<&str, BTreeSet<&str>> =
        HOUSE.iter().map(|(from, to, _)| (*from, to.iter().copied().collect())).collect();
    for (module, ..) in HOUSE {
        if let Some(of) = module.strip_suffix(" settings").and_then(|of| left.get_mut(of)) {
            of.insert(module);
        }
    }
    while !left.is_empty() {
        let knows_nobody =
            |to: &BTreeSet<&str>, all: &BTreeMap<_, _>| !to.iter().any(|to| all.contains_key(to));
        let done: Vec<_> =
            left.iter().filter(|(_, to)| knows_nobody(to, &left)).map(|(from, _)| *from).collect();
        assert!(!done.is_empty(), "a cycle among {:?}", left.keys());
        left.retain(|from, _| !done.contains(from));
    }
}

#[test]
fn no_path_climbs_out_of_its_top_level_module() {
    for file in sources("src") {
        let code = code(&read(&file));
        let inner = code.find("mod tests {").unwrap_or(code.len());
        for (at, path) in paths(&code, "super") {
            let depth = module(&file).len() + usize::from(at > inner);
            let climbs = path.iter().take_while(|segment| *segment == "super").count();
            let shown = path.join("::");
            assert!(climbs < depth, "{}: write crate:: for {shown}", file.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for file in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        assert!(read(&file).starts_with("//! "), "{} does not open with //!", file.display());
    }
}

#[test]
fn no_file_is_too_long() {
    for file in sources("src") {
        let lines = read(&file).lines().count();
        let name = file.display().to_string();
        let longer = LONGER.iter().find(|(longer, _)| *longer == name);
        let limit = longer.map_or(LONGEST, |(_, limit)| *limit);
        assert!(lines <= limit, "{name} has {lines} lines, over {limit}: split it");
    }
}

#[test]
fn names_are_nouns_of_the_field() {
    for file in sources("src") {
        let module = module(&file);
        for name in &module {
            assert!(!EMPTY_NAMES.contains(&name.as_str()), "{} says nothing", file.display());
        }
        let echo = module.windows(2).any(|pair| pair[0] == pair[1]);
        assert!(!echo, "{} is named after its folder", file.display());
    }
}

#[test]
fn what_is_relaxed_has_a_reason() {
    for file in sources("src") {
        let code = code(&read(&file));
        for (at, _) in code.match_indices("#[allow(").chain(code.match_indices("#[expect(")) {
            let attribute = &code[at..at + code[at..].find(']').unwrap_or(0)];
            assert!(attribute.contains("reason ="), "{}: {attribute}", file.display());
        }
        assert!(!code.contains("#![allow("), "{} relaxes a lint as a whole", file.display());
    }
    let manifest = read(Path::new("Cargo.toml"));
    let lints = &manifest[manifest.find("[lints.").expect("a table of lints")..];
    for line in lints.lines().filter(|line| line.contains("\"allow\"")) {
        assert!(line.contains("# "), "Cargo.toml: no reason beside {line}");
    }
    for line in read(Path::new("clippy.toml")).lines().filter(|line| line.contains("path = ")) {
        assert!(line.contains("reason = "), "clippy.toml: no reason beside {line}");
    }
}

#[test]
fn unsafe_is_forbidden() {
    let manifest = read(Path::new("Cargo.toml"));
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for file in sources("src") {
        let code = code(&read(&file));
        let mut words = code.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
        assert!(!words.any(|word| word == "unsafe"), "{}", file.display());
    }
}

#[test]
fn the_reader_of_source_reads_source() {
    let text = "use crate::{a::{B, c as d}, e}; // crate::f\nlet g = crate::h::I(\"crate::j\", '\"', r#\"crate::\"k\"#);";
    let code = code(text);
    let found: Vec<_> =
        paths(&code, "crate").into_iter().map(|(_, path)| path[1..].join("::")).collect();
    assert_eq!(found, ["a::B", "a::c", "e", "h::I"]);
}

type Edge = (String, String);

fn edge(from: &str, to: &str) -> Edge {
    (from.to_owned(), to.to_owned())
}

/// Who imports whom, and a file that shows it.
fn imports() -> BTreeMap<Edge, PathBuf> {
    let mut found = BTreeMap::new();
    for file in sources("src") {
        let code = code(&read(&file));
        let module = module(&file);
        let Some(top) = module.first() else { continue };
        let root = if top == "main" { "portolan" } else { "crate" };
        let own = format!("{top} settings");
        let is_settings = module.get(1).is_some_and(|name| name == "settings") && is_listed(&own);
        let from = if is_settings { &own } else { top };
        for (_, path) in paths(&code, root) {
            let to = match path.get(2) {
                Some(name) if is_setting(&path[1], name) => format!("{} settings", path[1]),
                _ => path[1].clone(),
            };
            if to != *top && to != own {
                found.entry((from.clone(), to)).or_insert_with(|| file.clone());
            }
        }
        if is_settings && code.contains("super::") {
            found.entry(edge(from, top)).or_insert_with(|| file.clone());
        }
    }
    found
}

/// Whether `name` of `folder` is defined in its `settings.rs`.
fn is_setting(folder: &str, name: &str) -> bool {
    let settings = Path::new("src").join(folder).join("settings.rs");
    let defines = |text: String| {
        ["struct", "enum"].iter().any(|kind| text.contains(&format!("pub {kind} {name} ")))
    };
    is_listed(&format!("{folder} settings")) && defines(read(&settings))
}

fn is_listed(module: &str) -> bool {
    HOUSE.iter().any(|(listed, ..)| *listed == module)
}

/// The module that `file` holds: `["proxy", "forward"]`. Empty for the crate.
fn module(file: &Path) -> Vec<String> {
    let path = file.strip_prefix("src").expect("a source file").with_extension("");
    let names = path.iter().map(|name| name.to_str().expect("UTF-8").to_owned());
    names.filter(|name| name != "mod" && name != "lib").collect()
}

/// Every Rust file in `folder`, in order.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// `text` without comments and without what is in quotes.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let skipped = match letter {
            '/' if rest.starts_with("//") => rest.find('\n'),
            '"' => quoted(rest),
            'r' if rest.starts_with("r\"") || rest.starts_with("r#") => raw(rest),
            // A lifetime has no second quote so soon.
            '\'' if rest.starts_with("'\\") => rest[3..].find('\'').map(|end| end + 4),
            '\'' => rest[1..].char_indices().nth(1).filter(|next| next.1 == '\'').map(|n| n.0 + 2),
            _ => None,
        };
        match skipped {
            Some(length) => {
                // Words beside what is skipped stay apart.
                code.push(' ');
                rest = &rest[length..];
            }
            None => {
                code.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    code
}

fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn raw(text: &str) -> Option<usize> {
    let hashes = text[1..].find(|letter| letter != '#')?;
    let inside = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(2 + hashes + inside.find(&end)? + end.len())
}

/// Every path in `code` that begins with `root`, and where it does; those in
/// braces one by one.
fn paths(code: &str, root: &str) -> Vec<(usize, Vec<String>)> {
    let start = format!("{root}::");
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&start) {
        if code[..at].ends_with(is_name) {
            continue;
        }
        let mut expanded = Vec::new();
        expand(&code[at..], &[], &mut expanded);
        found.extend(expanded.into_iter().map(|path| (at, path)));
    }
    found
}

/// Reads one path of a `use`, and answers with what comes after it.
fn expand<'a>(text: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                rest = rest.trim_start();
                if rest.starts_with('}') || rest.is_empty() {
                    return rest.get(1..).unwrap_or("");
                }
                rest = expand(rest, &path, found);
                // Over `as name`, to the next one.
                rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
        }
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '*';
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(next) => rest = next.trim_start(),
            None => {
                found.push(path);
                return rest;
            }
        }
    }
}
