//! Who has to show a certificate, and what instances are told of it.

use std::{fs, process::Command};

use super::{GET, OK, started, text};
use crate::support::{
    Backend, Portolan, eventually,
    tls::{Authority, uri},
};

#[test]
fn a_certificate_can_be_required() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let (pair, stranger) = (authority.issue("a", &["a.example"]), Authority::new());
    authority.issue("client", &["client.example"]);
    stranger.issue("client", &["client.example"]);
    let tls = format!("certificates = [{{ {pair} }}], client_ca = '{}'", authority.ca());
    let portolan = started(&tls, &backend);
    let mut session = authority.client_as("client").connect(portolan.address(), "a.example");
    assert_eq!(session.connection.exchange(GET).status(), 200);

    let foreign = (stranger.identity("client"), authority.roots());
    let foreign = authority.client_as("client").with(|config| {
        let ((chain, key), roots) = foreign;
        let provider = config.crypto_provider().clone();
        *config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("a pair");
    });
    for (client, cause) in
        [(authority.client(), "no_client_certificate"), (foreign, "bad_client_certificate")]
    {
        // In TLS 1.3 the client hears of it after its own part is done.
        if let Ok(mut session) = client.try_connect(portolan.address(), "a.example") {
            session.connection.send(GET);
            assert!(session.connection.read().is_err(), "{cause}");
        }
        let failed = format!("portolan_tls_handshake_failures_total{{cause=\"{cause}\"}}");
        eventually(|| portolan.metric(&failed) == 1.0);
    }
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn instances_are_told_of_it_if_they_are_to_be_and_nobody_else_tells_them() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    authority.issue_as("client", &["client.example"], |params| {
        params.subject_alt_names.push(uri("spiffe://test/orders"));
        params.distinguished_name.push(rcgen::DnType::CommonName, "orders");
    });
    let tls = format!(
        "certificates = [{{ {pair} }}], client_ca = '{}', client_auth = 'optional', \
         client_cert_headers = true",
        authority.ca()
    );
    let portolan = started(&tls, &backend);
    let forged = "GET / HTTP/1.1\r\nhost: a.example\r\nClient-Cert: :AAAA:\r\n\
                  X-Client-Cert-Subject: CN=admin\r\nX-Client-Cert-San: DNS:admin\r\n\
                  x-client-cert-sha256: 00\r\nclient-cert-chain: :AAAA:\r\n\
                  connection: client-cert\r\n\r\n";
    let mut session = authority.client_as("client").connect(portolan.address(), "a.example");
    assert_eq!(session.connection.exchange(forged).status(), 200);
    let request = backend.requests().pop().expect("a request");
    let subject = request.field("x-client-cert-subject").expect("a subject").to_owned();
    assert!(subject.contains("CN=orders"), "{subject}");
    let names = request.field("x-client-cert-san");
    assert_eq!(names, Some("DNS:client.example, URI:spiffe://test/orders"));
    assert_eq!(request.field("x-client-cert-sha256").map(str::len), Some(64));
    let whole = request.field("client-cert").expect("a certificate");
    assert!(whole.starts_with(":MII") && whole.ends_with(':'), "{whole}");
    assert_eq!(request.field("client-cert-chain"), None);

    let mut session = authority.client().connect(portolan.address(), "a.example");
    assert_eq!(session.connection.exchange(forged).status(), 200);
    let request = backend.requests().pop().expect("a request");
    for name in ["client-cert", "x-client-cert-subject", "x-client-cert-san", "client-cert-chain"] {
        assert_eq!(request.field(name), None);
    }
    // And on a listener that knows no certificates.
    let portolan = Portolan::before(backend.address);
    assert_eq!(portolan.exchange(forged).status(), 200);
    assert_eq!(backend.requests().pop().expect("a request").field("client-cert"), None);
}

