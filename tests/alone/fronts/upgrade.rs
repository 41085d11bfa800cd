//! A front over an upgrade: its socket, its open connections and what was said
//! go to the new process.

use super::{backend, call, eureka::body};
use crate::support::{Connection, Portolan, eventually};

#[test]
fn a_front_goes_on_in_the_process_that_takes_over() {
    let config = "[[front]]\neureka = true\n[[route]]\nservice = 'orders'\n";
    let mut proxy = Portolan::spawned(config, |_, _| {});
    let (backend, front) = (backend(), proxy.fronts[0]);
    let registered = call(front, "POST", "/eureka/apps/ORDERS", &body(backend.address, "UP", 1));
    assert_eq!(registered.status(), 204);
    eventually(|| proxy.get("/").text() == "here");
    let path = format!("/eureka/apps/ORDERS/h:orders:{}", backend.address.port());
    let renewal = format!("PUT {path} HTTP/1.1\r\nhost: {front}\r\ncontent-length: 0\r\n\r\n");
    let mut open = Connection::open(front);
    assert_eq!(open.exchange(&renewal).status(), 200);
    proxy.upgrade();
    // By a connection to the old process, which passes it on, and by a new one.
    let passed_on = open.exchange(&renewal);
    assert_eq!(passed_on.status(), 200, "{passed_on:?}");
    assert_eq!(passed_on.field("connection"), Some("close"));
    assert_eq!(call(front, "PUT", &path, "").status(), 200);
    drop(open);
    assert_eq!(proxy.exit().code(), Some(0));
    assert_eq!(proxy.get("/").text(), "here");
    assert_eq!(call(front, "DELETE", &path, "").status(), 200);
    eventually(|| proxy.get("/").status() == 503);
}
