//! Whom a request is for, and what (rows F11 to F16, P1 to P8).

use super::{
    Expect::{Answered, Either, Forwarded, Refused},
    List, get,
};

pub(super) fn list(list: &mut List) {
    hosts(list);
    forms(list);
    paths(list);
}

fn hosts(list: &mut List) {
    let with = |fields: &str| format!("GET /host HTTP/1.1\r\n{fields}\r\n");
    for (name, fields) in [
        ("none", ""),
        ("the same twice", "host: a.test\r\nhost: a.test\r\n"),
        ("two", "host: a.test\r\nhost: b.test\r\n"),
        ("one and an empty one", "host: a.test\r\nhost:\r\n"),
        ("empty", "host:\r\n"),
        ("spaces", "host:   \r\n"),
        ("two words", "host: a.test b.test\r\n"),
        ("a list", "host: a.test,b.test\r\n"),
        ("a user", "host: user@a.test\r\n"),
        ("a user and a password", "host: a:b@a.test\r\n"),
        ("a path", "host: a.test/b.test\r\n"),
        ("a query", "host: a.test?b\r\n"),
        ("a fragment", "host: a.test#b.test\r\n"),
        ("a backslash", "host: a.test\\b.test\r\n"),
        ("a port above 65535", "host: a.test:99999\r\n"),
        ("a port below 0", "host: a.test:-1\r\n"),
        ("a port with a plus", "host: a.test:+80\r\n"),
        ("a port of letters", "host: a.test:http\r\n"),
        ("two ports", "host: a.test:80:80\r\n"),
        ("a port alone", "host: :80\r\n"),
        ("a bracket that stays open", "host: [::1\r\n"),
        ("something after a bracket", "host: [::1]b.test\r\n"),
        ("no address in brackets", "host: [a.test]\r\n"),
        ("ipv6 without brackets", "host: ::1\r\n"),
        ("two dots", "host: a..test\r\n"),
        ("a dot in front", "host: .a.test\r\n"),
        ("a dot alone", "host: .\r\n"),
        ("percent", "host: a%2etest\r\n"),
        ("a nul", "host: a.test\0b.test\r\n"),
        ("a tab", "host: a.test\tb.test\r\n"),
        ("a semicolon", "host: a.test;b\r\n"),
        ("a quote", "host: \"a.test\"\r\n"),
        ("a scheme", "host: http://a.test\r\n"),
        ("bytes above 127", "host: \u{e4}.test\r\n"),
        ("a space before the colon", "host : a.test\r\n"),
        ("a fold", "host:\r\n a.test\r\n"),
        ("a second one that is folded", "host: a.test\r\n host: b.test\r\n"),
        ("a second one with an underscore in its name", "host: a.test\r\nhost\0: b.test\r\n"),
    ] {
        list.add("F11", format!("host: {name}"), Refused, with(fields));
    }
    for (name, host) in [
        ("upper case", "A.TEST"),
        ("a dot at the end", "b.test."),
        ("a port", "b.test:8080"),
        ("an empty port", "a.test:"),
        ("an address", "127.0.0.1:80"),
        ("ipv6", "[::1]:80"),
        ("spaces around", "  b.test \t"),
    ] {
        list.add(
            "P6",
            format!("host with {name}"),
            Forwarded(1),
            with(&format!("host: {host}\r\n")),
        );
    }
    list.add("P6", "host with an underscore", Either, with("host: a_b.test\r\n"));
    list.add("F21", "1.0 without a host", Either, "GET /old HTTP/1.0\r\n\r\n");
    let two = "GET /old HTTP/1.0\r\nhost: a.test\r\nhost: b.test\r\n\r\n";
    list.add("F11", "1.0 with two hosts", Refused, two);
}

