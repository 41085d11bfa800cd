//! Trailers pass in both directions; what only a head may hold does not.

use crate::support::{Backend, Portolan};

#[test]
fn trailers_of_a_response_pass_without_the_forbidden_ones() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum, content-length, set-cookie\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 7\r\ncontent-length: 99\r\nset-cookie: a=b\r\n\r\n",
    );
    let portolan = Portolan::before(backend.address);
    let answer = portolan.exchange("GET / HTTP/1.1\r\nhost: test\r\nte: trailers\r\n\r\n");
    assert_eq!(answer.text(), "hi");
    assert_eq!(answer.trailer("x-sum"), Some("7"));
    assert_eq!(answer.trailers.len(), 1, "{answer:?}");
    assert_eq!(backend.only_request().field("te"), Some("trailers"));
}

#[test]
fn a_client_that_does_not_want_trailers_gets_none() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let portolan = Portolan::before(backend.address);
    let answer = portolan.get("/");
    assert!(answer.complete && answer.trailers.is_empty(), "{answer:?}");
}

#[test]
fn trailers_of_a_request_pass_without_the_forbidden_ones() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::before(backend.address);
    let answer = portolan.exchange(
        "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\
         trailer: x-sum, authorization, host\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 7\r\nauthorization: evil\r\nhost: evil\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let request = backend.only_request();
    assert_eq!(request.text(), "hi");
    assert_eq!(request.trailer("x-sum"), Some("7"));
    assert_eq!(request.trailers.len(), 1, "{request:?}");
}

#[test]
fn b6_trailers_are_no_way_around_what_a_head_may_not_say() {
    let backend = Backend::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::before(backend.address);
    let answer = portolan.exchange(
        "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nhi\r\n0\r\nx-sum: 7\r\nx-forwarded-for: 1.2.3.4\r\nforwarded: for=1.2.3.4\r\n\
         x-real-ip: 1.2.3.4\r\nx-portolan-user: evil\r\nx_forwarded_for: 1.2.3.4\r\n\
         proxy-authorization: evil\r\nproxy: evil\r\ncookie: evil=1\r\nx-request-id: evil\r\n\
         via: 1.1 evil\r\nclient-cert: :evil:\r\n\r\n",
    );
    assert_eq!(answer.status(), 200);
    let request = backend.only_request();
    assert_eq!(request.trailer("x-sum"), Some("7"));
    assert_eq!(request.trailers.len(), 1, "{request:?}");
}
