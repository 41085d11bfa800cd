//! The arguments as a whole, and what comes of them.

use super::*;

fn parsed(words: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("portolan").chain(words.split_whitespace()))
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_of_the_docs_parses() {
    for words in [
        "",
        "run -c a.toml",
        "-c a.toml",
        "check --format github -W error",
        "validate",
        "explain http://shop.test/",
        "explain POST http://shop.test/ -H a:b -H c:d --format json",
        "status --admin 127.0.0.1:9901 --color never",
        "--token-file t services orders --format json",
        "routes",
        "events --follow",
        "register orders/a --address 10.0.0.5 --port 80 --ttl 10s --weight 7 --health-path /h \
         --tag x --tag y --meta k=v --zone z --version-label 1.2 --wait",
        "exec orders/a --port auto --ttl 5s --weight 7 --tag x -- sh -c true",
        "exec orders -a 10.0.0.5 -p 80 --wait --timeout 1m --drain-timeout 5s -- server --port 80",
        "heartbeat orders/a",
        "drain orders/a --wait --timeout 1m",
        "deregister orders/a",
        "reload",
        "healthcheck",
        "config schema",
        "config reference",
        "token --name x --scope register --service orders",
        "help P0101",
        "help explain",
        "completions zsh",
        "version --format json",
        "demo",
    ] {
        if let Err(error) = parsed(words) {
            panic!("portolan {words}: {error}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for words in [
        "dance",
        "status --admin ftp://x:1",
        "register orders --address 1.2.3.4:5",
        "register orders/a --address 1.2.3.4:5 --weight 0",
        "register orders/a --address 1.2.3.4:5 --ttl 10",
        "register orders/a --address 1.2.3.4:5 --meta kv",
        "exec orders/a --port 80 server",
        "exec orders/a --port 80 --",
        "exec orders/a --port some -- server",
        "exec orders/a -- server",
        "explain",
        "status --token secret",
    ] {
        assert!(parsed(words).is_err(), "portolan {words}");
        let said = answer(std::iter::once("portolan").chain(words.split_whitespace()));
        assert_eq!((said.exit, said.out.as_str()), (Exit::Usage, ""), "portolan {words}");
    }
}

#[test]
fn help_and_version_are_results() {
    for words in [["portolan", "--help"], ["portolan", "--version"], ["portolan", "help"]] {
        let said = answer(words);
        assert_eq!((said.exit, said.err.as_str()), (Exit::Ok, ""), "{words:?}");
        assert!(said.out.contains("portolan"));
    }
    assert_eq!(answer(["portolan", "help", "no-such-verb"]).exit, Exit::Usage);
}

#[test]
fn completions_know_the_verbs() {
    let said = answer(["portolan", "completions", "bash"]);
    assert!(said.out.contains("healthcheck"));
}

#[test]
fn an_admin_api_that_is_not_there_is_exit_3() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    for verb in ["status", "routes", "services", "events", "reload"] {
        let said = answer(["portolan", verb, "--admin", &url]);
        assert_eq!(said.exit, Exit::Unreachable, "{verb}");
        let said = testing::unstyled(&said.err);
        assert!(said.starts_with(&format!("error: the admin API at {url} cannot be reached: ")));
        assert!(said.contains("--admin URL or PORTOLAN_ADMIN"), "{said}");
    }
    assert_eq!(answer(["portolan", "healthcheck", "--admin", &url]).exit, Exit::No);
}

#[test]
fn a_complaint_says_what_to_try() {
    let missing = config_file::find(None);
    if let Err(missing) = missing {
        let text = testing::unstyled(&complaint(&missing.into()));
        assert!(text.starts_with("error: there is no config file; tried ./proxy.toml"), "{text}");
        assert!(text.contains("\n  - name one with --config FILE or PORTOLAN_CONFIG\n"), "{text}");
    }
}

#[test]
fn run_without_a_config_file_is_exit_78() {
    let missing = config_file::find(None);
    if missing.is_err() {
        let error = run::perform(missing).expect_err("nothing to run");
        assert_eq!(Exit::of(&error), Exit::Config);
        assert!(!Exit::advice(&error).is_empty());
    }
}