fn forms(list: &mut List) {
    for (name, target) in [
        ("the same host", "http://a.test/abs"),
        ("a port", "http://a.test:80/abs"),
        ("upper case", "HTTP://A.test/abs"),
        ("a query", "http://a.test/abs?b=c"),
    ] {
        list.add("F12", format!("absolute: {name}"), Either, get(target, ""));
    }
    for (name, target) in [
        ("another host", "http://b.test/abs"),
        ("no path", "http://a.test"),
        ("a query and no path", "http://a.test?b"),
        ("dots in its path", "http://a.test/x/../abs"),
    ] {
        list.add("F12", format!("absolute: {name}"), Either, get(target, ""));
    }
    for (name, target) in [
        ("https", "https://a.test/abs"),
        ("ftp", "ftp://a.test/abs"),
        ("file", "file:///etc/passwd"),
        ("a user", "http://user@a.test/abs"),
        ("one slash", "http:/a.test/abs"),
        ("three slashes", "http:///abs"),
        ("no host", "http:///"),
        ("a bad port", "http://a.test:99999/abs"),
        ("a backslash", "http://a.test\\@b.test/abs"),
        ("percent in its host", "http://a%2etest/abs"),
        ("a scheme alone", "http:"),
        ("an encoded slash", "http://a.test/a%2fb"),
    ] {
        list.add("F12", format!("absolute: {name}"), Refused, get(target, ""));
    }
    let empty = "GET http://a.test/abs HTTP/1.1\r\n\r\n";
    list.add("F12", "absolute: no host field", Refused, empty);
    let two = "GET http://a.test/abs HTTP/1.1\r\nhost: a.test\r\nhost: a.test\r\n\r\n";
    list.add("F12", "absolute: two host fields", Refused, two);
    for (name, target) in [
        ("a word", "admin"),
        ("authority-form", "a.test:80"),
        ("a query alone", "?a=b"),
        ("a fragment alone", "#a"),
        ("a dot", "./a"),
        ("an encoded slash", "%2fadmin"),
        ("a backslash", "\\admin"),
        ("a bracket", "[::1]:80"),
        ("an at sign", "@b.test/a"),
    ] {
        list.add("F13", format!("target: {name}"), Refused, get(target, ""));
    }
    list.add("F14", "get *", Refused, get("*", ""));
    list.add("F14", "post *", Refused, get("*", "").replacen("GET", "POST", 1));
    list.add("F14", "options *", Answered, get("*", "").replacen("GET", "OPTIONS", 1));
    list.add("F14", "options **", Refused, get("**", "").replacen("GET", "OPTIONS", 1));
    for target in ["a.test:80", "a.test", "/", "http://a.test/"] {
        let connect = get(target, "").replacen("GET", "CONNECT", 1);
        list.add("F15", format!("connect {target}"), Refused, connect);
    }
    list.add("F16", "trace", Refused, get("/", "").replacen("GET", "TRACE", 1));
    list.add("F16", "trace in lower case", Either, get("/", "").replacen("GET", "trace", 1));
    list.add("F16", "track", Either, get("/", "").replacen("GET", "TRACK", 1));
}

fn paths(list: &mut List) {
    for target in [
        "/",
        "//",
        "//admin",
        "///a//b",
        "/a/./b",
        "/a/../b",
        "/..",
        "/../../admin",
        "/a/..",
        "/a/.",
        "/.",
        "/%2e%2e/admin",
        "/a/%2E%2e/admin",
        "/a/.%2e/admin",
        "/public/../admin/x",
        "/admin",
        "/admin/",
        "/adminx",
        "/%61dmin",
        "/%61%64min/x",
        "/a;x=y/b",
        "/a/..;/admin",
        "/;/admin",
        "/admin;x",
        "/a%20b",
        "/%7euser",
        "/%E4%BD%A0",
        "/a%252fb",
        "/%252e%252e/admin",
        "/a?b=c",
        "/a?b=%2f%00%zz",
        "/a?x=/../admin",
        "/a?b?c",
        "/a?",
        "/?",
        "/a/?",
        "/http://b.test/",
        "/a=b&c",
        "/a:b@c",
        "/a,b",
        "/!$'()*+",
        "/...",
        "/.hidden",
        "/a/...//b",
        "/Admin",
        "/ADMIN",
        "/a%3fb",
        "/a%23b",
        "/a%25",
        "/%c0%ae%c0%ae/admin",
        "/admin%20",
        "/admin%3b",
    ] {
        list.add("P1", format!("path {target}"), Forwarded(1), get(target, ""));
    }
    for target in [
        "/a%2fb",
        "/a%2Fb",
        "/%2fadmin",
        "/..%2fadmin",
        "/a%5cb",
        "/a\\b",
        "/..\\admin",
        "/a%00b",
        "/a%00",
        "/a%0d%0ab",
        "/a%0a",
        "/a%7f",
        "/a%09b",
        "/a%",
        "/a%4",
        "/a%zz",
        "/%",
        "/a%u0041",
        "/a%2",
        "/a%-1",
        "/%+1",
        "/a% 41",
    ] {
        list.add("P2", format!("path {target}"), Refused, get(target, ""));
    }
    for target in [
        "/a#b",
        "/a?b#c",
        "/#",
        "/admin#/../x",
        "/a\"b",
        "/a<b>",
        "/a{b}",
        "/a|b",
        "/a^b`",
        "/a?b\"c",
        "/a?{b}",
        "/\u{e9}",
        "/a?\u{e9}",
    ] {
        list.add("P5", format!("path {target}"), Either, get(target, ""));
    }
    let raw = [b"GET /\xff\xfe HTTP/1.1\r\nhost: a.test\r\n\r\n"];
    list.add("P1", "path of bytes that are no text", Either, raw[0]);
    let long = get(&format!("/{}", "a".repeat(20_000)), "");
    list.add("F18", "a long target", Refused, long);
}
