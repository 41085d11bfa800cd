//! Every reason is produced here, and is the same word in the error body, in
//! the access log and in the metrics.
//!
//! [`provoke`] matches on every [`Reason`], so that a new one does not compile
//! without a way to produce it.

use std::{thread, time::Duration};

use http::Request;
use portolan::model::Reason;

use crate::support::{
    Backend, Connection, Message, Portolan, Silence, eventually,
    frames::{self, CANCEL, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, fields, frame},
    http2::Http2,
    tls::Authority,
};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
const UPGRADE: &str =
    "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// What a reason was produced with. Instances live as long as this.
struct Scene {
    portolan: Portolan,
    /// What the client got; none if it did not get a response.
    answer: Option<Message>,
    _backends: Vec<Backend>,
}

impl Scene {
    fn new(portolan: Portolan, backends: Vec<Backend>) -> Self {
        Self { portolan, answer: None, _backends: backends }
    }

    fn answered(mut self, answer: Message) -> Self {
        self.answer = Some(answer);
        self
    }

    /// Sends `request` and reads the response.
    fn asked(self, request: &str) -> Self {
        let answer = self.portolan.exchange(request);
        self.answered(answer)
    }
}

/// A proxy before an instance that sends `answer` to each request and then
/// waits.
fn before(answer: &'static str, service: &str) -> Scene {
    let backend = Backend::start(move |mut accepted| {
        accepted.head();
        accepted.send(answer);
        accepted.connection.wait_for_end();
    });
    Scene::new(Portolan::with(service, backend.address), vec![backend])
}

/// A proxy with `config` alone.
fn alone(config: &str) -> Scene {
    Scene::new(Portolan::start(config), Vec::new())
}

/// A proxy before the address `endpoint`, whatever is there.
fn at(endpoint: &str, service: &str) -> Scene {
    alone(&format!(
        "[service.app]\nendpoints = ['{endpoint}']\n{service}\n[[route]]\nservice = 'app'"
    ))
}

fn upgraded(scene: &Scene) -> Connection {
    let mut client = scene.portolan.connect();
    client.send(UPGRADE);
    assert_eq!(client.read_head().expect("a head").status(), 101);
    client
}

