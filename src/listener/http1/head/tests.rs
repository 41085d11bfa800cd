//! One head for each way to be read in two ways.

use super::*;

const LIMITS: Limits = Limits { head: 4096, target: 100, fields: 10 };

fn scan(head: impl AsRef<[u8]>) -> Progress {
    HeadScan::default().scan(head.as_ref(), &LIMITS)
}

fn refused(head: impl AsRef<[u8]>) -> Option<Reason> {
    match scan(head) {
        Progress::Refused(breach) => Some(breach.reason),
        _ => None,
    }
}

fn framing(fields: &str) -> Progress {
    let head = format!("POST /a?b=c HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let progress = scan(format!("{head}GET /next"));
    if let Progress::Complete { length, .. } = progress {
        assert_eq!(length, head.len());
    }
    progress
}

#[test]
fn a_head_is_complete_with_its_empty_line() {
    let head = b"GET /a HTTP/1.1\r\nHost: a\r\nX-A:\r\nX-B:\t b \t\r\n\r\n";
    let mut scan = HeadScan::default();
    for end in 0..head.len() {
        assert_eq!(scan.scan(&head[..end], &LIMITS), Progress::Partial, "{end}");
    }
    let complete = Progress::Complete { length: head.len(), framing: Framing::Nothing };
    assert_eq!(scan.scan(head, &LIMITS), complete);
    assert_eq!(super::HeadScan::default().scan(head, &LIMITS), complete);
}

#[test]
fn what_follows_is_told() {
    let complete = |fields: &str| match framing(fields) {
        Progress::Complete { framing, .. } => framing,
        other => panic!("{fields}: {other:?}"),
    };
    assert_eq!(complete(""), Framing::Nothing);
    assert_eq!(complete("content-length: 0\r\n"), Framing::Nothing);
    assert_eq!(complete("Content-Length: 0017 \r\n"), Framing::Length(17));
    assert_eq!(complete("TRANSFER-encoding:\tChunked \r\n"), Framing::Chunked);
}

#[test]
fn f1_a_length_beside_a_coding() {
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
    ] {
        let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(refused(head), Some(Reason::RequestInvalid), "{fields}");
    }
}

#[test]
fn f2_a_coding_other_than_chunked_once() {
    let (bad, unknown) = (Some(Reason::RequestInvalid), Some(Reason::CodingRefused));
    for (value, reason) in [
        ("chunked, chunked", bad),
        (",chunked", bad),
        ("chunked,", bad),
        ("", bad),
        ("chunked\r\ntransfer-encoding: chunked", bad),
        ("chunked\r\ntransfer-encoding: identity", bad),
        ("\"chunked\"", bad),
        ("chunked;q=1", bad),
        ("gzip, chunked", unknown),
        ("identity", unknown),
        ("xchunked", unknown),
        ("chunked, gzip", unknown),
    ] {
        let head = format!("POST / HTTP/1.1\r\ntransfer-encoding: {value}\r\n\r\n");
        assert_eq!(refused(head), reason, "{value}");
    }
}

#[test]
fn f3_a_coding_in_http_1_0() {
    let head = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(refused(head), Some(Reason::RequestInvalid));
}

#[test]
fn f4_a_length_that_is_not_one_number() {
    for value in [
        "",
        "+1",
        "-1",
        "1,1",
        "1, 1",
        "0x1",
        "1 1",
        "1.0",
        "9223372036854775808",
        "18446744073709551616",
        "00000000000000000001",
        "1\r\ncontent-length: 1",
        "1\r\nContent-Length: 2",
        "0\r\ncontent-length: 0",
    ] {
        let head = format!("POST / HTTP/1.1\r\ncontent-length: {value}\r\n\r\n");
        assert_eq!(refused(head), Some(Reason::RequestInvalid), "{value}");
    }
}

#[test]
fn f7_a_line_that_does_not_end_with_crlf() {
    for head in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "\rGET / HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(refused(head), Some(Reason::RequestInvalid), "{head:?}");
    }
}

#[test]
fn f8_f9_names_and_values_are_of_what_they_may_be() {
    for line in [
        "X : a",
        " X: a",
        "\tX: a",
        "X: a\r\n b",
        ": a",
        "X",
        "X\u{e9}: a",
        "(X): a",
        "X: \0",
        "X: a\u{b}b",
        "X: \u{7f}",
    ] {
        let head = format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
        assert_eq!(refused(head), Some(Reason::RequestInvalid), "{line:?}");
    }
    let head = b"GET / HTTP/1.1\r\n!#$%&'*+-.^_`|~09aZ: \t\"\x80\xff\r\n\r\n";
    assert!(matches!(scan(head), Progress::Complete { .. }));
}

#[test]
fn p5_f13_targets_that_hyper_would_cut_or_refuse() {
    for target in [
        "/a#b",
        "/#",
        "/?a#b",
        "/\"",
        "/<",
        "/`",
        "/{",
        "/?<",
        "/?\"",
        "/\u{e9}",
        "/\u{7f}",
        "/\0",
        "?a",
        "#",
        "",
        "http://",
        "http://a b/",
        "http:///x",
        "://a",
        "http://a/#",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\n\r\n");
        assert_eq!(refused(head), Some(Reason::RequestInvalid), "{target:?}");
    }
    for target in ["/a|b^[]\\", "/?{}|`\\", "*", "http://a/?b", "a:80", "/a;b=c"] {
        let head = format!("GET {target} HTTP/1.1\r\n\r\n");
        assert!(matches!(scan(head), Progress::Complete { .. }), "{target:?}");
    }
}

#[test]
fn f18_limits_hold_to_the_byte() {
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1));
    assert_eq!(refused(target(100)), None);
    assert_eq!(refused(target(101)), Some(Reason::TargetTooLong));
    let head = |length: usize| {
        let rest = "GET / HTTP/1.1\r\nx: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(length - rest))
    };
    assert!(matches!(scan(head(4096)), Progress::Complete { length: 4096, .. }));
    assert_eq!(refused(head(4097)), Some(Reason::HeadTooLarge));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(count));
    assert_eq!(refused(fields(10)), None);
    assert_eq!(refused(fields(11)), Some(Reason::HeadTooLarge));
    // Nothing is waited for that is too much already.
    assert_eq!(refused("a".repeat(4096)), Some(Reason::TargetTooLong));
    assert_eq!(refused(&head(5000)[..4096]), Some(Reason::HeadTooLarge));
}

#[test]
fn f19_versions_other_than_1_0_and_1_1() {
    for version in ["HTTP/1.2", "HTTP/0.9", "HTTP/2.0", "HTTP/3.0"] {
        let head = format!("GET / {version}\r\n\r\n");
        assert_eq!(refused(head), Some(Reason::VersionRefused), "{version}");
    }
    for line in [
        "GET /",
        "GET",
        "GET / HTTP/1.1 ",
        "GET /  HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET /a b HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "G(T / HTTP/1.1",
        " GET / HTTP/1.1",
        "\u{16}\u{3}\u{1}",
    ] {
        assert_eq!(refused(format!("{line}\r\n\r\n")), Some(Reason::RequestInvalid), "{line:?}");
    }
    // A TLS client is told at once.
    assert_eq!(refused(b"\x16"), Some(Reason::RequestInvalid));
}
