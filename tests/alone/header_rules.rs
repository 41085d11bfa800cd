//! Header fields on their way through, from end to end.

use crate::support::{Backend, Message, Portolan, http2::Http2};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What the instance sees of `fields`, sent by a client whose word counts or
/// not.
fn seen(trusted: bool, fields: &str) -> Message {
    let backend = Backend::answering(OK);
    let proxies = if trusted { "['127.0.0.0/8']" } else { "[]" };
    let portolan = Portolan::start(&format!(
        "[[listener]]\ntrusted_proxies = {proxies}\n\
         [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
        backend.address
    ));
    let answer = portolan.exchange(format!("GET / HTTP/1.1\r\nhost: shop.test\r\n{fields}\r\n"));
    assert_eq!(answer.status(), 200, "{answer:?}");
    backend.only_request()
}

const FORWARDED: &str = "x-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\n\
                         x-forwarded-host: front.test\r\nx-forwarded-port: 443\r\n\
                         x-forwarded-prefix: /p\r\nx-real-ip: 1.2.3.4\r\n\
                         forwarded: for=1.2.3.4\r\nx-request-id: theirs\r\n\
                         x-forwarded-ssl: on\r\nx-portolan-user: me\r\n";

#[test]
fn what_a_stranger_says_of_its_client_is_dropped() {
    let request = seen(false, FORWARDED);
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("shop.test"));
    let id = request.field("x-request-id").expect("an id");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    for gone in [
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-ssl",
        "x-portolan-user",
        "x-real-ip",
        "forwarded",
    ] {
        assert_eq!(request.field(gone), None, "{gone}");
    }
}

#[test]
fn h7_instances_are_told_in_the_style_that_is_set() {
    let backend = Backend::answering(OK);
    for (style, forwarded, x_forwarded) in
        [("x-forwarded", false, true), ("rfc7239", true, false), ("both", true, true)]
    {
        let portolan = Portolan::start(&format!(
            "[[listener]]\nforwarded = '{style}'\n\
             [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
            backend.address
        ));
        assert_eq!(portolan.get("/").status(), 200);
        let request = backend.requests().pop().expect("a request");
        let expected = "for=127.0.0.1;host=\"test\";proto=http";
        assert_eq!(request.field("forwarded"), forwarded.then_some(expected));
        assert_eq!(request.field("x-forwarded-for"), x_forwarded.then_some("127.0.0.1"));
    }
}

#[test]
fn h6_the_log_names_the_client_that_a_trusted_proxy_names() {
    let backend = Backend::answering(OK);
    for (trusted, client) in [("['127.0.0.0/8', '10.0.0.0/8']", "1.2.3.4"), ("[]", "127.0.0.1")] {
        let portolan = Portolan::start(&format!(
            "[[listener]]\ntrusted_proxies = {trusted}\n\
             [service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'",
            backend.address
        ));
        let chain = "x-forwarded-for: 6.6.6.6, 1.2.3.4, 10.0.0.1";
        portolan.exchange(format!("GET / HTTP/1.1\r\nhost: test\r\n{chain}\r\n\r\n"));
        assert_eq!(portolan.logged(1)[0]["client"], client);
    }
}

#[test]
fn a_trusted_proxy_is_believed() {
    let request = seen(true, FORWARDED);
    assert_eq!(request.field("x-forwarded-for"), Some("1.2.3.4, 127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-host"), Some("front.test"));
    assert_eq!(request.field("x-forwarded-port"), Some("443"));
    assert_eq!(request.field("x-real-ip"), Some("1.2.3.4"));
    assert_eq!(request.field("x-forwarded-ssl"), Some("on"));
    assert_eq!(request.field("x-request-id"), Some("theirs"));
    // Of the style that is not spoken here, and of what is ours, nothing.
    assert_eq!(request.field("forwarded"), None);
    assert_eq!(request.field("x-portolan-user"), None);
}

#[test]
fn what_connection_lists_goes_and_what_it_must_not_take_stays() {
    let request = seen(
        false,
        "connection: close, X-Secret, X-Forwarded-For, Via, Host, Cookie\r\n\
         connection: X-Other, Authorization, Content-Length, X-Request-Id\r\n\
         x-secret: 1\r\nx-other: 1\r\ncookie: a=b\r\nauthorization: me\r\nx-kept: 1\r\n",
    );
    for gone in ["connection", "x-secret", "x-other"] {
        assert_eq!(request.field(gone), None, "{gone}");
    }
    assert_eq!(request.field("host"), Some("shop.test"));
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("via"), Some("1.1 portolan"));
    assert_eq!(request.field("cookie"), Some("a=b"));
    assert_eq!(request.field("authorization"), Some("me"));
    assert_eq!(request.field("x-kept"), Some("1"));
    assert!(request.field("x-request-id").is_some());
}

