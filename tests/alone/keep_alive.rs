//! Connections are kept, on both sides, for as long as both want.

use crate::support::{Backend, Echo, Ending, Portolan, eventually};

const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

#[test]
fn many_requests_share_one_connection_on_either_side() {
    let echo = Echo::start("one");
    let portolan = Portolan::before(echo.address());
    let mut client = portolan.connect();
    for _ in 0..20 {
        assert_eq!(client.exchange(GET).json()["name"], "one");
    }
    assert_eq!(echo.requests().len(), 20);
    assert_eq!(echo.connections(), 1);
}

#[test]
fn a_client_that_asks_to_close_is_closed_and_the_instance_is_not() {
    let echo = Echo::start("one");
    let portolan = Portolan::start(&format!(
        "workers = 1\n[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        echo.address()
    ));
    for _ in 0..3 {
        let mut client = portolan.connect();
        let answer = client.exchange("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(client.wait_for_end(), Ending::Closed);
    }
    assert_eq!(echo.connections(), 1);
}

#[test]
fn an_instance_that_closes_costs_the_client_nothing() {
    let backend = Backend::start(|mut accepted| {
        accepted.request();
        accepted.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi");
    });
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..3 {
        let answer = client.exchange(GET);
        assert_eq!(answer.text(), "hi");
        assert_eq!(answer.field("connection"), None);
        eventually(|| backend.open() == 0);
    }
    assert_eq!(backend.connections(), 3);
}
