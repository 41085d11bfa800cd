//! Load balancers in front that say whose connection they pass on.

use std::time::Duration;

use crate::support::{Backend, Connection, Ending, Message, Portolan, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
const GET: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
const TEXT: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2, with `rest` after its fixed part.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short");
    [SIGNATURE, &[command, family], &length.to_be_bytes(), rest].concat()
}

fn v4() -> Vec<u8> {
    binary(0x21, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb])
}

fn v6() -> Vec<u8> {
    let mut rest = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    rest.extend([0; 16]);
    rest.extend([0x12, 0x67, 1, 0xbb]);
    // A TLV that means nothing here.
    rest.extend([5, 0, 3, 1, 2, 3]);
    binary(0x21, 0x21, &rest)
}

/// A proxy that has clients told by every loopback address, with more
/// `listener` settings, and the instance behind it.
fn told(listener: &str) -> (Portolan, Backend) {
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&format!(
        "[[listener]]\nproxy_protocol = {{ from = ['127.0.0.0/8'] }}\n{listener}\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    ));
    (portolan, backend)
}

/// What the instance and the log see of a request after `header`.
fn seen(header: impl AsRef<[u8]>) -> (Message, serde_json::Value) {
    let (portolan, backend) = told("");
    let answer = portolan.exchange([header.as_ref(), GET.as_bytes()].concat());
    assert_eq!(answer.text(), "hi", "{answer:?}");
    (backend.only_request(), portolan.logged(1).remove(0))
}

#[test]
fn the_client_is_whom_the_balancer_names() {
    for (header, client) in
        [(TEXT.as_bytes().to_vec(), "192.0.2.7"), (v4(), "192.0.2.7"), (v6(), "2001:db8::7")]
    {
        let (request, line) = seen(&header);
        assert_eq!(request.field("x-forwarded-for"), Some(client), "{header:?}");
        assert_eq!(line["client"], client);
        let peer = line["peer"].as_str().expect("an address");
        assert!(peer.starts_with("127.0.0.1:"), "{peer}");
    }
}

#[test]
fn a_balancer_that_speaks_for_itself_keeps_its_address() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        binary(0x20, 0x00, &[]),
        binary(0x21, 0x00, &[]),
        binary(0x21, 0x31, &[0; 216]),
    ] {
        let (request, line) = seen(&header);
        assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"), "{header:?}");
        assert_eq!(line["client"], "127.0.0.1");
    }
}

/// However it comes: each piece is seen before the next is sent.
#[test]
fn a_header_may_come_in_any_two_pieces() {
    let (portolan, backend) = told("");
    for header in [TEXT.as_bytes().to_vec(), v6()] {
        let all = [&*header, GET.as_bytes()].concat();
        for end in 1..=header.len() {
            let mut client = portolan.connect();
            client.send(&all[..end]);
            std::thread::sleep(Duration::from_millis(1));
            assert_eq!(client.exchange(&all[end..]).text(), "hi", "{end}");
        }
        let mut client = portolan.connect();
        for byte in &all {
            client.send([*byte]);
        }
        assert_eq!(client.read_response().text(), "hi");
    }
    let named = |request: &Message| {
        matches!(request.field("x-forwarded-for"), Some("192.0.2.7" | "2001:db8::7"))
    };
    assert!(backend.requests().iter().all(named));
}

#[test]
fn the_name_holds_for_the_whole_connection() {
    let (portolan, backend) = told("");
    let mut client = portolan.connect();
    client.send(TEXT);
    for _ in 0..3 {
        assert_eq!(client.exchange(GET).text(), "hi");
    }
    // Once is enough: the next one is a request that breaks the rules.
    client.send(TEXT);
    assert_eq!(client.exchange(GET).status(), 400);
    let requests = backend.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|it| it.field("x-forwarded-for") == Some("192.0.2.7")));
}

#[test]
fn trust_is_in_the_client_and_not_in_the_balancer() {
    const FORWARDED: &str = "GET / HTTP/1.1\r\nhost: test\r\nx-forwarded-for: 203.0.113.9\r\n\r\n";
    for (trusted, chain) in
        [("127.0.0.0/8", "192.0.2.7"), ("192.0.2.0/24", "203.0.113.9, 192.0.2.7")]
    {
        let (portolan, backend) = told(&format!("trusted_proxies = ['{trusted}']"));
        assert_eq!(portolan.exchange(format!("{TEXT}{FORWARDED}")).text(), "hi");
        assert_eq!(backend.only_request().field("x-forwarded-for"), Some(chain), "{trusted}");
    }
}

