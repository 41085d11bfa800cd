//! What an instance leaves behind when it leaves: idle connections, which are
//! closed, and requests, which have their time and are then cut.

use super::{drain::tunnel, *};
use crate::support::{Backend, Connection, Echo, Silence};

const SHORT: &str = "[service.app]\ntimeouts = { drain = '300ms' }\n[[route]]\nservice = 'app'\n";

#[test]
fn idle_connections_are_closed_at_once() {
    let proxy = Portolan::start("[service.app]\n[[route]]\nservice = 'app'\n");
    let (one, two) =
        (Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Echo::start("two"));
    proxy.register("app/one", one.address);
    // Over enough connections to get to both workers.
    let mut clients: Vec<_> = (0..20).map(|_| proxy.connect()).collect();
    for client in &mut clients {
        let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(answer.status(), 200);
    }
    assert!(one.open() > 0, "connections are kept");
    proxy.register("app/two", two.address());
    let view = proxy.deregister("app/one").json();
    assert_eq!((&view["drained"], &view["cut"]), (&true.into(), &0.into()), "{view}");
    eventually(|| one.open() == 0);
}

#[test]
fn a_connection_whose_last_request_ends_late_is_closed_too() {
    let proxy = Portolan::start(PROBED);
    let one = Steered::start("one");
    proxy.put("app/one", "?wait=routable", &one.body(""));
    let before = one.open();
    let mut client = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| proxy.in_flight("app") == 1);
    assert_eq!(proxy.delete("app/one", "").status(), 200);
    one.let_go();
    assert_eq!(client.read_response().text(), "one");
    eventually(|| one.open() <= before);
}

/// A stream, a tunnel, an upload and a request without an answer yet.
#[test]
fn what_takes_too_long_is_cut_and_counted() {
    let half = Backend::start(|mut accepted| {
        while let Some(head) = accepted.head() {
            match head.target() {
                "/stream" => accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
                "/tunnel" => accepted.send(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                     upgrade: websocket\r\n\r\n",
                ),
                _ => {}
            }
            accepted.connection.wait_for_end();
        }
    });
    let other = Echo::start("other");
    let proxy = Portolan::start(SHORT);
    proxy.register("app/half", half.address);
    let mut stream = proxy.connect();
    stream.send("GET /stream HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(stream.read_head().expect("a head").status(), 200);
    assert_eq!(stream.read_exact(4).expect("half"), b"half");
    let mut tunnel = tunnel(&proxy);
    let mut silent = proxy.connect();
    silent.send("GET /silent HTTP/1.1\r\nhost: test\r\n\r\n");
    let mut upload = proxy.connect();
    upload.send("POST /upload HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\nhalf");
    eventually(|| proxy.in_flight("app") == 4);
    proxy.register("app/other", other.address());

    let view = proxy.deregister("app/half").json();
    assert_eq!((&view["drained"], &view["in_flight"]), (&true.into(), &0.into()), "{view}");
    assert_eq!((&view["completed"], &view["cut"]), (&0.into(), &4.into()), "{view}");
    for client in [&mut silent, &mut upload] {
        let answer = client.read_response();
        assert_eq!((answer.status(), answer.reason()), (504, "drain_timeout".to_owned()));
    }
    stream.wait_for_end();
    tunnel.wait_for_end();
    assert_eq!(proxy.ended("drain_timeout"), 4.0);
    assert_eq!(proxy.get("/").status(), 200, "the other one goes on");
    let left = &proxy.status()["departures"][0];
    assert_eq!((&left["instance"], &left["successor"]), (&"half".into(), &"other".into()));
    assert_eq!((&left["requests"], &left["lost"]), (&4.into(), &4.into()), "{left}");
}

/// Nothing was sent to the one that leaves.
#[test]
fn who_still_waits_for_a_connection_is_sent_elsewhere() {
    let proxy = Portolan::start(
        "[service.app]\ntimeouts = { drain = '300ms', connect = '25s' }\n\
         [[route]]\nservice = 'app'\n",
    );
    let (silence, other) = (Silence::start(), Echo::start("other"));
    proxy.register("app/silent", silence.address);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi");
    eventually(|| proxy.in_flight("app") == 1);
    proxy.register("app/other", other.address());
    let view = proxy.deregister("app/silent").json();
    assert_eq!((&view["retried"], &view["cut"]), (&1.into(), &0.into()), "{view}");
    assert_eq!(client.read_response().status(), 200);
    assert_eq!(proxy.ended("drain_timeout"), 0.0);
}

/// It keeps the instance busy though nothing is asked of it any more.
#[test]
fn a_client_that_does_not_read_is_cut_too() {
    let proxy = Portolan::start(SHORT);
    let endless = Backend::start(|mut accepted| {
        accepted.head();
        accepted.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while accepted.connection.try_send([b'x'; 1 << 16]).is_ok() {}
    });
    proxy.register("app/endless", endless.address);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| proxy.in_flight("app") == 1);
    let view = proxy.deregister("app/endless").json();
    assert_eq!((&view["drained"], &view["cut"]), (&true.into(), &1.into()), "{view}");
    assert_eq!(proxy.ended("drain_timeout"), 1.0);
    drop(client);
}

#[test]
fn whoever_is_in_time_is_not_cut() {
    let proxy =
        Portolan::start("[service.app]\ntimeouts = { drain = '0s' }\n[[route]]\nservice = 'app'\n");
    let one = Steered::start("one");
    proxy.register("app/one", one.address());
    let mut tunnel = tunnel(&proxy);
    let view = proxy.delete("app/one", "?wait=drained&timeout=700ms").json();
    assert_eq!((&view["in_flight"], &view["cut"]), (&1.into(), &0.into()), "{view}");
    tunnel.send("still there");
    assert_eq!(tunnel.read_exact(11).expect("an echo"), b"still there");
    drop(tunnel);
    let view = proxy.deregister("app/one").json();
    assert_eq!((&view["completed"], &view["cut"]), (&1.into(), &0.into()), "{view}");
}

#[test]
fn an_endpoint_that_the_file_does_not_name_any_more_leaves_too() {
    let one = Steered::start("one");
    let config = |endpoints: &str| {
        format!(
            "[service.app]\ntimeouts = {{ drain = '300ms' }}\nendpoints = [{endpoints}]\n[[route]]\nservice = 'app'\n"
        )
    };
    let proxy = Portolan::start(&config(&format!("'{}'", one.address())));
    let mut client: Connection = proxy.connect();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    eventually(|| proxy.in_flight("app") == 1);
    assert_eq!(proxy.reload(&config("")).status(), 200);
    let answer = client.read_response();
    assert_eq!((answer.status(), answer.reason()), (504, "drain_timeout".to_owned()));
    eventually(|| proxy.status()["departures"][0]["lost"] == 1);
}
