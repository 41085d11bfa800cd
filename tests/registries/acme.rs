//! Certificates from a real CA that speaks ACME.

mod several;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::{
    servers::pebble::Pebble,
    support::{
        Backend, Portolan, eventually,
        tls::{Client, Session},
    },
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Takes any certificate: the CA makes itself a new root at each start.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client() -> Client {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth();
    Client(Arc::new(config))
}

/// The certificate that is shown for `name`, once there is one.
#[track_caller]
fn shown(address: SocketAddr, name: &str) -> CertificateDer<'static> {
    let found = Mutex::new(None);
    eventually(|| {
        let session = client().try_connect(address, name).ok();
        let is_for = |session: &Session| {
            session.certificate.windows(name.len()).any(|part| part == name.as_bytes())
        };
        let session = session.filter(is_for);
        *found.lock().expect("no panic") = session.map(|session| session.certificate);
        found.lock().expect("no panic").is_some()
    });
    found.into_inner().expect("no panic").expect("a certificate")
}

/// A config file with a listener for proofs by requests, and one with TLS.
fn text(pebble: &Pebble, names: &str, more: &str, backend: &Backend) -> String {
    let [plain, tls] = pebble.looks_at;
    format!(
        "{}{more}\n[[listener]]\naddress = '{plain}'\nredirect_to_https = true\n\
         [[listener]]\naddress = '{tls}'\ntls = {{ acme = [{names}] }}\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n",
        pebble.section(),
        backend.address
    )
}

