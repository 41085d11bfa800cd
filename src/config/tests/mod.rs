//! Whole files, and what is said about them.

mod codes;
mod docs;
mod example;
mod mutations;

use super::*;

/// An environment with `SECRET` in it.
pub(super) fn env(name: &str) -> Option<String> {
    (name == "SECRET").then(|| "hunter2".to_owned())
}

/// What is wrong with `text`; fails if nothing is.
pub(super) fn refused(text: &str) -> Report {
    parse(text, "proxy.toml", &env).map(|_| ()).expect_err(text)
}

/// Codes with their lines and columns, in order, errors and warnings.
pub(super) fn found(text: &str) -> Vec<(&'static str, u32, u32)> {
    let report = match parse(text, "proxy.toml", &env) {
        Ok(loaded) => loaded.report(),
        Err(report) => report,
    };
    let place = |found: &Diagnostic| (found.code.as_str(), found.line, found.column);
    report.diagnostics.iter().map(place).collect()
}

#[test]
fn an_empty_file_is_the_defaults() {
    let loaded = parse("", "proxy.toml", &env).expect("nothing is needed");
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.warnings.is_empty() && loaded.route_lines.is_empty());
}

#[test]
fn six_mistakes_are_six_diagnostics_at_their_places() {
    let report = refused(include_str!("six_mistakes.toml"));
    assert_eq!(report.diagnostics.len(), 6);
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn several_errors_of_the_grammar_are_found_and_none_is_made_up() {
    let report = refused(include_str!("bad_syntax.toml"));
    insta::assert_snapshot!(report.render(false));
}

#[test]
fn colors_are_only_there_when_asked_for() {
    let report = refused("x = 1");
    assert!(report.render(true).contains("\u{1b}["));
    assert!(!report.render(false).contains('\u{1b}'));
}

#[test]
fn what_is_defined_twice_is_shown_at_both_places() {
    let first = |text: &str| {
        let found = refused(text).diagnostics.remove(0);
        found.related.map(|(span, _)| text[span].to_owned() + &format!(" at {}", found.line))
    };
    for (text, expected) in [
        ("workers = 1\nworkers = 2", Some("workers at 2")),
        ("[admin] # one\n[registry]\n[admin]\n", Some("[admin] # one at 3")),
        (
            "[admin]\naddress = ':1'\n[[listener]]\naddress = ':2'\naddress = ':3'",
            Some("address at 5"),
        ),
        ("[[route]]\npath = '/'\nheader = { a = '1', a = '2' }", None),
    ] {
        assert_eq!(first(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn a_list_that_never_ends_is_one_error() {
    assert_eq!(
        found("[[route]]\nhost = [\"a\",\nservice = \"b\"\n[[route]]\npath = \"/\"\n").len(),
        1
    );
}

#[test]
fn what_comes_out_of_references_is_never_shown() {
    let text = r#"
        shutdown_timeout = "${SECRET}"
        [admin]
        address = "x${SECRET}"
        [registry]
        data_dir = 5
        [telemetry]
        log = "${SECRET}"
        [service.hunter]
        [[route]]
        name = "${SECRET}"
        host = "${SECRET}.example"
        service = "${SECRET}"
        [[route]]
        name = "${SECRET}"
        host = "${SECRET}.example"
        path = "${SECRET}"
        redirect = { to = "${SECRET}" }
        [[route]]
        host = "${SECRET}.example"
        service = "hunter"
        [[route]]
        host = "${SECRET}.example"
        strip_prefix = true
        service = "hunter"
    "#;
    let report = refused(text);
    assert!(report.diagnostics.len() >= 8, "{}", report.render(false));
    for shown in [report.render(false), report.github(), format!("{:?}", report.diagnostics)] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn references_are_replaced_before_the_checks() {
    let text = "[service.a]\nhealth.path = '/${SECRET}'\nhealth.interval = '${EVERY:-3s}'\n";
    let config = parse(text, "proxy.toml", &env).expect("good").config;
    let health = &config.service.values().next().expect("one").health;
    assert_eq!(health.path.as_deref(), Some("/hunter2"));
    assert_eq!(health.interval, Some(crate::model::HumanDuration::from_secs(3)));
}

#[test]
fn a_missing_variable_is_pointed_to_within_its_text() {
    assert_eq!(found("[registry]\ndata_dir = \"/x/${NOPE}/y\"\n"), [("P0217", 2, 16)]);
}

#[test]
fn files_are_read_beside_the_config() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("service"), "orders\n").expect("written");
    let path = folder.path().join("proxy.toml");
    let text = "[service.orders]\n\n[[route]]\nservice = \"${file:service}\"\n\n[[route]]\npath = \"/x\"\nservice = \"orders\"\n";
    std::fs::write(&path, text).expect("written");
    let loaded = load(&path).expect("good");
    let service = loaded.config.route[0].service.as_ref().map(ToString::to_string);
    assert_eq!(service.as_deref(), Some("orders"));
    assert_eq!(loaded.route_lines, [3, 6]);
    assert_eq!(loaded.text, text);
}

#[test]
fn a_mistake_does_not_bring_others_along() {
    // Each is one mistake, and what is then absent is not a second one.
    for (text, place) in [
        ("[[route]]\nservise = \"a\"\n", ("P0101", 2, 1)),
        ("[[route]]\nservice = \"A\"\n", ("P0206", 2, 11)),
        (
            "[service.a]\n[[route]]\nhost = \"a b\"\nservice = \"a\"\n[[route]]\nservice = \"a\"\n",
            ("P0207", 3, 8),
        ),
        ("[admin]\naddress = \"0.0.0.0:1\"\ninsecur = true\n", ("P0101", 3, 1)),
        (
            "[[listner]]\naddress = \":80\"\n[admin]\naddress = \"127.0.0.1:8080\"\n",
            ("P0101", 1, 3),
        ),
        ("[service.a]\nhealth = { intervall = \"9s\", timeout = \"8s\" }\n", ("P0101", 2, 12)),
    ] {
        assert_eq!(found(text), [place], "{text}");
    }
}

#[test]
fn wrong_types_come_with_what_to_write() {
    let help = |text: &str| refused(text).diagnostics[0].help.clone().unwrap_or_default();
    for (text, expected) in [
        ("shutdown_timeout = 5", "write \"5s\" or \"5ms\""),
        ("[[listener]]\nmax_head_size = 65536", "write \"64KiB\""),
        ("workers = \"4\"", "write 4, without quotes"),
        ("[admin]\ninsecure = \"true\"", "write true, without quotes"),
        ("[service.a]\nendpoints = \"a:1\"", "write [\"a:1\"]"),
        ("[route]\npath = \"/\"", "there can be several; write [[route]]"),
        ("[[admin]]", "there is one; write [admin]"),
        ("[registry]\ndata_dir = 5", "write \"5\""),
        ("shutdown_timeout = 5s", "write \"5s\""),
        ("[admin]\naddress = 127.0.0.1:9900 # here", "write \"127.0.0.1:9900\""),
        ("[service.a]\nbalance = \"leastrequest\"", "did you mean \"least_request\"?"),
    ] {
        assert_eq!(help(text), expected, "{text}");
    }
}