/// Sends `bytes` as a balancer, and has the connection closed without a word.
#[track_caller]
fn is_refused(portolan: &Portolan, bytes: &[u8]) {
    let before = portolan.ended("proxy_header_invalid");
    let mut client = portolan.connect();
    client.send(bytes);
    let (answer, _) = client.read_to_end();
    assert!(answer.is_empty(), "{bytes:?}: {answer:?}");
    eventually(|| portolan.ended("proxy_header_invalid") > before);
}

#[test]
fn a_balancer_that_does_not_say_it_is_refused() {
    let (portolan, backend) = told("");
    let long = |mark: &str| [mark, &"1".repeat(1000), "\r\n", GET].concat().into_bytes();
    for bytes in [
        GET.as_bytes().to_vec(),
        b"\x16\x03\x01\x02\0\x01\0".to_vec(),
        b"PROXY TCP4 192.0.2.7\r\nGET / HTTP/1.1\r\nhost: test\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\nGET / HTTP/1.1\r\nhost: test\r\n\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.777 10.0.0.1 4711 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.7 10.0.0.1 +711 443\r\n".to_vec(),
        b"proxy TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(),
        long("PROXY TCP4 "),
        long("PROXY UNKNOWN "),
        binary(0x31, 0x11, &[0; 12]),
        binary(0x22, 0x11, &[0; 12]),
        binary(0x21, 0x11, &[0; 11]),
        binary(0x21, 0x21, &[0; 12]),
        binary(0x21, 0x11, &[0; 521]),
        binary(0x21, 0x11, &[0; 0xffff]),
        // A TLV that goes beyond the end.
        binary(0x21, 0x11, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 9]),
    ] {
        is_refused(&portolan, &bytes);
    }
    assert_eq!(backend.requests().len(), 0);
    let line = portolan.logged_reason("proxy_header_invalid");
    assert_eq!((&line["status"], &line["client"]), (&0.into(), &"127.0.0.1".into()));
    let refused = portolan.ended("proxy_header_invalid");
    let accepted = portolan.metric("portolan_requests_accepted_total");
    assert_eq!(refused, accepted, "and the ledger holds");
}

#[test]
fn a_header_that_ends_early_is_refused() {
    let (portolan, _backend) = told("");
    for header in [TEXT.as_bytes().to_vec(), v4()] {
        let before = portolan.ended("proxy_header_invalid");
        let mut client = portolan.connect();
        client.send(&header[..header.len() - 1]);
        client.finish();
        assert_eq!(client.wait_for_end(), Ending::Closed);
        eventually(|| portolan.ended("proxy_header_invalid") == before + 1.0);
    }
}

#[test]
fn a_header_has_as_long_as_a_head() {
    let (portolan, _backend) = told("head_timeout = '200ms'");
    let mut silent = portolan.connect();
    silent.wait_for_end();
    // It was only looked whether the port is open.
    drop(portolan.connect());
    assert_eq!(portolan.ended("proxy_header_invalid"), 0.0);
    is_refused(&portolan, b"PROXY TCP4 192.");
    is_refused(&portolan, &v6()[..20]);
    // And the head after it has as long again.
    let mut client = portolan.connect();
    client.send(TEXT);
    assert_eq!(client.exchange(GET).text(), "hi");
}

/// What a stranger says of itself is not even read: to the parser of HTTP it
/// is a request that breaks the rules.
#[test]
fn a_stranger_is_not_listened_to() {
    for settings in ["", "proxy_protocol = { from = ['10.0.0.0/8', '::/0'] }"] {
        let backend = Backend::answering(OK);
        let portolan = Portolan::start(&format!(
            "[[listener]]\n{settings}\n\
             [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
            backend.address
        ));
        assert_eq!(portolan.exchange(GET).text(), "hi");
        for header in [TEXT.as_bytes().to_vec(), v4(), v6(), binary(0x20, 0, &[])] {
            let mut client = portolan.connect();
            let answer = client.exchange([&*header, GET.as_bytes()].concat());
            assert_eq!(answer.status(), 400, "{answer:?}");
            client.wait_for_end();
        }
        assert_eq!(portolan.ended("proxy_header_invalid"), 0.0);
        assert_eq!(backend.only_request().field("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[test]
fn a_balancer_over_ipv6_is_known_by_its_ipv4_address() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&format!(
        "[[listener]]\naddress = '[::]:0'\nproxy_protocol = {{ from = ['127.0.0.1/32'] }}\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    ));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], portolan.address().port()));
    let mut client = Connection::open(address);
    assert_eq!(client.exchange(format!("{TEXT}{GET}")).text(), "hi");
    assert_eq!(backend.only_request().field("x-forwarded-for"), Some("192.0.2.7"));
}
