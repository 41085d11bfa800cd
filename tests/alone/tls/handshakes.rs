//! Handshakes: names, versions, sessions, and clients that do not do as they
//! should.

use std::sync::Arc;

use rustls::{
    NamedGroup, ProtocolVersion,
    client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
    version::{TLS12, TLS13},
};

use super::{GET, OK, plain, started, text};
use crate::support::{Backend, Connection, Ending, Portolan, eventually, tls::Authority};

#[test]
fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let authority = Authority::new();
    let first = authority.issue("first", &["a.example"]);
    let wild = authority.issue("wild", &["*.b.example"]);
    let exact = authority.issue("exact", &["x.b.example"]);
    let backend = Backend::answering(OK);
    let tls = format!("certificates = [{{ {first} }}, {{ {wild} }}, {{ {exact} }}]");
    let portolan = started(&tls, &backend);
    let client = authority.client();
    for (name, file) in [("a.example", "first"), ("y.b.example", "wild"), ("x.b.example", "exact")]
    {
        let mut session = client.connect(portolan.address(), name);
        assert_eq!(session.certificate, authority.identity(file).0[0], "{name}");
        assert_eq!(session.connection.exchange(GET).status(), 200);
    }
    // To others the first one is shown, which is not theirs.
    let refused = client.try_connect(portolan.address(), "other.example");
    assert!(refused.is_err());
    let failed = "portolan_tls_handshake_failures_total{cause=\"refused\"}";
    eventually(|| portolan.metric(failed) == 1.0);
}

#[test]
fn strict_names_refuse_whoever_asks_for_another() {
    let authority = Authority::new();
    let pair = authority.issue("a", &["a.example", "127.0.0.1"]);
    let backend = Backend::answering(OK);
    let tls = format!("certificates = [{{ {pair} }}], strict_names = true");
    let portolan = started(&tls, &backend);
    let client = authority.client();
    client.connect(portolan.address(), "a.example");
    assert!(client.try_connect(portolan.address(), "b.example").is_err());
    // An address is no name that could be asked for.
    assert!(client.try_connect(portolan.address(), "127.0.0.1").is_err());
    let failed = "portolan_tls_handshake_failures_total{cause=\"unknown_name\"}";
    eventually(|| portolan.metric(failed) == 2.0);
}

#[test]
fn both_versions_are_spoken_and_logged() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let portolan = plain(&authority, &backend);
    for (version, protocol, logged) in
        [(&TLS12, ProtocolVersion::TLSv1_2, "1.2"), (&TLS13, ProtocolVersion::TLSv1_3, "1.3")]
    {
        let client = authority.client_speaking(version);
        let mut session = client.connect(portolan.address(), "a.example");
        assert_eq!(session.version, protocol);
        assert_eq!(session.alpn.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(session.connection.exchange(GET).status(), 200);
        let line = portolan.logged(if logged == "1.2" { 1 } else { 2 }).pop().expect("a line");
        assert_eq!(line["tls_version"], logged);
        assert_eq!((&line["sni"], &line["scheme"]), (&"a.example".into(), &"https".into()));
    }
    let request = backend.requests().pop().expect("a request");
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
}

#[test]
fn an_old_version_or_another_protocol_is_refused() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let tls = format!("certificates = [{{ {pair} }}], min_version = '1.3'");
    let portolan = started(&tls, &backend);
    let old = authority.client_speaking(&TLS12);
    assert!(old.try_connect(portolan.address(), "a.example").is_err());
    let other = authority.client().with(|config| config.alpn_protocols = vec![b"h3".to_vec()]);
    assert!(other.try_connect(portolan.address(), "a.example").is_err());
    let none = authority.client().with(|config| config.alpn_protocols.clear());
    let mut session = none.connect(portolan.address(), "a.example");
    assert_eq!(session.connection.exchange(GET).status(), 200);
    let failed = "portolan_tls_handshake_failures_total{cause=\"nothing_in_common\"}";
    eventually(|| portolan.metric(failed) == 2.0);
}

