//! TLS towards instances.

use rcgen::date_time_ymd;

use super::OK;
use crate::support::{Backend, Message, Portolan, eventually, tls::Authority};

/// A proxy before instances at `endpoints`, with `more` for the service.
#[track_caller]
fn before(endpoints: &[String], more: &str) -> Portolan {
    let endpoints = endpoints.join("', '");
    Portolan::start(&format!(
        "[service.app]\nendpoints = ['{endpoints}']\n{more}\n[[route]]\nservice = 'app'"
    ))
}

#[track_caller]
fn refused(answer: &Message, reason: &str) {
    assert_eq!((answer.status(), &*answer.reason()), (502, reason));
}

#[test]
fn an_instance_that_a_ca_vouches_for_is_spoken_to() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    authority.issue("app", &["localhost"]);
    let address = authority.server("app", backend.address, false);
    let endpoint = format!("https://localhost:{}", address.port());
    let portolan = before(&[endpoint], &format!("tls = {{ ca = '{}' }}", authority.ca()));
    let mut client = portolan.connect();
    for _ in 0..3 {
        let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(backend.connections(), 1, "it is kept");
    // A server that is called by its name serves that name.
    let host = format!("localhost:{}", address.port());
    assert_eq!(backend.requests()[0].field("host"), Some(&*host));
    assert_eq!(backend.requests()[0].field("x-forwarded-host"), Some("test"));
}

#[test]
fn an_instance_that_nobody_vouches_for_is_not() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    authority.issue("app", &["127.0.0.1"]);
    let address = authority.server("app", backend.address, false);
    let endpoint = [format!("https://{address}")];
    let other = Authority::new();
    let portolan = before(&endpoint, &format!("tls = {{ ca = '{}' }}", other.ca()));
    refused(&portolan.get("/"), "tls_certificate_error");
    assert_eq!(portolan.logged(1)[0]["reason"], "tls_certificate_error");
    let portolan = before(&endpoint, "tls = { verify = false }");
    assert_eq!(portolan.get("/").status(), 200);
    assert_eq!(backend.requests().len(), 1);
    assert_eq!(backend.requests()[0].field("host"), Some("test"));
}

#[test]
fn the_name_has_to_be_that_of_the_instance() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    authority.issue("app", &["app.internal"]);
    let address = authority.server("app", backend.address, false);
    let endpoint = [format!("https://{address}")];
    let portolan = before(&endpoint, &format!("tls = {{ ca = '{}' }}", authority.ca()));
    refused(&portolan.get("/"), "tls_certificate_error");
    let named = format!("tls = {{ ca = '{}', server_name = 'app.internal' }}", authority.ca());
    assert_eq!(before(&endpoint, &named).get("/").status(), 200);
}

#[test]
fn a_certificate_that_has_expired_is_refused() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    authority.issue_as("app", &["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let address = authority.server("app", backend.address, false);
    let ca = format!("tls = {{ ca = '{}' }}", authority.ca());
    let portolan = before(&[format!("https://{address}")], &ca);
    refused(&portolan.get("/"), "tls_certificate_error");
}

#[test]
fn the_proxy_shows_a_certificate_of_its_own() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    authority.issue("app", &["127.0.0.1"]);
    let own = authority.issue("proxy", &["proxy.internal"]);
    let address = authority.server("app", backend.address, true);
    let endpoint = [format!("https://{address}")];
    let ca = format!("ca = '{}'", authority.ca());
    let portolan = before(&endpoint, &format!("tls = {{ {ca}, {own} }}"));
    assert_eq!(portolan.get("/").status(), 200);
    let portolan = before(&endpoint, &format!("tls = {{ {ca} }}"));
    assert_eq!(portolan.get("/").status(), 502);
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn what_does_not_speak_tls_is_told_apart_and_another_is_asked() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    authority.issue("app", &["127.0.0.1"]);
    let plain = Backend::start(|mut accepted| {
        let _ = accepted.connection.read();
        accepted.send(OK);
    });
    let ca = format!("tls = {{ ca = '{}' }}", authority.ca());
    let broken = format!("https://{}", plain.address);
    let portolan = before(std::slice::from_ref(&broken), &ca);
    refused(&portolan.get("/"), "tls_protocol_error");

    let good = format!("https://{}", authority.server("app", backend.address, false));
    let portolan = before(&[broken, good], &format!("{ca}\nbalance = 'round_robin'"));
    for _ in 0..4 {
        let post = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(portolan.exchange(post).status(), 200);
    }
    assert!(plain.requests().is_empty());
    assert!(portolan.logged(4).iter().any(|line| line["attempts"] == 2));
}

#[test]
fn instances_register_with_their_scheme_and_are_probed_by_it() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    authority.issue("app", &["127.0.0.1"]);
    let address = authority.server("app", backend.address, false);
    let portolan = Portolan::start(&format!(
        "[service.app]\ntls = {{ ca = '{}' }}\n\
         health = {{ kind = 'http', path = '/up', interval = '50ms' }}\n\
         [[route]]\nservice = 'app'",
        authority.ca()
    ));
    let body = format!("{{\"address\": \"https://{address}\"}}");
    let path = "/api/v1/services/app/instances/a";
    let answer = portolan.admin("PUT", &format!("{path}?wait=routable"), &body);
    assert!(answer.text().contains("\"routed\":true"), "{}", answer.text());
    assert!(answer.text().contains(&format!("https://{address}")), "{}", answer.text());
    assert_eq!(portolan.get("/").status(), 200);
    // One that cannot show who it is never gets a request.
    let stranger = Authority::new();
    stranger.issue("app", &["127.0.0.1"]);
    let behind = Backend::answering(OK);
    let address = stranger.server("app", behind.address, false);
    let body = format!("{{\"address\": \"https://{address}\"}}");
    portolan.admin("PUT", "/api/v1/services/app/instances/b", &body);
    eventually(|| portolan.instance("app/b").to_string().contains("no CA that is trusted"));
    assert!(behind.requests().is_empty());
}

#[test]
fn files_that_change_hold_for_the_next_connection() {
    let (authority, other) = (Authority::new(), Authority::new());
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    });
    authority.issue("app", &["127.0.0.1"]);
    let address = authority.server("app", backend.address, false);
    let ca = other.path("other.pem");
    std::fs::copy(other.ca(), &ca).expect("a file");
    let tls = format!("tls = {{ ca = '{}' }}", ca.display());
    let portolan = before(&[format!("https://{address}")], &tls);
    refused(&portolan.get("/"), "tls_certificate_error");
    crate::support::tls::replace(&ca, &std::fs::read_to_string(authority.ca()).expect("a file"));
    eventually(|| portolan.get("/").status() == 200);
}