#[test]
fn a_host_with_another_rule_is_not_served_over_the_same_connection() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example", "inner.example"]);
    authority.issue("client", &["client.example"]);
    let tls = format!(
        "certificates = [{{ {pair} }}], \
         host = [{{ name = 'inner.example', client_ca = '{}' }}]",
        authority.ca()
    );
    let portolan = started(&tls, &backend);
    let inner = "GET / HTTP/1.1\r\nhost: INNER.example.:443\r\n\r\n";
    let mut open = authority.client().connect(portolan.address(), "a.example");
    let answer = open.connection.exchange(inner);
    assert_eq!((answer.status(), &*answer.reason()), (421, "misdirected"));
    // The connection is good for what it was made for.
    assert_eq!(open.connection.exchange(GET).status(), 200);
    let absolute = "GET https://inner.example/ HTTP/1.1\r\nhost: a.example\r\n\r\n";
    let answer = open.connection.exchange(absolute);
    assert_eq!((answer.status(), &*answer.reason()), (421, "misdirected"));
    let known = authority.client_as("client");
    let mut session = known.connect(portolan.address(), "inner.example");
    assert_eq!(session.connection.exchange(inner).status(), 200);
    assert_eq!(session.connection.exchange(GET).status(), 421);
}

#[test]
fn without_its_ca_a_listener_does_not_start() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let portolan = started(&format!("certificates = [{{ {pair} }}]"), &backend);
    for (wrong, code) in [
        ("client_ca = '/nowhere/ca.pem'", "P0330"),
        ("client_auth = 'required'", "P0105"),
        ("host = [{ name = 'b.example', client_auth = 'required' }]", "P0105"),
    ] {
        let tls = format!("certificates = [{{ {pair} }}], {wrong}");
        let answer = portolan.reload(&text(&tls, "", &backend));
        assert!(answer.text().contains(code), "{wrong}: {}", answer.text());
    }
    // What was there goes on.
    let mut session = authority.client().connect(portolan.address(), "a.example");
    assert_eq!(session.connection.exchange(GET).status(), 200);
}

#[test]
fn without_its_ca_the_proxy_does_not_start() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let empty = authority.path("empty.pem");
    fs::write(&empty, "no certificate in here\n").expect("a file");
    let (empty, folder) = (empty.display().to_string(), tempfile::tempdir().expect("a folder"));
    for wrong in [
        "client_ca = '/nowhere/ca.pem'".to_owned(),
        format!("client_ca = '{empty}'"),
        "host = [{ name = 'inner.example', client_ca = '/nowhere' }]".to_owned(),
        format!("host = [{{ name = 'inner.example', client_ca = '{empty}' }}]"),
    ] {
        let tls = format!("certificates = [{{ {pair} }}], {wrong}");
        let config = format!(
            "{}\n[admin]\naddress = '127.0.0.1:0'\n[registry]\ndata_dir = '{}'\n",
            text(&tls, "address = '127.0.0.1:0'", &backend),
            folder.path().join("data").display()
        );
        let file = folder.path().join("proxy.toml");
        fs::write(&file, config).expect("a file");
        let program = env!("CARGO_BIN_EXE_portolan");
        let ended = Command::new(program).arg("run").arg("--config").arg(&file).output();
        let ended = ended.expect("it runs");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success(), "{wrong}: {said}");
        assert!(said.contains("P0330"), "{wrong}: {said}");
    }
}

#[test]
fn a_ca_that_is_deleted_while_it_is_used_lets_nobody_in() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    authority.issue("client", &["client.example"]);
    let ca = authority.path("client-ca.pem");
    fs::copy(authority.path("ca.pem"), &ca).expect("a file");
    let tls = format!("certificates = [{{ {pair} }}], client_ca = '{}'", ca.display());
    let portolan = started(&tls, &backend);
    let is_held = || {
        if let Ok(mut session) = authority.client().try_connect(portolan.address(), "a.example") {
            session.connection.send(GET);
            assert!(session.connection.read().is_err(), "a stranger was served");
        }
        let mut known = authority.client_as("client").connect(portolan.address(), "a.example");
        assert_eq!(known.connection.exchange(GET).status(), 200);
    };
    is_held();
    fs::remove_file(&ca).expect("removed");
    let failed = "portolan_tls_certificate_reloads_total{result=\"failed\"}";
    eventually(|| portolan.metric(failed) >= 1.0);
    is_held();
    // A file that the proxy is told to take over is refused as a whole.
    let answer = portolan.reload(&text(&tls, "", &backend));
    assert!(answer.text().contains("P0330"), "{answer:?}");
    is_held();
    assert_eq!(backend.requests().len(), 3);
}
