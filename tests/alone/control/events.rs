//! The event stream over a socket.

use super::*;
use crate::support::Connection;

/// A client of the event stream.
pub(super) struct Stream {
    connection: Connection,
    text: String,
}

/// An event as it came.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) kind: String,
    pub(super) data: Value,
}

impl Stream {
    /// Opens the stream after event `last`, or from now on.
    #[track_caller]
    pub(super) fn open(proxy: &Portolan, last: Option<&str>) -> Self {
        let mut connection = Connection::open(proxy.admin);
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let host = proxy.admin;
        connection.send(format!("GET /api/v1/events HTTP/1.1\r\nhost: {host}\r\n{last}\r\n"));
        let head = connection.read_head().expect("a head");
        assert_eq!(head.field("content-type"), Some("text/event-stream"), "{head:?}");
        Self { connection, text: String::new() }
    }

    /// The next event; comments are skipped.
    #[track_caller]
    pub(super) fn next(&mut self) -> Event {
        loop {
            while !self.text.contains("\n\n") {
                self.read_chunk();
            }
            let (event, rest) = self.text.split_once("\n\n").expect("an event");
            let field = |name: &str| {
                let value =
                    |line: &str| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned());
                event.lines().find_map(value)
            };
            let (id, kind, data) = (field("id"), field("event"), field("data"));
            self.text = rest.to_owned();
            if let Some(data) = data {
                let data = serde_json::from_str(&data).expect("JSON");
                return Event { id, kind: kind.expect("a kind"), data };
            }
        }
    }

    #[track_caller]
    fn read_chunk(&mut self) {
        let line = self.connection.read_until(b"\r\n").expect("a chunk");
        let size = std::str::from_utf8(&line)
            .ok()
            .and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
        let size = size.expect("a size");
        assert_ne!(size, 0, "the stream ended");
        let chunk = self.connection.read_exact(size + 2).expect("a chunk");
        self.text.push_str(std::str::from_utf8(&chunk[..size]).expect("UTF-8"));
    }
}

#[test]
fn who_was_away_gets_what_happened_meanwhile() {
    let proxy = Portolan::start("");
    let mut stream = Stream::open(&proxy, None);
    assert_eq!(proxy.put("app/a", "", r#"{"port": 80}"#).status(), 201);
    let first = stream.next();
    assert_eq!((first.kind.as_str(), &first.data["instance"]), ("registered", &"a".into()));
    let state = stream.next();
    assert_eq!(
        (state.kind.as_str(), &state.data["detail"]),
        ("state", &"starting -> healthy".into())
    );
    drop(stream);
    assert_eq!(proxy.delete("app/a", "").status(), 200);
    assert_eq!(proxy.reload("[[route]]\nredirect = { to = '/x' }\n").status(), 200);
    let mut stream = Stream::open(&proxy, state.id.as_deref());
    let mut kinds = [stream.next(), stream.next(), stream.next()].map(|event| event.kind);
    kinds.sort();
    assert_eq!(kinds, ["config_reloaded", "deregistered", "drained"]);
    assert_eq!(proxy.put("app/b", "", r#"{"port": 80}"#).status(), 201);
    assert_eq!(stream.next().data["instance"], "b");
    let proxy = proxy.restart();
    let mut stream = Stream::open(&proxy, state.id.as_deref());
    let reset = stream.next();
    assert_eq!((reset.kind.as_str(), reset.id), ("reset", None), "of another run");
}

#[test]
fn a_stop_ends_the_streams() {
    let proxy = Portolan::start("");
    let mut stream = Stream::open(&proxy, None);
    drop(proxy);
    stream.connection.wait_for_end();
}

#[test]
fn the_status_tells_how_it_is_going() {
    let proxy = Portolan::start(PROBED);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    eventually(|| proxy.status()["requests"]["ok"] == 3);
    let status = proxy.status();
    assert_eq!(
        (&status["workers"], &status["services"], &status["routes"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!((&status["ready"], &status["store"]["state"]), (&true.into(), &"writable".into()));
    assert_eq!(status["instances"]["healthy"], 1);
    assert_eq!(status["listeners"][0], proxy.address().to_string());
    assert_eq!(status["admin"], proxy.admin.to_string());
    assert_eq!(status["attention"].as_array().map(Vec::len), Some(0), "{status}");
    assert_eq!(proxy.metric("portolan_service_panic{service=\"app\"}"), 0.0);
}