/// The scene that ends one request for `reason`; none where that cannot be
/// done from outside.
fn provoke(reason: Reason) -> Option<Scene> {
    let scene = match reason {
        Reason::Ok => before(OK, "").asked(GET),
        Reason::Redirect => alone("[[route]]\nredirect = { to = '/x' }").asked(GET),
        Reason::Answered => alone("").asked("OPTIONS * HTTP/1.1\r\nhost: test\r\n\r\n"),
        Reason::TunnelClosed => {
            let scene = before(SWITCHING, "");
            drop(upgraded(&scene));
            scene
        }
        Reason::TunnelIdleTimeout => {
            let scene = before(SWITCHING, "timeouts = { tunnel_idle = '200ms' }");
            upgraded(&scene).wait_for_end();
            scene
        }
        Reason::ClientGone => {
            let scene = before("", "");
            let mut client = scene.portolan.connect();
            client.send(GET);
            eventually(|| scene.portolan.in_flight("app") == 1);
            drop(client);
            scene
        }
        Reason::ProxyHeaderInvalid => {
            let listener = "[[listener]]\nproxy_protocol = { from = ['127.0.0.0/8'] }";
            let scene = alone(listener);
            let mut client = scene.portolan.connect();
            client.send(GET);
            client.wait_for_end();
            scene
        }
        Reason::Flood => {
            let scene = alone("[[listener]]\nhttp2 = { max_cancels = 5 }");
            let mut client = Frames::open(scene.portolan.address());
            for stream in (1..100).step_by(2) {
                let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&frames::GET));
                let cancel = frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
                if client.connection.try_send([head, cancel].concat()).is_err() {
                    break;
                }
            }
            client.rest();
            scene
        }
        Reason::RequestInvalid => before(OK, "").asked("GET / HTTP/1.1\r\n\r\n"),
        Reason::NoRoute => alone("").asked(GET),
        Reason::MethodRefused => before(OK, "").asked("TRACE / HTTP/1.1\r\nhost: test\r\n\r\n"),
        Reason::HeadTimeout => {
            alone("[[listener]]\nhead_timeout = '200ms'").asked("GET / HTTP/1.1\r\nhost:")
        }
        Reason::RequestBodyTimeout => before("", "timeouts = { idle = '200ms' }")
            .asked("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nhalf"),
        Reason::RequestTooLarge => before(OK, "limits = { body = '1B' }")
            .asked("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi"),
        Reason::TargetTooLong => {
            let target = "a".repeat(20_000);
            before(OK, "").asked(&format!("GET /{target} HTTP/1.1\r\nhost: test\r\n\r\n"))
        }
        Reason::ExpectationRefused => {
            before(OK, "").asked("GET / HTTP/1.1\r\nhost: test\r\nexpect: tea\r\n\r\n")
        }
        Reason::Misdirected => {
            let authority = Authority::new();
            let pair = authority.issue("a", &["a.example"]);
            let scene = alone(&format!(
                "[[listener]]\ntls = {{ certificates = [{{ {pair} }}], \
                 host = [{{ name = 'test', client_ca = '{}' }}] }}",
                authority.ca()
            ));
            let mut client = authority.client().connect(scene.portolan.address(), "a.example");
            let answer = client.connection.exchange(GET);
            scene.answered(answer)
        }
        Reason::HeadTooLarge => {
            let config = "[[listener]]\nmax_head_size = '1KiB'";
            let value = "a".repeat(2000);
            alone(config).asked(&format!("GET / HTTP/1.1\r\nhost: test\r\nx-a: {value}\r\n\r\n"))
        }
        // The proxy failing by itself would be a defect.
        Reason::InternalError => return None,
        Reason::CodingRefused => before(OK, "").asked(
            "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        Reason::VersionRefused => alone("").asked("GET / HTTP/1.2\r\nhost: test\r\n\r\n"),
        Reason::ProtocolRefused => {
            let scene = before(OK, "");
            let client = Http2::open(scene.portolan.address());
            eventually(|| client.extends_connect());
            let mut request = Request::connect("http://test/").body(()).expect("a request");
            request.extensions_mut().insert(h2::ext::Protocol::from_static("connect-udp"));
            let answer = client.exchange(request, b"").expect("an answer");
            scene.answered(answer.message())
        }
        Reason::ConnectRefused => at(&Backend::refusing().to_string(), "").asked(GET),
        // The broadcast address: nothing can be connected to it.
        Reason::ConnectFailed => at("255.255.255.255:9", "").asked(GET),
        Reason::TlsCertificateError => {
            let authority = Authority::new();
            authority.issue("app", &["127.0.0.1"]);
            let backend = Backend::answering(OK);
            let address = authority.server("app", backend.address, false);
            let ca = Authority::new();
            let tls = format!("tls = {{ ca = '{}' }}", ca.ca());
            at(&format!("https://{address}"), &tls).asked(GET)
        }
        Reason::TlsProtocolError => {
            let backend = Backend::start(|mut accepted| {
                let _ = accepted.connection.read();
                accepted.send(OK);
            });
            let endpoint = format!("https://{}", backend.address);
            at(&endpoint, "tls = { verify = false }").asked(GET)
        }
        Reason::DnsError => at("nothing.invalid:80", "timeouts = { connect = '25s' }").asked(GET),
        Reason::AddressDenied => {
            let scene = alone(
                "[registry]\nallow_loopback = false\n[service.app]\n[[route]]\nservice = 'app'",
            );
            let body = r#"{"address": "localhost:9"}"#;
            let path = "/api/v1/services/app/instances/a?wait=routable";
            let answer = scene.portolan.admin("PUT", path, body);
            assert_eq!(answer.status(), 201, "{answer:?}");
            scene.asked(GET)
        }
        Reason::UpstreamReset => {
            let backend = Backend::start(|mut accepted| {
                accepted.request();
            });
            Scene::new(Portolan::before(backend.address), vec![backend]).asked(GET)
        }
        Reason::UpstreamProtocolError => before("hello\r\n\r\n", "").asked(GET),
        Reason::NoHealthyInstance => alone("[service.app]\n[[route]]\nservice = 'app'").asked(GET),
        Reason::CircuitOpen => {
            // Every answer is a failure, and the first one is enough.
            let breaker = "breaker = { failure_rate = 1, min_requests = 1, open = '1h' }";
            let failing = "HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n";
            let scene = before(failing, breaker);
            assert_eq!(scene.portolan.exchange(GET).status(), 500);
            scene.asked(GET)
        }
        Reason::Overload => full("queue = 0", "").asked(GET),
        Reason::QueueTimeout => full("queue = 1", "timeouts = { queue = '200ms' }").asked(GET),
        Reason::ProxyExhausted => exhausted(),
        Reason::ConnectTimeout => {
            let silence = Silence::start();
            let service = "timeouts = { connect = '200ms' }";
            at(&silence.address.to_string(), service).asked(GET)
        }
        Reason::ResponseTimeout => before("", "timeouts = { response = '200ms' }").asked(GET),
        Reason::RequestTimeout => before("", "timeouts = { request = '200ms' }").asked(GET),
        Reason::DrainTimeout => left("", "timeouts = { drain = '200ms' }").asked(GET),
        Reason::ResponseIdleTimeout => {
            let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
            before(half, "timeouts = { idle = '200ms' }").asked(GET)
        }
        Reason::ResponseTruncated => {
            let backend = Backend::start(|mut accepted| {
                accepted.request();
                accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
            });
            Scene::new(Portolan::before(backend.address), vec![backend]).asked(GET)
        }
        Reason::LoopDetected => {
            let via = "via: 1.1 portolan\r\n".repeat(10);
            before(OK, "").asked(&format!("GET / HTTP/1.1\r\nhost: test\r\n{via}\r\n"))
        }
    };
    Some(scene)
}

