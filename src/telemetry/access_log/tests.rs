//! Tests of the whole log: queue, thread, formats and files.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::{HeaderValue, Method, Version};

use super::{AccessLog, AccessRecord, json, text};
use crate::{
    model::{Endpoint, Reason},
    telemetry::{AccessLogMode, AccessLogSettings, LogFormat},
};

const DOCS: &str = include_str!("../../../docs/reference/access-log.md");
const PATIENCE: Duration = Duration::from_secs(10);

fn record() -> AccessRecord {
    let key = "orders/a".parse().expect("a key");
    let address = "10.0.0.1:80".parse().expect("an address");
    AccessRecord {
        time: UNIX_EPOCH + Duration::from_millis(1_767_225_600_123),
        request_id: "0198-f".into(),
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        peer: "127.0.0.1:55555".parse().expect("an address"),
        method: Method::GET,
        scheme: "http",
        host: "shop.localhost".into(),
        path: "/orders/7".into(),
        query: Some("token=secret".into()),
        tls_version: Some("1.3"),
        sni: Some("shop.localhost".into()),
        protocol: Version::HTTP_11,
        status: 200,
        reason: Reason::Ok,
        route: Some("orders".into()),
        service: Some("orders".parse().expect("a service name")),
        endpoint: Some(Arc::new(Endpoint::new(
            key,
            1,
            address,
            crate::model::Provenance::Registered,
        ))),
        attempts: 1,
        retry: Some("budget"),
        upstream_status: Some(200),
        duration: Duration::from_micros(12_345),
        upstream: Some(Duration::from_micros(11_000)),
        connect: Some(Duration::from_micros(250)),
        bytes_in: 0,
        bytes_out: 512,
        conn_reused: true,
        user_agent: Some(HeaderValue::from_static("curl/8.9.1")),
        referer: Some(HeaderValue::from_static("http://shop.localhost/")),
    }
}

/// A request that got nowhere: as little is known as can be.
fn bare() -> AccessRecord {
    AccessRecord {
        request_id: String::new(),
        host: String::new(),
        query: None,
        tls_version: None,
        sni: None,
        status: 404,
        reason: Reason::NoRoute,
        route: None,
        service: None,
        endpoint: None,
        attempts: 0,
        retry: None,
        upstream_status: None,
        upstream: None,
        connect: None,
        user_agent: None,
        referer: None,
        ..record()
    }
}

fn as_json(record: &AccessRecord, query: bool) -> String {
    let mut line = Vec::new();
    json::write(&mut line, record, query);
    String::from_utf8(line).expect("UTF-8")
}

fn as_text(record: &AccessRecord, query: bool) -> String {
    let mut line = Vec::new();
    text::write(&mut line, record, query);
    String::from_utf8(line).expect("UTF-8")
}

fn settings(path: &Path) -> AccessLogSettings {
    AccessLogSettings {
        mode: AccessLogMode::All,
        format: LogFormat::Json,
        path: Some(path.to_owned()),
        ..AccessLogSettings::default()
    }
}

fn write_path(log: &AccessLog, path: &str) {
    log.write(Box::new(AccessRecord { path: path.into(), ..record() }));
}

fn paths(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a log file");
    let value = |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    text.lines().map(|line| value(line)["path"].as_str().expect("a path").to_owned()).collect()
}

#[test]
fn a_line_of_json_has_its_fields_in_order() {
    let full = r#"{"time":"2026-01-01T00:00:00.123Z","request_id":"0198-f","client":"192.0.2.7","peer":"127.0.0.1:55555","method":"GET","scheme":"http","host":"shop.localhost","path":"/orders/7","query":"token=secret","protocol":"HTTP/1.1","tls_version":"1.3","sni":"shop.localhost","status":200,"reason":"ok","route":"orders","service":"orders","endpoint":"a","address":"10.0.0.1:80","attempts":1,"retry":"budget","upstream_status":200,"duration_ms":12.345,"upstream_ms":11.0,"connect_ms":0.25,"bytes_in":0,"bytes_out":512,"conn_reused":true,"user_agent":"curl/8.9.1","referer":"http://shop.localhost/"}"#;
    assert_eq!(as_json(&record(), true), format!("{full}\n"));
    let least = r#"{"time":"2026-01-01T00:00:00.123Z","client":"192.0.2.7","peer":"127.0.0.1:55555","method":"GET","scheme":"http","path":"/orders/7","protocol":"HTTP/1.1","status":404,"reason":"no_route","attempts":0,"duration_ms":12.345,"bytes_in":0,"bytes_out":512}"#;
    assert_eq!(as_json(&bare(), true), format!("{least}\n"));
}

