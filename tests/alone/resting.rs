//! A connection on which nothing happens keeps next to nothing, and whoever is
//! behind it does not notice. It begins to rest after a second.

use std::{thread::sleep, time::Duration};

use crate::support::{Backend, Echo, Ending, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhello";

/// Long enough to rest, with some slack.
fn idle() {
    sleep(Duration::from_millis(1500));
}

#[test]
fn it_is_served_again_when_bytes_come() {
    let echo = Echo::start("one");
    let portolan = Portolan::before(echo.address());
    let mut client = portolan.connect();
    for _ in 0..2 {
        assert_eq!(client.exchange(GET).json()["name"], "one");
        idle();
        assert_eq!(client.exchange(POST).json()["name"], "one");
        idle();
        // In pieces, and two at once.
        client.send(&GET[..7]);
        idle();
        client.send(&GET[7..]);
        assert_eq!(client.read_response().status(), 200);
        idle();
        client.send([GET, POST, GET].concat());
        for _ in 0..3 {
            assert_eq!(client.read_response().status(), 200);
        }
        idle();
    }
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.read_response().status(), 400);
}

#[test]
fn a_client_that_leaves_meanwhile_is_let_go() {
    let echo = Echo::start("one");
    let portolan = Portolan::before(echo.address());
    let mut client = portolan.connect();
    client.exchange(GET);
    let series = format!("portolan_connections{{listener=\"{}\"}}", portolan.address());
    let open = || portolan.metric(&series);
    idle();
    assert_eq!(open(), 1.0);
    client.finish();
    eventually(|| open() == 0.0);
}

#[test]
fn it_is_idle_for_no_longer_than_it_may() {
    let echo = Echo::start("one");
    let portolan = Portolan::start(&format!(
        "[[listener]]\nidle_timeout = '3s'\n[service.app]\nendpoints = ['{}']\n\
         [[route]]\nservice = 'app'",
        echo.address()
    ));
    let mut client = portolan.connect();
    client.exchange(GET);
    assert!(client.is_silent_for(Duration::from_secs(2)), "it stays");
    assert_eq!(client.wait_for_end(), Ending::Closed);
}

#[test]
fn a_stop_does_not_wait_for_it() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let text = format!(
        "shutdown_timeout = '10m'\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    );
    let mut portolan = Portolan::apart(&text, 1024);
    let mut client = portolan.connect();
    assert_eq!(client.exchange(GET).status(), 200);
    idle();
    portolan.signal(rustix::process::Signal::TERM);
    assert_eq!(client.wait_for_end(), Ending::Closed);
    assert_eq!(portolan.exit().code(), Some(0));
}