/// A service with one instance that registered, sends `answer` to its first
/// request, and leaves a moment later.
fn left(answer: &'static str, service: &str) -> Scene {
    let mut scene = before(answer, "");
    let address = scene._backends[0].address;
    scene.portolan =
        Portolan::start(&format!("[service.app]\n{service}\n[[route]]\nservice = 'app'"));
    scene.portolan.register("app/a", address);
    let admin = scene.portolan.admin;
    thread::spawn(move || {
        let in_flight = || {
            let view = get(admin, "/api/v1/services/app").json();
            view["instances"][0]["in_flight"] == 1
        };
        eventually(in_flight);
        Connection::open(admin).exchange(format!(
            "DELETE /api/v1/services/app/instances/a HTTP/1.1\r\nhost: {admin}\r\n\r\n"
        ));
    });
    scene
}

fn get(address: std::net::SocketAddr, path: &str) -> Message {
    Connection::open(address).exchange(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n"))
}

/// A service at its limit of one, with more `limits` and settings.
fn full(limits: &str, service: &str) -> Scene {
    let service = format!("limits = {{ concurrency = 1, {limits} }}\n{service}");
    let scene = before("", &service);
    let mut first = scene.portolan.connect();
    first.send(GET);
    eventually(|| scene.portolan.in_flight("app") == 1);
    // It stays until the proxy stops.
    std::mem::forget(first);
    scene
}

/// A process whose last descriptor is in the hands of a client that asks.
fn exhausted() -> Scene {
    let backend = Backend::answering(OK);
    let config = format!(
        "[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n\
         [[route]]\npath = '/own'\nredirect = {{ to = '/' }}",
        backend.address
    );
    let scene = Scene::new(Portolan::apart(&config, 64), vec![backend]);
    let mut clients = Vec::new();
    loop {
        let mut client = scene.portolan.connect();
        client.send("GET /own HTTP/1.1\r\nhost: test\r\n\r\n");
        if client.is_silent_for(Duration::from_secs(3)) {
            // No descriptor is left to accept it with.
            break;
        }
        client.read_response();
        clients.push(client);
    }
    let answer = clients[0].exchange(GET);
    scene.answered(answer)
}

fn check(reason: Reason) {
    let Some(scene) = provoke(reason) else { return };
    let word = reason.as_str();
    if let Some(status) = reason.status() {
        let answer = scene.answer.as_ref().expect("the proxy answers");
        assert_eq!(answer.status(), status, "{word}: {answer:?}");
        assert_eq!(answer.reason(), word, "{answer:?}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        let after = answer.field("retry-after").map(|value| value.parse().expect("seconds"));
        assert_eq!(after.is_some(), status == 503, "{word}: {answer:?}");
        assert!(after.is_none_or(|seconds: u32| seconds > 0), "{word}: {answer:?}");
        let local = format!("portolan_local_responses_total{{reason=\"{word}\"}}");
        eventually(|| scene.portolan.metric(&local) == 1.0);
    }
    let line = scene.portolan.logged_reason(word);
    if let Some(answer) = &scene.answer {
        assert_eq!(line["status"], answer.status(), "{word}: {line}");
    }
    eventually(|| scene.portolan.ended(word) == 1.0);
}

#[test]
fn every_reason_is_one_word_everywhere() {
    thread::scope(|scope| {
        let started = Reason::ALL.iter().map(|reason| (reason, scope.spawn(|| check(*reason))));
        let started: Vec<_> = started.collect();
        let ended = started.into_iter().map(|(reason, thread)| (reason, thread.join()));
        let failed = ended.filter(|(_, ended)| ended.is_err()).map(|(reason, _)| reason);
        let failed: Vec<_> = failed.collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}