#[test]
fn a_line_of_text_is_for_people() {
    assert_eq!(
        as_text(&record(), false),
        "2026-01-01T00:00:00.123Z  200  ok                        12.3ms  GET     \
         http://shop.localhost/orders/7 HTTP/1.1 -> orders/a 10.0.0.1:80 route=orders attempts=1 \
         retry=budget upstream_status=200 reused=true upstream=11.0ms connect=0.2ms in=0 out=512 \
         client=192.0.2.7 peer=127.0.0.1:55555 tls=1.3 sni=shop.localhost id=0198-f agent=\"curl/8.9.1\" \
         referer=\"http://shop.localhost/\"\n"
    );
    assert_eq!(
        as_text(&bare(), false),
        "2026-01-01T00:00:00.123Z  404  no_route                  12.3ms  GET     \
         http://-/orders/7 HTTP/1.1 attempts=0 in=0 out=512 client=192.0.2.7 \
         peer=127.0.0.1:55555\n"
    );
}

#[test]
fn a_wrong_clock_does_not_matter() {
    let year = Duration::from_secs(365 * 86_400);
    let before = AccessRecord { time: UNIX_EPOCH - year, ..record() };
    assert!(as_text(&before, false).starts_with("1970-01-01T00:00:00.000Z "));
    let after = AccessRecord { time: UNIX_EPOCH + 9_000 * year, ..record() };
    assert!(as_json(&after, false).contains("\"time\":\"9999-12-31T23:59:59"));
}

#[test]
fn the_query_is_written_only_when_asked_for() {
    assert!(!as_json(&record(), false).contains("secret"));
    assert!(!as_text(&record(), false).contains("secret"));
    assert!(as_text(&record(), true).contains("/orders/7?token=secret "));
}

#[test]
fn a_client_cannot_forge_a_line() {
    let evil = "x\n{\"status\":200}\r\n\"\\\u{1b}[2J\u{9b}2J\u{202e}\u{2028}\u{7f}";
    let record = AccessRecord {
        request_id: evil.into(),
        host: evil.into(),
        path: evil.into(),
        query: Some(evil.into()),
        route: Some(evil.into()),
        user_agent: Some(HeaderValue::from_bytes(b"a\xff\"\tb\xc2\x9b").expect("a value")),
        ..record()
    };
    for line in [as_json(&record, true), as_text(&record, true)] {
        let inner = line.strip_suffix('\n').expect("a line");
        assert!(!inner.chars().any(super::escape::is_treacherous), "{inner:?}");
    }
    let value: serde_json::Value = serde_json::from_str(&as_json(&record, true)).expect("JSON");
    assert_eq!((value["path"].as_str(), value["status"].as_u64()), (Some(evil), Some(200)));
    assert_eq!(value["user_agent"].as_str(), Some("a\u{fffd}\"\tb\u{9b}"));
}

#[test]
fn the_fields_and_their_documentation_agree() {
    let line = as_json(&record(), true);
    let serde_json::Value::Object(fields) = serde_json::from_str(&line).expect("JSON") else {
        panic!("not an object: {line}");
    };
    let documented: Vec<_> = DOCS
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(fields.keys().collect::<Vec<_>>(), documented);
}

#[test]
fn errors_are_wanted_in_every_mode_but_off() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("access.log");
    let wanted = |mode| {
        let log = AccessLog::start(&AccessLogSettings { mode, ..settings(&file) }).expect("starts");
        [(Reason::Ok, 200), (Reason::Ok, 503), (Reason::ClientGone, 0), (Reason::NoRoute, 404)]
            .map(|(reason, status)| log.wants(reason, status))
    };
    assert_eq!(wanted(AccessLogMode::All), [true; 4]);
    assert_eq!(wanted(AccessLogMode::Errors), [false, true, true, true]);
    assert_eq!(wanted(AccessLogMode::Off), [false; 4]);
}

