//! Certificates that change under open connections.

use std::fs;

use super::{GET, OK, plain, started, text};
use crate::support::{
    Backend, Portolan, eventually,
    tls::{Authority, replace},
};

#[test]
fn changed_files_are_taken_over_under_open_connections() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let portolan = plain(&authority, &backend);
    let client = authority.client();
    let mut before = client.connect(portolan.address(), "a.example");
    let old = authority.identity("a").0;
    assert_eq!(before.certificate, old[0]);
    authority.issue("a", &["a.example", "b.example"]);
    let new = authority.identity("a").0;
    eventually(|| {
        client.connect(portolan.address(), "a.example").resumed || {
            let fresh = authority.client().connect(portolan.address(), "a.example");
            fresh.certificate == new[0]
        }
    });
    eventually(|| {
        authority.client().connect(portolan.address(), "a.example").certificate == new[0]
    });
    assert_eq!(before.connection.exchange(GET).status(), 200);
    // Sessions outlive the certificate that they were begun with.
    assert!(client.connect(portolan.address(), "a.example").resumed);
    let status = portolan.admin("GET", "/api/v1/status", "").json();
    let shown = &status["certificates"][0];
    assert_eq!(shown["names"], serde_json::json!(["a.example", "b.example"]));
    assert!(shown["days_left"].as_i64().expect("days") > 1000, "{shown}");
    let series = format!(
        "portolan_tls_certificate_expiry_timestamp_seconds{{listener=\"{}\",certificate=\"{}\"}}",
        portolan.address(),
        authority.path("a.pem").display()
    );
    assert!(portolan.metric(&series) > 1e9, "{series}");
}

#[test]
fn a_bad_file_leaves_the_old_one_in_use_and_says_so() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let portolan = plain(&authority, &backend);
    let good = fs::read_to_string(authority.path("a.pem")).expect("a file");
    replace(&authority.path("a.pem"), "-----BEGIN NONSENSE-----");
    let failed = "portolan_tls_certificate_reloads_total{result=\"failed\"}";
    eventually(|| portolan.metric(failed) >= 1.0);
    let mut session = authority.client().connect(portolan.address(), "a.example");
    assert_eq!(session.connection.exchange(GET).status(), 200);
    let attention = || {
        let status = portolan.admin("GET", "/api/v1/status", "").json();
        status["attention"].to_string()
    };
    assert!(attention().contains("a.pem"), "{}", attention());
    replace(&authority.path("a.pem"), &good);
    eventually(|| !attention().contains("a.pem"));
}

#[test]
fn another_ca_ends_the_sessions_that_the_old_one_vouched_for() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    authority.issue("client", &["client.example"]);
    let ca = authority.path("clients.pem");
    fs::copy(authority.ca(), &ca).expect("a file");
    let tls = format!("certificates = [{{ {pair} }}], client_ca = '{}'", ca.display());
    let portolan = started(&tls, &backend);
    let client = authority.client_as("client");
    let mut session = client.connect(portolan.address(), "a.example");
    assert_eq!(session.connection.exchange(GET).status(), 200);
    let mut again = client.connect(portolan.address(), "a.example");
    assert!(again.resumed);
    assert_eq!(again.connection.exchange(GET).status(), 200);
    replace(&ca, &fs::read_to_string(Authority::new().ca()).expect("a file"));
    let is_refused = || {
        let Ok(mut session) = client.try_connect(portolan.address(), "a.example") else {
            return true;
        };
        session.connection.send(GET);
        session.connection.read().is_err()
    };
    eventually(is_refused);
    assert_eq!(session.connection.exchange(GET).status(), 200, "what is open goes on");
}

#[test]
fn a_listener_may_begin_to_speak_tls_and_stop() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let secured = text(&format!("certificates = [{{ {pair} }}]"), "", &backend);
    let in_clear = secured.replace(&format!("tls = {{ certificates = [{{ {pair} }}] }}"), "");
    let portolan = Portolan::start(&in_clear);
    let mut open = portolan.connect();
    assert_eq!(open.exchange(GET).status(), 200);
    assert_eq!(portolan.reload(&secured).status(), 200);
    let mut session = authority.client().connect(portolan.address(), "a.example");
    assert_eq!(session.connection.exchange(GET).status(), 200);
    assert_eq!(open.exchange(GET).status(), 200);
    assert_eq!(portolan.reload(&in_clear).status(), 200);
    assert_eq!(portolan.exchange(GET).status(), 200);
    assert_eq!(session.connection.exchange(GET).status(), 200);
}