#[test]
fn a_session_is_resumed_by_whichever_worker_gets_it() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let portolan = plain(&authority, &backend);
    for version in [&TLS12, &TLS13] {
        let client = authority.client_speaking(version);
        let mut first = client.connect(portolan.address(), "a.example");
        assert!(!first.resumed);
        // Tickets come with what is read.
        assert_eq!(first.connection.exchange(GET).status(), 200);
        for _ in 0..8 {
            let mut next = client.connect(portolan.address(), "a.example");
            assert!(next.resumed, "{version:?}");
            assert_eq!(next.connection.exchange(GET).status(), 200);
        }
    }
    assert!(portolan.metric("portolan_tls_handshakes_total{kind=\"resumed\"}") >= 16.0);
    assert!(portolan.metric("portolan_tls_handshakes_total{kind=\"full\"}") >= 2.0);
}

#[test]
fn d12_early_data_is_not_offered() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let portolan = plain(&authority, &backend);
    let client = authority.client_speaking(&TLS13).with(|config| config.enable_early_data = true);
    for resumed in [false, true] {
        let mut session = client.connect(portolan.address(), "a.example");
        assert_eq!(session.resumed, resumed);
        assert_eq!(session.connection.exchange(GET).status(), 200);
    }
    // What a client that would send some knows by its ticket.
    let name = ServerName::try_from("a.example").expect("a name");
    let mut next = rustls::ClientConnection::new(Arc::clone(&client.0), name).expect("a client");
    assert!(next.early_data().is_none());
}

/// Offers the sessions of one name to any other.
#[derive(Debug)]
struct OneName(Arc<dyn ClientSessionStore>);

impl OneName {
    fn name() -> ServerName<'static> {
        ServerName::try_from("one").expect("a name")
    }
}

impl ClientSessionStore for OneName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::name(), group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::name())
    }
    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::name(), value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::name())
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::name());
    }
    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::name(), value);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::name())
    }
}

#[test]
fn no_session_is_resumed_under_another_rule_for_certificates() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example", "*.a.example"]);
    authority.issue("client", &["client.example"]);
    let tls = format!(
        "certificates = [{{ {pair} }}], \
         host = [{{ name = 'inner.a.example', client_ca = '{}' }}]",
        authority.ca()
    );
    let portolan = started(&tls, &backend);
    for version in [&TLS12, &TLS13] {
        let memory = Arc::new(rustls::client::ClientSessionMemoryCache::new(64));
        let client = authority.client_speaking(version).with(|config| {
            config.resumption = Resumption::store(Arc::new(OneName(memory)));
        });
        let mut open = client.connect(portolan.address(), "a.example");
        assert_eq!(open.connection.exchange(GET).status(), 200);
        let request = "GET / HTTP/1.1\r\nhost: inner.a.example\r\n\r\n";
        // Without a certificate, whatever session it offers.
        let served = client.try_connect(portolan.address(), "inner.a.example");
        if let Ok(mut session) = served {
            assert!(!session.resumed);
            session.connection.send(request);
            assert!(session.connection.read().is_err(), "it was served");
        }
    }
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn a_request_in_the_clear_is_told_so() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let portolan = plain(&authority, &backend);
    let mut connection = portolan.connect();
    let answer = connection.exchange(GET);
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("TLS"), "{answer:?}");
    assert_eq!(connection.wait_for_end(), Ending::Closed);
    let mut other = portolan.connect();
    other.send([0, 1, 2, 3]);
    other.wait_for_end();
    let failed = "portolan_tls_handshake_failures_total{cause=\"not_tls\"}";
    eventually(|| portolan.metric(failed) == 2.0);
    assert!(backend.requests().is_empty());
}