#[test]
fn the_last_handle_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("access.log");
    let log = AccessLog::start(&settings(&file)).expect("starts");
    let other = log.clone();
    let expected: Vec<_> = (0..3_000).map(|n| format!("/{n}")).collect();
    expected[..1_500].iter().for_each(|path| write_path(&log, path));
    drop(log);
    expected[1_500..].iter().for_each(|path| write_path(&other, path));
    assert_eq!((other.dropped(), other.lost()), (0, 0));
    drop(other);
    assert_eq!(paths(&file), expected);
}

#[test]
fn a_renamed_file_is_left_when_reopened() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, old) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let log = AccessLog::start(&settings(&file)).expect("starts");
    write_path(&log, "/before");
    assert!(log.flush(PATIENCE));
    fs::rename(&file, &old).expect("renames");
    write_path(&log, "/between");
    assert!(log.flush(PATIENCE));
    log.reopen();
    write_path(&log, "/after");
    assert!(log.flush(PATIENCE));
    assert_eq!(
        (paths(&old), paths(&file)),
        (vec!["/before".to_owned(), "/between".to_owned()], vec!["/after".to_owned()])
    );
}

#[test]
fn a_file_that_cannot_be_reopened_stays_in_use() {
    let directory = tempfile::tempdir().expect("a directory");
    let inner = directory.path().join("inner");
    fs::create_dir(&inner).expect("a directory");
    let log = AccessLog::start(&settings(&inner.join("access.log"))).expect("starts");
    let moved = directory.path().join("moved");
    fs::rename(&inner, &moved).expect("renames");
    log.reopen();
    write_path(&log, "/on");
    assert!(log.flush(PATIENCE));
    assert_eq!(paths(&moved.join("access.log")), ["/on"]);
}

#[test]
fn new_settings_take_effect_or_change_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (one, two) = (directory.path().join("one.log"), directory.path().join("two.log"));
    let log = AccessLog::start(&settings(&one)).expect("starts");
    let bad = AccessLogSettings {
        mode: AccessLogMode::Off,
        ..settings(&directory.path().join("missing/access.log"))
    };
    assert!(log.configure(&bad).is_err());
    assert!(log.wants(Reason::Ok, 200));
    write_path(&log, "/one");
    assert!(log.flush(PATIENCE));
    let text = AccessLogSettings {
        mode: AccessLogMode::Errors,
        format: LogFormat::Text,
        query: true,
        ..settings(&two)
    };
    log.configure(&text).expect("opens");
    assert!(!log.wants(Reason::Ok, 200));
    write_path(&log, "/two");
    assert!(log.flush(PATIENCE));
    assert_eq!(paths(&one), ["/one"]);
    let two = fs::read_to_string(&two).expect("a log file");
    assert!(two.contains("/two?token=secret HTTP/1.1") && two.lines().count() == 1, "{two}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_loses_lines_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("access.log");
    let log = AccessLog::start(&settings(Path::new("/dev/full"))).expect("starts");
    (0..10).for_each(|_| write_path(&log, "/lost"));
    assert!(log.flush(PATIENCE));
    assert_eq!((log.lost(), log.dropped()), (10, 0));
    log.configure(&settings(&file)).expect("opens");
    write_path(&log, "/kept");
    assert!(log.flush(PATIENCE));
    assert_eq!((paths(&file), log.lost()), (vec!["/kept".to_owned()], 10));
}

/// A pipe that nobody reads: its writer stops, and nobody else may.
#[test]
#[cfg(target_os = "linux")]
fn a_queue_that_overflows_drops_and_counts() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
    let queue = 64.try_into().expect("not zero");
    let log = AccessLog::start(&AccessLogSettings { queue, ..settings(Path::new(&path)) })
        .expect("starts");
    drop(writer);
    let long = "/".repeat(4096);
    let sent = 1_000;
    (0..sent).for_each(|_| write_path(&log, &long));
    assert!(!log.flush(Duration::from_millis(50)), "the writer is stuck");
    let dropped = log.dropped();
    assert!(dropped > 0 && dropped < sent, "{dropped}");
    let counting = std::thread::spawn(move || {
        std::io::BufRead::lines(std::io::BufReader::new(reader)).count()
    });
    assert!(log.flush(PATIENCE));
    drop(log);
    let written = counting.join().expect("counts") as u64;
    assert_eq!(written + dropped, sent, "each line is written or counted");
}
