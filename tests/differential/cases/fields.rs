//! Header fields that belong to one connection, or claim what is not theirs
//! (rows F10, F17, F18, F20, H1 to H9, W1 to W3).

use super::{
    Expect::{Answered, Either, Forwarded, ForwardedThenRefused, Refused},
    List, SMUGGLED, get, post,
};

pub(super) fn list(list: &mut List) {
    for (name, fields) in [
        ("itself", "connection: connection\r\n"),
        ("a field", "connection: x-a\r\nx-a: 1\r\n"),
        ("a field in another case", "connection: X-A\r\nx-a: 1\r\n"),
        ("two lines", "connection: x-a\r\nconnection: x-b\r\nx-a: 1\r\nx-b: 1\r\n"),
        ("host", "connection: host\r\n"),
        ("cookie", "connection: cookie\r\ncookie: a=b\r\n"),
        ("x-forwarded-for", "connection: x-forwarded-for\r\n"),
        ("via", "connection: via\r\n"),
        ("nothing", "connection:\r\n"),
        ("commas", "connection: ,,,\r\n"),
        ("a name that is none", "connection: a b, \"c\"\r\n"),
        ("keep-alive", "connection: keep-alive\r\nkeep-alive: timeout=5\r\n"),
        ("a thousand", &format!("connection: {}\r\n", "x-a, ".repeat(1000))),
    ] {
        list.add("H1", format!("connection: {name}"), Forwarded(1), get("/h", fields));
    }
    for (name, listed) in
        [("content-length", "content-length"), ("transfer-encoding", "transfer-encoding")]
    {
        let fields = format!("connection: {listed}\r\ncontent-length: {}\r\n", SMUGGLED.len());
        list.add("H2", format!("connection: {name}"), Forwarded(1), post(&fields, SMUGGLED));
    }
    let fields =
        format!("connection: close, content-length\r\ncontent-length: {}\r\n", SMUGGLED.len());
    let closing = post(&fields, SMUGGLED);
    list.add("H2", "connection: close and content-length", ForwardedThenRefused(1), closing);
    let coded = "connection: transfer-encoding\r\ntransfer-encoding: chunked\r\n";
    let coded = post(coded, "5\r\nhello\r\n0\r\n\r\n");
    list.add("H2", "connection: the coding of a coded body", Forwarded(1), coded);
    for (name, fields) in [
        ("proxy-connection", "proxy-connection: keep-alive\r\n"),
        ("proxy-authorization", "proxy-authorization: Basic x\r\n"),
        ("proxy", "proxy: http://evil.test\r\n"),
        ("te: trailers", "te: trailers\r\n"),
        ("te: gzip", "te: gzip, trailers;q=0.5\r\n"),
        ("trailer", "trailer: x-sum\r\n"),
        ("x-forwarded-for", "x-forwarded-for: 1.2.3.4\r\nx-real-ip: 1.2.3.4\r\n"),
        ("forwarded", "forwarded: for=1.2.3.4;host=evil.test\r\n"),
        ("x-forwarded-host", "x-forwarded-host: evil.test\r\nx-forwarded-proto: https\r\n"),
        ("via", "via: 1.0 first, 1.1 second\r\n"),
        ("x-portolan-route", "x-portolan-route: admin\r\n"),
        ("max-forwards on get", "max-forwards: 0\r\n"),
        ("two content-types", "content-type: text/plain\r\ncontent-type: text/html\r\n"),
        ("range", "range: bytes=0-1\r\nif-range: \"a\"\r\n"),
        ("an underscore that is nobody's", "x_a: 1\r\n"),
        ("upper case", "X-A: 1\r\nCOOKIE: a=b\r\n"),
    ] {
        list.add("H6", format!("field {name}"), Forwarded(1), get("/h", fields));
    }
    for (name, fields) in [
        ("x_forwarded_for", "x_forwarded_for: 1.2.3.4\r\n"),
        ("X-Forwarded_For", "X-Forwarded_For: 1.2.3.4\r\n"),
        ("x_real_ip", "x_real_ip: 1.2.3.4\r\n"),
        ("host_", "x_forwarded_host: evil.test\r\n"),
    ] {
        list.add("F10", format!("field {name}"), Either, get("/h", fields));
    }
    list.add("F10", "field content_length", Refused, post("content_length: 5\r\n", "hello"));
    list.add(
        "F10",
        "field transfer_encoding",
        Refused,
        post("transfer_encoding: chunked\r\n", "0\r\n\r\n"),
    );
    for (name, fields) in [
        (
            "h2c",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQ\r\n",
        ),
        ("h2c without connection", "upgrade: h2c\r\n"),
        ("websocket without connection", "upgrade: websocket\r\n"),
        (
            "websocket",
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        ("two protocols", "connection: upgrade\r\nupgrade: websocket, h2c\r\n"),
        ("tls", "connection: upgrade\r\nupgrade: TLS/1.0\r\n"),
        ("connection: upgrade alone", "connection: upgrade\r\n"),
    ] {
        list.add("W1", format!("upgrade: {name}"), Forwarded(1), get("/w", fields));
    }
    let body = "connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5\r\n";
    list.add("W3", "upgrade with a body", Forwarded(1), post(body, "hello"));
    let old = get("/w", "connection: upgrade\r\nupgrade: websocket\r\n");
    list.add("W1", "upgrade in 1.0", Either, old.replace("HTTP/1.1", "HTTP/1.0"));
    for (name, value) in
        [("something else", "200-ok"), ("two", "100-continue, 100-continue"), ("nothing", "")]
    {
        let fields = format!("expect: {value}\r\ncontent-length: 5\r\n");
        list.add("F20", format!("expect: {name}"), Either, post(&fields, "hello"));
    }
    let expect = post("expect: 100-continue\r\ncontent-length: 5\r\n", "hello");
    list.add("F20", "expect: 100-continue, and the body at once", Either, expect.clone());
    list.add("F20", "expect: in 1.0", Either, expect.replace("HTTP/1.1", "HTTP/1.0"));
    list.add("F20", "expect: on a get", Either, get("/h", "expect: 100-continue\r\n"));
    let many = "x-a: 1\r\n".repeat(200);
    list.add("F18", "two hundred fields", Refused, get("/h", &many));
    list.add(
        "F18",
        "a field of 70 KB",
        Refused,
        get("/h", &format!("x-a: {}\r\n", "a".repeat(70_000))),
    );
    list.add(
        "F18",
        "a name of 70 KB",
        Refused,
        get("/h", &format!("x-{}: a\r\n", "a".repeat(70_000))),
    );
    let loops = "via: 1.1 portolan\r\n".repeat(10);
    list.add("H4", "ten times through a portolan", Answered, get("/h", &loops));
    for (name, hops) in [("none", "0"), ("one", "1"), ("a word", "x"), ("minus one", "-1")] {
        let fields = format!("max-forwards: {hops}\r\n");
        let options = get("/h", &fields).replacen("GET", "OPTIONS", 1);
        list.add("F17", format!("max-forwards on options: {name}"), Either, options);
    }
}