#[track_caller]
fn obtained(challenge: &str) {
    let pebble = Pebble::start(86_400, false);
    let backend = Backend::answering(OK);
    let names = "'Shop.example', 'www.shop.example'";
    let challenges = format!("challenges = ['{challenge}']");
    let portolan = Portolan::start(&text(&pebble, names, &challenges, &backend));
    let [_, tls] = pebble.looks_at;
    let (one, other) = (shown(tls, "shop.example"), shown(tls, "www.shop.example"));
    assert_ne!(one, other, "each name has a certificate of its own");
    let mut session = client().connect(tls, "shop.example");
    let answer = session.connection.exchange("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert_eq!(answer.status(), 200);

    // Kept for their owner alone, and not asked for again after a restart.
    let folder = fs::read_dir(portolan.folder().join("data/acme")).expect("a folder");
    let folder = folder.map(|entry| entry.expect("an entry").path()).next().expect("a directory");
    for name in ["account.json", "shop.example.pem", "www.shop.example.pem"] {
        let mode = fs::metadata(folder.join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let status = portolan.admin("GET", "/api/v1/status", "").json();
    assert_eq!(status["acme"][0]["name"], "shop.example", "{status}");
    assert_eq!(status["acme"][0]["failures"], 0);
    assert!(status["acme"][0]["expires"].is_string() && status["acme"][0]["next"].is_string());
    let issuer = status["certificates"][0]["issuer"].as_str().expect("a text");
    assert!(issuer.contains("Pebble"), "{issuer}");
    eventually(|| portolan.metric("portolan_acme_orders_total{result=\"ok\"}") >= 2.0);
    drop(session);
    let portolan = portolan.restart();
    assert_eq!(shown(tls, "shop.example"), one);
    assert_eq!(portolan.metric("portolan_acme_orders_total{result=\"ok\"}"), 0.0);
}

#[test]
fn names_are_proved_by_requests_although_all_others_are_redirected() {
    obtained("http-01");
}

#[test]
fn names_are_proved_by_handshakes() {
    obtained("tls-alpn-01");
}

#[test]
fn a_certificate_is_renewed_in_time_without_a_moment_without_one() {
    let pebble = Pebble::start(6, false);
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&text(&pebble, "'shop.example'", "", &backend));
    let [_, tls] = pebble.looks_at;
    let first = shown(tls, "shop.example");
    let mut seen = vec![first];
    eventually(|| {
        let now = client().connect(tls, "shop.example").certificate;
        if !seen.contains(&now) {
            seen.push(now);
        }
        seen.len() >= 3
    });
    eventually(|| portolan.metric("portolan_acme_orders_total{result=\"ok\"}") >= 3.0);
}

/// The CA is told which one is replaced, and takes that once only: who comes
/// with the same one again is refused, and then does without.
#[test]
fn the_ca_is_told_what_is_replaced() {
    let pebble = Pebble::steady(6);
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&text(&pebble, "'shop.example'", "", &backend));
    let [_, tls] = pebble.looks_at;
    let first = shown(tls, "shop.example");
    let folder = fs::read_dir(portolan.folder().join("data/acme")).expect("a folder");
    let folder = folder.map(|entry| entry.expect("an entry").path()).next().expect("a directory");
    let file = folder.join("shop.example.pem");
    let pem = fs::read(&file).expect("a file");
    eventually(|| client().connect(tls, "shop.example").certificate != first);
    let failed = "portolan_acme_orders_total{result=\"failed\"}";
    assert_eq!(portolan.metric(failed), 0.0);
    let portolan = portolan.restart_with(|| fs::write(&file, &pem).expect("a file"));
    eventually(|| portolan.metric(failed) >= 1.0);
    eventually(|| portolan.metric("portolan_acme_orders_total{result=\"ok\"}") >= 1.0);
    assert_eq!(portolan.metric(failed), 1.0);
    assert!(pebble.server.log().contains("replace"), "{}", pebble.server.log());
}

#[test]
fn a_certificate_is_renewed_when_the_ca_says_so() {
    // By its age it would be renewed after 200 seconds, and for one that it
    // has had for less than 15 no CA is believed.
    let pebble = Pebble::start(300, false);
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&text(&pebble, "'shop.example'", "", &backend));
    let [_, tls] = pebble.looks_at;
    let first = shown(tls, "shop.example");
    pebble.suggest(&first, "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
    // It is asked at the start, and then as rarely as it wants to be.
    let begun = Instant::now();
    let portolan = portolan.restart();
    eventually(|| client().connect(tls, "shop.example").certificate != first);
    assert!(begun.elapsed() < Duration::from_secs(100));
    eventually(|| portolan.metric("portolan_acme_orders_total{result=\"ok\"}") == 1.0);
    let status = portolan.admin("GET", "/api/v1/status", "").json();
    assert_eq!(status["acme"][0]["failures"], 0, "{status}");
}

#[test]
fn what_fails_is_told_and_leaves_what_is_there() {
    let mut pebble = Pebble::start(86_400, false);
    let backend = Backend::answering(OK);
    let portolan =
        Portolan::start(&text(&pebble, "'blocked.example', 'shop.example'", "", &backend));
    let [_, tls] = pebble.looks_at;
    // One name that the CA refuses keeps no other from its certificate.
    let one = shown(tls, "shop.example");
    let status = || portolan.admin("GET", "/api/v1/status", "").json();
    eventually(|| status()["acme"][0]["error"].as_str().is_some_and(|it| it.contains("blocked")));
    let attention = status()["attention"].to_string();
    assert!(attention.contains("blocked.example: no new certificate"), "{attention}");
    assert!(portolan.metric("portolan_acme_failing_names") >= 1.0);
    // A name without a certificate is shown that of another; browsers refuse it.
    assert_eq!(client().connect(tls, "blocked.example").certificate, one);
    // Without the CA, what is there stays, also over a restart.
    pebble.server.kill();
    let portolan = portolan.restart();
    assert_eq!(shown(tls, "shop.example"), one);
    eventually(|| {
        let status = portolan.admin("GET", "/api/v1/status", "").json();
        status["acme"][0]["failures"].as_u64().is_some_and(|failures| failures >= 2)
    });
}

#[test]
fn an_account_elsewhere_is_told_where_it_is_asked_for() {
    let pebble = Pebble::start(86_400, true);
    let backend = Backend::answering(OK);
    let external = "external_account = { kid = 'kid-1', \
                    hmac = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W' }";
    let _portolan = Portolan::start(&text(&pebble, "'shop.example'", external, &backend));
    shown(pebble.looks_at[1], "shop.example");
}