#[test]
fn a_first_message_in_pieces_is_read_whole() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let inner = authority.issue("inner", &["inner.example"]);
    let tls = format!("certificates = [{{ {pair} }}, {{ {inner} }}], strict_names = true");
    let portolan = started(&tls, &backend);
    // In many records, each in a segment of its own.
    let client = authority.client().with(|config| config.max_fragment_size = Some(64));
    let session = client.connect(portolan.address(), "inner.example");
    assert_eq!(session.certificate, authority.identity("inner").0[0]);
    // And byte by byte.
    let mut tls = rustls::ClientConnection::new(
        Arc::clone(&authority.client().0),
        ServerName::try_from("inner.example").expect("a name"),
    )
    .expect("a client");
    let mut stream = portolan.connect().into_stream();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).expect("a message");
    for byte in hello {
        std::io::Write::write_all(&mut stream, &[byte]).expect("sent");
    }
    tls.complete_io(&mut stream).expect("a handshake");
    let shown = tls.peer_certificates().expect("a certificate")[0].clone();
    assert_eq!(shown, authority.identity("inner").0[0]);
}

#[test]
fn handshakes_that_stop_half_way_are_bounded_and_end() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let tls = format!("certificates = [{{ {pair} }}], max_handshakes = 2");
    let text = format!("workers = 1\n{}", text(&tls, "head_timeout = '2s'", &backend));
    let portolan = Portolan::start(&text);
    let silent: Vec<_> = (0..20).map(|_| portolan.connect()).collect();
    let mut stuck: Vec<Connection> = (0..20).map(|_| portolan.connect()).collect();
    for connection in &mut stuck {
        // The beginning of a first message that says it is longer. On a slow
        // machine its time may be over.
        let _ = connection.try_send([0x16, 3, 1, 2, 0, 1]);
    }
    for mut connection in stuck.into_iter().chain(silent) {
        connection.wait_for_end();
    }
    let failed = |cause: &str| {
        portolan.metric(&format!("portolan_tls_handshake_failures_total{{cause=\"{cause}\"}}"))
    };
    eventually(|| failed("timed_out") + failed("displaced") == 40.0);
    eventually(|| {
        let session = authority.client().try_connect(portolan.address(), "a.example");
        session.is_ok_and(|mut session| session.connection.exchange(GET).status() == 200)
    });
}

#[test]
fn handshakes_that_stop_half_way_keep_nobody_out() {
    let (authority, backend) = (Authority::new(), Backend::answering(OK));
    let pair = authority.issue("a", &["a.example"]);
    let tls = format!("certificates = [{{ {pair} }}], max_handshakes = 2");
    let text = format!("workers = 1\n{}", text(&tls, "head_timeout = '10m'", &backend));
    let portolan = Portolan::start(&text);
    let mut stuck: Vec<Connection> = (0..2).map(|_| portolan.connect()).collect();
    for connection in &mut stuck {
        connection.send([0x16, 3, 1, 2, 0, 1]);
    }
    // One gives way, and the other has still all of its time.
    eventually(|| {
        let mut session = authority.client().connect(portolan.address(), "a.example");
        assert_eq!(session.connection.exchange(GET).status(), 200);
        portolan.metric("portolan_tls_handshake_failures_total{cause=\"displaced\"}") == 1.0
    });
    eventually(|| stuck.iter_mut().map(|one| usize::from(one.is_open())).sum::<usize>() == 1);
}

#[test]
fn everything_is_redirected_to_https() {
    let backend = Backend::answering(OK);
    let start = |more: &str| {
        Portolan::start(&format!(
            "[[listener]]\nredirect_to_https = true\n{more}\n\
             [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
            backend.address
        ))
    };
    let portolan = start("");
    let answer = portolan.exchange(
        "POST /a/b?c=d HTTP/1.1\r\nhost: Shop.example:8080\r\ncontent-length: 2\r\n\r\nhi",
    );
    assert_eq!(answer.status(), 308);
    assert_eq!(answer.field("location"), Some("https://shop.example/a/b?c=d"));
    assert_eq!(portolan.logged(1)[0]["reason"], "redirect");
    let answer = start("https_port = 8443").get("/");
    assert_eq!(answer.field("location"), Some("https://test:8443/"));
    assert!(backend.requests().is_empty());
}