#[test]
fn hop_by_hop_fields_of_a_request_end_here() {
    let request = seen(
        false,
        "keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nproxy-authorization: Basic x\r\n\
         proxy: http://evil\r\nte: gzip\r\nupgrade: h2c\r\nhttp2-settings: x\r\n",
    );
    for gone in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "proxy",
        "te",
        "upgrade",
        "http2-settings",
        "connection",
    ] {
        assert_eq!(request.field(gone), None, "{gone}");
    }
}

#[test]
fn hop_by_hop_fields_of_a_response_end_here() {
    let backend = Backend::answering(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-secret\r\nx-secret: 1\r\n\
         keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nproxy-connection: close\r\n\
         upgrade: h2c\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nserver: theirs\r\n\
         date: Tue, 01 Jan 2030 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
    );
    let portolan = Portolan::before(backend.address);
    let answer = portolan.get("/");
    for gone in [
        "connection",
        "x-secret",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.field("server"), Some("theirs"));
    assert_eq!(answer.all("date"), ["Tue, 01 Jan 2030 00:00:00 GMT"]);
}

#[test]
fn h10_a_date_is_added_where_there_is_none_and_no_server() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let by_http2 = Http2::open(portolan.address()).get("/").message();
    for answer in [portolan.get("/"), by_http2] {
        let [date] = answer.all("date")[..] else { panic!("{answer:?}") };
        // As RFC 9110 section 5.6.7 has it.
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        assert_eq!(answer.field("server"), None);
    }
}

#[test]
fn via_is_added_to_what_is_there() {
    let request = seen(false, "via: 1.0 first\r\n");
    assert_eq!(request.all("via"), ["1.0 first", "1.1 portolan"]);
}

#[test]
fn fields_keep_their_order_and_their_bytes() {
    let request = seen(false, "x-a: 1\r\nx-a: 2\r\nx-a: 3\r\nx-b: \"ä; q=1\"\r\n");
    assert_eq!(request.all("x-a"), ["1", "2", "3"]);
    assert_eq!(request.field("x-b"), Some("\"ä; q=1\""));
}

#[test]
fn the_host_is_the_clients_or_the_address() {
    let backend = Backend::answering(OK);
    for (keep, expected) in
        [("true", "Shop.Test:8080".to_owned()), ("false", backend.address.to_string())]
    {
        let portolan = Portolan::with(&format!("preserve_host = {keep}"), backend.address);
        portolan.exchange("GET / HTTP/1.1\r\nhost: Shop.Test:8080\r\n\r\n");
        let request = backend.requests().pop().expect("a request");
        assert_eq!(request.field("host"), Some(&*expected));
        assert_eq!(request.field("x-forwarded-host"), Some("Shop.Test:8080"));
    }
}

#[test]
fn the_authority_of_an_absolute_target_is_the_host() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}']\n[[route]]\nhost = 'shop.test'\nservice = 'app'",
        backend.address
    ));
    let request = "GET http://shop.test/a/b?c=d HTTP/1.1\r\nhost: other.test\r\n\r\n";
    assert_eq!(portolan.exchange(request).status(), 200);
    let bare = "GET http://shop.test?c=d HTTP/1.1\r\nhost: shop.test\r\n\r\n";
    assert_eq!(portolan.exchange(bare).status(), 200);
    assert_eq!(backend.requests()[1].start, "GET /?c=d HTTP/1.1");
    let request = backend.requests().remove(0);
    assert_eq!(request.start, "GET /a/b?c=d HTTP/1.1");
    assert_eq!(request.field("host"), Some("shop.test"));
    assert_eq!(request.field("x-forwarded-host"), Some("shop.test"));
}

#[test]
fn the_id_of_a_request_is_the_same_in_the_answer_and_the_log() {
    let portolan = Portolan::start("");
    let answer = portolan.get("/nowhere");
    let line = &portolan.logged(1)[0];
    assert_eq!(answer.json()["request_id"], line["request_id"]);
    assert_eq!(answer.field("x-request-id"), line["request_id"].as_str());
}
