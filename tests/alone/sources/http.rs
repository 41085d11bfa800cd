//! A list of instances that a server answers with.

use std::sync::{Arc, Mutex};

use super::*;
use crate::support::tls::Authority;

/// A server whose answer can be changed.
struct Server {
    backend: Backend,
    answer: Arc<Mutex<String>>,
}

impl Server {
    fn start() -> Self {
        let answer = Arc::new(Mutex::new(String::new()));
        let current = Arc::clone(&answer);
        let backend = Backend::start(move |mut accepted| {
            while let Some(request) = accepted.request() {
                let answer = current.lock().expect("no panic").clone();
                // Silence, and the end of it.
                if answer.is_empty() {
                    return;
                }
                let known = request.field("if-none-match");
                let is_same = known.is_some_and(|tag| answer.contains(&format!("etag: {tag}\r\n")));
                match is_same {
                    true => accepted.send("HTTP/1.1 304 Not Modified\r\n\r\n"),
                    false => accepted.send(answer),
                }
            }
        });
        Self { backend, answer }
    }

    fn says(&self, answer: impl Into<String>) {
        *self.answer.lock().expect("no panic") = answer.into();
    }

    /// Answers with `instances`, tagged with `tag` unless that is empty.
    fn lists(&self, tag: &str, instances: &[Value]) {
        let body = json!({ "instances": instances }).to_string();
        let tag = if tag.is_empty() { String::new() } else { format!("etag: \"{tag}\"\r\n") };
        let length = body.len();
        self.says(format!("HTTP/1.1 200 OK\r\n{tag}content-length: {length}\r\n\r\n{body}"));
    }

    fn section(&self, more: &str) -> String {
        section(&format!("http://{}/fleet/instances/?env=test", self.backend.address), more)
    }
}

fn section(url: &str, more: &str) -> String {
    format!(
        "[[source]]\nkind = 'http'\nurl = '{url}'\ninterval = '100ms'\ntimeout = '500ms'\n{more}\n"
    )
}

#[test]
fn a_list_is_asked_for_again_and_sent_once() {
    let (server, backend) = (Server::start(), named("one"));
    server.lists("v1", &[app("a", backend.address)]);
    let token = server.section("token = 's3cret'");
    let portolan = Portolan::start(&format!("{token}{ROUTE}"));
    eventually(|| answers(&portolan, "one"));
    eventually(|| server.backend.requests().len() > 4);
    let requests = server.backend.requests();
    let tags: Vec<_> = requests.iter().map(|request| request.field("if-none-match")).collect();
    assert_eq!(tags[0], None);
    assert!(tags[1..].iter().all(|tag| *tag == Some("\"v1\"")), "{tags:?}");
    assert_eq!(requests[0].field("authorization"), Some("Bearer s3cret"));
    assert_eq!(requests[0].target(), "/fleet/instances/?env=test");
    assert_eq!(server.backend.connections(), 1, "the connection is kept");
    let view = source(&portolan, "http");
    assert_eq!((&view["connected"], &view["failures"]), (&true.into(), &0.into()));

    let other = named("two");
    server.lists("v2", &[app("a", other.address)]);
    eventually(|| answers(&portolan, "two"));
    // Who asks for all of it gets all of it.
    let before = server.backend.requests().len();
    portolan.admin("POST", "/api/v1/sources/http/resync", "");
    eventually(|| {
        let requests = server.backend.requests();
        requests[before..].iter().any(|request| request.field("if-none-match").is_none())
    });
    // Without a tag the whole list comes each time.
    server.lists("", &[]);
    eventually(|| portolan.get("/").reason() == "no_healthy_instance");
}

#[test]
fn what_is_no_list_takes_nothing_away() {
    let (server, backend) = (Server::start(), named("one"));
    server.lists("", &[app("a", backend.address)]);
    let portolan = Portolan::start(&format!("{}{ROUTE}", server.section("max_size = '4KiB'")));
    eventually(|| answers(&portolan, "one"));
    let long = "x".repeat(5000);
    let encoded = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}";
    let wrong = [
        ("HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nlate".to_owned(), "status 503: late"),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned(), "status 404"),
        // Nobody said which one is known.
        ("HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(), "status 304"),
        (
            "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "status 302",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(), "not a JSON object"),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{long}"), "longer than 4096"),
        (format!("HTTP/1.1 200 OK\r\n\r\n{long}"), "longer than 4096"),
        (encoded.to_owned(), "encoded as"),
        ("nonsense\r\n\r\n".to_owned(), "the answer is broken"),
        (String::new(), "the answer is broken"),
    ];
    for (answer, why) in wrong {
        server.says(&*answer);
        // It waits longer after each failure.
        portolan.admin("POST", "/api/v1/sources/http/resync", "");
        eventually(|| source(&portolan, "http")["last_error"].to_string().contains(why));
        assert!(answers(&portolan, "one"), "{why}");
        let view = source(&portolan, "http");
        assert_eq!((&view["connected"], &view["instances"]), (&false.into(), &1.into()), "{why}");
    }
    server.lists("", &[app("a", backend.address), json!({ "service": "app" })]);
    portolan.admin("POST", "/api/v1/sources/http/resync", "");
    eventually(|| source(&portolan, "http")["connected"] == true);
    assert!(source(&portolan, "http")["rejected"].to_string().contains("address"));
}

#[test]
fn a_server_that_hangs_is_not_waited_for() {
    let (silent, backend) = (
        Backend::start(|mut accepted| {
            accepted.request();
            accepted.request();
        }),
        named("one"),
    );
    let url = format!("http://{}/", silent.address);
    let lists = Lists::new();
    lists.write("list", &[app("a", backend.address)]);
    let portolan =
        Portolan::start(&format!("{}{}{ROUTE}", section(&url, ""), lists.section("list")));
    eventually(|| source(&portolan, "http")["last_error"].to_string().contains("no answer within"));
    assert!(answers(&portolan, "one"), "others are not held up");
}

#[test]
fn the_server_is_verified() {
    let (server, backend, authority) = (Server::start(), named("one"), Authority::new());
    server.lists("", &[app("a", backend.address)]);
    authority.issue("server", &["127.0.0.1"]);
    let secure = authority.server("server", server.backend.address, false);
    let url = format!("https://{secure}/fleet");
    let portolan = Portolan::start(&format!("{}{ROUTE}", section(&url, "")));
    eventually(|| source(&portolan, "http")["last_error"].to_string().contains("no TLS"));
    assert!(server.backend.requests().is_empty());
    let trusted = section(&url, &format!("tls = {{ ca = '{}' }}", authority.ca()));
    assert_eq!(portolan.reload(&format!("{trusted}{ROUTE}")).status(), 200);
    eventually(|| answers(&portolan, "one"));
}
