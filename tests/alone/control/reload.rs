//! A new config file: taken over as a whole or not at all, and without
//! disturbing what it does not change.

use std::{fs, io::Write};

use super::{drain::tunnel, *};
use crate::support::{Connection, Echo};

const LAST_OK: &str = "portolan_config_last_reload_successful";

#[test]
fn a_changed_file_takes_effect_by_itself() {
    let echo = Echo::start("one");
    let proxy = Portolan::before(echo.address());
    assert_eq!(proxy.get("/").status(), 200);
    proxy.write("[[route]]\nredirect = { to = 'https://elsewhere.test' }\n");
    eventually(|| proxy.get("/").status() == 308);
    assert_eq!(proxy.metric(LAST_OK), 1.0);
    eventually(|| proxy.metric("portolan_config_reloads_total{result=\"ok\"}") == 1.0);
    // The same once more is no news.
    proxy.write("[[route]]\nredirect = { to = 'https://elsewhere.test' }\n");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(proxy.metric("portolan_config_reloads_total{result=\"ok\"}"), 1.0);
}

#[test]
fn a_bad_file_changes_nothing_and_is_shown() {
    let echo = Echo::start("one");
    let proxy = Portolan::before(echo.address());
    let good = fs::read_to_string(proxy.config_file()).expect("a file");
    let version = proxy.status()["version"].clone();
    let bad = good.replace("[[route]]", "[[rout]]");
    fs::write(proxy.config_file(), &bad).expect("written");
    eventually(|| proxy.status()["config"]["last_reload_ok"] == false);
    let status = proxy.status();
    assert_eq!(status["version"], version);
    assert!(status["config"]["problems"].as_str().is_some_and(|text| text.contains("rout")));
    assert_eq!(status["attention"][0], "the config file on disk has problems and is not running");
    assert_eq!(proxy.metric(LAST_OK), 0.0);
    assert_eq!(proxy.get("/").status(), 200);
    let answer = proxy.admin("POST", "/api/v1/config/reload", "");
    assert_eq!((answer.status(), problem(&answer).as_str()), (422, "config_refused"));
    let diagnostic = &answer.json()["diagnostics"][0];
    assert!(diagnostic["line"].as_u64().is_some_and(|line| line > 1), "{diagnostic}");
    assert_eq!(proxy.admin("POST", "/api/v1/config/check", "").json()["ok"], false);
    // Back to what runs: nothing is to be done, but nothing is wrong any more.
    fs::write(proxy.config_file(), &good).expect("written");
    eventually(|| proxy.status()["config"]["last_reload_ok"] == true);
    assert_eq!(proxy.metric(LAST_OK), 1.0);
    fs::remove_file(proxy.config_file()).expect("removed");
    assert_eq!(proxy.admin("POST", "/api/v1/config/reload", "").status(), 422);
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn a_file_that_is_still_being_written_is_not_taken_for_whole() {
    let echo = Echo::start("one");
    let proxy = Portolan::before(echo.address());
    let good = fs::read_to_string(proxy.config_file()).expect("a file");
    for _ in 0..20 {
        // Its beginning alone would be a file without routes.
        let mut file = fs::File::create(proxy.config_file()).expect("a file");
        std::thread::sleep(Duration::from_millis(10));
        file.write_all(good.as_bytes()).expect("written");
        drop(file);
        assert_eq!(proxy.get("/").status(), 200);
    }
    let mut file = fs::File::create(proxy.config_file()).expect("a file");
    for line in good.lines() {
        writeln!(file, "{line}").expect("written");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(proxy.get("/").status(), 200);
    }
    writeln!(file, "[[route]]\npath = '/moved'\nredirect = {{ to = '/x' }}").expect("written");
    drop(file);
    eventually(|| proxy.get("/moved").status() == 308);
    assert_eq!(proxy.metric("portolan_config_reloads_total{result=\"ok\"}"), 1.0);
}

#[test]
fn an_address_that_cannot_be_bound_refuses_the_whole_file() {
    let echo = Echo::start("one");
    let proxy = Portolan::before(echo.address());
    let answer = proxy.reload("[[listener]]\n[[listener]]\naddress = '192.0.2.1:80'\n[[route]]\nredirect = { to = '/x' }\n");
    assert_eq!(answer.status(), 422, "{answer:?}");
    assert!(answer.text().contains("192.0.2.1:80"), "{answer:?}");
    assert_eq!(proxy.get("/").status(), 200, "the old routes");
    assert_eq!(proxy.status()["config"]["last_reload_ok"], false);
}

#[test]
fn a_listener_comes_and_goes_without_a_cut() {
    const TWO: &str = "[[listener]]\n[[listener]]\naddress = '127.0.0.2:0'\n";
    let one = Steered::start("one");
    let service =
        format!("[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n", one.address());
    let proxy = Portolan::start(&service);
    let mut kept = proxy.connect();
    assert_eq!(kept.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n").status(), 200);
    // The proxy may notice the change by itself before it is asked.
    assert_eq!(proxy.reload(&format!("{TWO}{service}")).status(), 200);
    let listeners = || proxy.status()["listeners"].as_array().expect("listeners").clone();
    assert_eq!(listeners().len(), 2);
    let address = listeners()[1].as_str().expect("an address").parse().expect("an address");
    let mut through = Connection::open(address);
    assert_eq!(through.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n").status(), 200);
    let before = one.served();
    through.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| one.served() > before);
    assert_eq!(proxy.reload(&service).status(), 200);
    assert_eq!(listeners().len(), 1);
    eventually(|| std::net::TcpStream::connect(address).is_err());
    one.let_go();
    assert_eq!(through.read_response().text(), "one", "what was in flight is finished");
    through.wait_for_end();
    assert_eq!(kept.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n").status(), 200);
}

#[test]
fn what_a_new_file_does_not_change_stays() {
    let proxy = Portolan::start(PROBED);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let mut tunnel = tunnel(&proxy);
    let mut client = proxy.connect();
    let before = one.served();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| one.served() > before);
    for round in 0..10 {
        let new = format!(
            "{PROBED}[[route]]\nhost = 'h{round}.test'\nservice = 'app'\n[service.s{round}]\n"
        );
        assert_eq!(proxy.reload(&new).status(), 200);
        let view = proxy.instance("app/one");
        assert_eq!(
            (&view["state"], &view["in_flight"], &view["requests"]),
            (&"healthy".into(), &2.into(), &2.into())
        );
    }
    assert_eq!(
        proxy.reload(&PROBED.replace("[[route]]", "retry = { attempts = 0 }\n[[route]]")).json()["changes"]
            [0],
        "~ service app"
    );
    assert_eq!(proxy.instance("app/one")["in_flight"], 2);
    tunnel.send("still there");
    assert_eq!(tunnel.read_exact(11).expect("an echo"), b"still there");
    one.let_go();
    assert_eq!(client.read_response().text(), "one");
    let states: Vec<_> =
        proxy.happened("one").into_iter().filter(|(kind, _)| kind == "state").collect();
    assert_eq!(states.len(), 1, "{states:?}");
    assert_eq!(proxy.metric("portolan_config_reloads_total{result=\"ok\"}"), 11.0);
}

#[test]
fn what_only_a_restart_brings_about_is_remembered() {
    let proxy = Portolan::start("");
    let answer = proxy.reload("workers = 3\n").json();
    assert_eq!(answer["needs_restart"][0], "workers");
    let answer = proxy.reload("workers = 3\n[[route]]\nredirect = { to = '/x' }\n").json();
    assert_eq!(answer["needs_restart"][0], "workers", "it still does");
    assert_eq!(proxy.status()["attention"][0], "only a restart brings about workers");
    assert!(proxy.reload("").json().get("needs_restart").is_none());
    assert_eq!(proxy.status()["attention"].as_array().map(Vec::len), Some(0));
}

#[test]
fn new_tokens_and_address_rules_hold_at_once() {
    let proxy = Portolan::start("");
    let body = r#"{"address": "127.0.0.1:1"}"#;
    assert_eq!(proxy.put("app/one", "", body).status(), 201);
    assert_eq!(proxy.reload("[registry]\nallow_loopback = false\n").status(), 200);
    assert_eq!(problem(&proxy.put("app/two", "", body)), "address_denied");
    eventually(|| {
        let why =
            proxy.put("app/one", "", r#"{"address": "127.0.0.1:1", "health": {"kind": "tcp"}}"#);
        problem(&why) == "address_denied"
    });
}
