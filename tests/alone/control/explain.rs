//! `explain` says of a request what then happens to it.

use std::fmt::Write;

use fastrand::Rng;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;
use crate::support::{Connection, Echo};

const TABLES: u64 = 40;
const REQUESTS: usize = 50;

const PATTERNS: [&str; 6] = ["a.test", "b.test", "*.test", "*.b.test", "c.b.test", "d.example"];
const HOSTS: [&str; 10] = [
    "a.test",
    "A.Test:8080",
    "b.test",
    "c.b.test",
    "x.y.b.test",
    "b.test.",
    "test",
    "d.example",
    "e.example",
    "127.0.0.1:80",
];
const PREFIXES: [&str; 7] = ["/", "/api", "/api/v1", "/apix", "/api/v1/x", "/a-b", "/%C3%A9"];
const PATHS: [&str; 20] = [
    "/",
    "/api",
    "/api/",
    "/api/v1",
    "/api/v1/",
    "/api/v1/x/y?q=1&r=%2F",
    "/apix",
    "/apix/z",
    "/API",
    "/api/../api/v1",
    "/api/./v1",
    "/api//v1",
    "//api",
    "/api%2Fv1",
    "/%61pi",
    "/api/%2e%2e/x",
    "/%zz",
    "/api/v1?",
    "/%c3%a9/x",
    "/a-b;c=1/d",
];
const METHODS: [&str; 5] = ["GET", "POST", "DELETE", "OPTIONS", "TRACE"];

/// A table of some routes; each marks the responses that it forwards.
fn table(rng: &mut Rng, echo: &Echo) -> String {
    let mut text = format!("[service.up]\nendpoints = ['{}']\n[service.down]\n", echo.address());
    for index in 0..rng.usize(0..12) {
        write!(
            text,
            "[[route]]\nname = 'r{index}'\npath = '{}'\n",
            rng.choice(PREFIXES).expect("one")
        )
        .expect("a string");
        if rng.u8(0..4) > 0 {
            writeln!(text, "host = '{}'", rng.choice(PATTERNS).expect("one")).expect("a string");
        }
        if rng.u8(0..3) == 0 {
            writeln!(text, "method = '{}'", rng.choice(&METHODS[..4]).expect("one"))
                .expect("a string");
        }
        if rng.u8(0..3) == 0 {
            writeln!(text, "header = {{ x-v = '{}' }}", rng.u8(1..3)).expect("a string");
        }
        match rng.u8(0..6) {
            0 => text.push_str("redirect = { to = 'https://else.test/base', status = 307 }\n"),
            1 => text.push_str("service = 'down'\n"),
            _ => {
                text.push_str("service = 'up'\n");
                if rng.bool() {
                    text.push_str("strip_prefix = true\n");
                }
                if rng.u8(0..4) == 0 {
                    text.push_str("add_prefix = '/inner'\n");
                }
            }
        }
        writeln!(text, "response_headers = {{ set = {{ x-route = 'r{index}' }} }}")
            .expect("a string");
    }
    text
}

#[test]
fn what_is_explained_is_what_happens() {
    let echo = Echo::start("up");
    let proxy = Portolan::start("");
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for seed in 0..TABLES {
        let mut rng = Rng::with_seed(seed);
        let text = table(&mut rng, &echo);
        let reloaded = proxy.reload(&text);
        // Two routes may be the same by chance, which is an error.
        if reloaded.status() != 200 {
            assert!(reloaded.text().contains("never"), "{reloaded:?}");
            continue;
        }
        for _ in 0..REQUESTS {
            let host = *rng.choice(HOSTS.iter()).expect("one");
            let target = *rng.choice(PATHS.iter()).expect("one");
            let method = *rng.choice(METHODS.iter()).expect("one");
            let fields =
                if rng.bool() { format!("x-v: {}\r\n", rng.u8(1..3)) } else { String::new() };
            let request = format!(
                "{method} {target} HTTP/1.1\r\nhost: {host}\r\n{fields}content-length: 0\r\nconnection: close\r\n\r\n"
            );
            let answer = Connection::open(proxy.address()).exchange(&request);
            let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let mut query =
                format!("url={}&method={method}", encoded(&format!("http://{host}{target}")));
            if !fields.is_empty() {
                write!(query, "&header={}", encoded(fields.trim())).expect("a string");
            }
            let explained = proxy.admin("GET", &format!("/api/v1/explain?{query}"), "");
            assert_eq!(explained.status(), 200, "{explained:?}");
            let view = explained.json();
            let reason = view["reason"].as_str().expect("a reason").to_owned();
            let both = format!("{text}\n{request}\n{answer:?}\n{view:#}");
            *reasons.entry(reason.clone()).or_default() += 1;
            match reason.as_str() {
                "ok" => {
                    assert_eq!(answer.status(), 200, "{both}");
                    assert_eq!(answer.field("x-route"), view["route"].as_str(), "{both}");
                    assert_eq!(answer.json()["target"], view["forwarded_path"], "{both}");
                }
                "redirect" => {
                    assert_eq!(
                        u64::from(answer.status()),
                        view["status"].as_u64().expect("a status"),
                        "{both}"
                    );
                    assert_eq!(answer.field("x-route"), view["route"].as_str(), "{both}");
                    assert_eq!(answer.field("location"), view["location"].as_str(), "{both}");
                }
                _ => {
                    assert_eq!(answer.reason(), reason, "{both}");
                    assert_eq!(
                        u64::from(answer.status()),
                        view["status"].as_u64().expect("a status"),
                        "{both}"
                    );
                }
            }
            let considered = view["considered"].as_array().expect("a list");
            let matched: Vec<_> =
                considered.iter().filter(|route| route["matched"] == true).collect();
            assert_eq!(matched.len(), usize::from(!view["route"].is_null()), "{both}");
        }
    }
    for reason in
        ["ok", "redirect", "no_route", "no_healthy_instance", "request_invalid", "method_refused"]
    {
        assert!(reasons.contains_key(reason), "{reasons:?}");
    }
    assert!(reasons.values().sum::<usize>() > 1000, "{reasons:?}");
}
