//! Requests that two parsers could read in two ways, by the rows of
//! docs/reference/http-rules.md. None reaches an instance, each is answered
//! and recorded, and its connection ends with it.

use crate::support::{Backend, Ending, Portolan, eventually};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Sends each of `requests` and expects the status, the reason, the line in
/// the access log and the end of the connection; nothing gets to the instance.
#[track_caller]
fn refused(status: u16, reason: &str, requests: &[String]) {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    for (number, request) in requests.iter().enumerate() {
        let mut client = portolan.connect();
        let answer = client.exchange(request);
        assert_eq!((answer.status(), &*answer.reason()), (status, reason), "{request:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
        // What follows could be anything, and the answer is not lost for it.
        assert_eq!(client.wait_for_end(), Ending::Closed, "{request:?}");
        let line = portolan.logged(number + 1).pop().expect("a line");
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()));
        assert_eq!(answer.json()["request_id"], line["request_id"]);
    }
    let count = requests.len() as f64;
    eventually(|| portolan.ended(reason) == count);
    let local = format!("portolan_local_responses_total{{reason=\"{reason}\"}}");
    assert_eq!(portolan.metric(&local), count);
    let ledger = &portolan.admin("GET", "/api/v1/status", "").json()["ledger"];
    assert_eq!(ledger["refused"], requests.len(), "{ledger}");
    assert_eq!(backend.connections(), 0, "{:?}", backend.requests());
}

fn with(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{body}")
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")
}

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn f1_a_length_beside_a_coding_is_refused() {
    refused(
        400,
        "request_invalid",
        &[
            with("content-length: 5\r\ntransfer-encoding: chunked", &format!("0\r\n\r\n{HIDDEN}")),
            with("transfer-encoding: chunked\r\ncontent-length: 5", &format!("0\r\n\r\n{HIDDEN}")),
            with("Transfer-Encoding: chunked\r\ncontent-length: 0", "0\r\n\r\n"),
        ],
    );
}

#[test]
fn f2_transfer_encoding_is_chunked_and_once() {
    let coded = |value: &str| with(&format!("transfer-encoding: {value}"), "0\r\n\r\n");
    refused(
        400,
        "request_invalid",
        &[
            coded("chunked, chunked"),
            coded("chunked\r\ntransfer-encoding: chunked"),
            coded("chunked\r\nTransfer-Encoding: identity"),
            coded(",chunked"),
            coded(""),
        ],
    );
    refused(501, "coding_refused", &[coded("gzip, chunked"), coded("identity"), coded("xchunked")]);
}

#[test]
fn f3_http_1_0_has_no_transfer_encoding() {
    let request = "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(400, "request_invalid", &[request.to_owned()]);
}

#[test]
fn f4_content_length_is_one_number_in_one_line() {
    let long = |value: &str| with(&format!("content-length: {value}"), &format!("a{HIDDEN}"));
    refused(
        400,
        "request_invalid",
        &[
            long("1\r\ncontent-length: 1"),
            long("1\r\ncontent-length: 2"),
            long("1, 1"),
            long("+1"),
            long("-1"),
            long("0x1"),
            long(""),
            long("18446744073709551617"),
        ],
    );
}

#[test]
fn f4_a_length_is_written_anew() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    assert_eq!(portolan.exchange(with("content-length: 0001", "a")).status(), 200);
    assert_eq!(backend.only_request().field("content-length"), Some("1"));
}

#[test]
fn f5_chunks_that_are_none_end_the_request_and_its_connection() {
    for body in [
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx : 1\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    ] {
        let backend = Backend::start(|mut accepted| {
            let _ = accepted.request();
        });
        let portolan = Portolan::before(backend.address);
        let mut client = portolan.connect();
        let answer =
            client.exchange(with("transfer-encoding: chunked", &format!("{body}{HIDDEN}")));
        assert_eq!((answer.status(), &*answer.reason()), (400, "request_invalid"), "{body:?}");
        assert_eq!(client.wait_for_end(), Ending::Closed);
        portolan.logged_reason("request_invalid");
        // The instance never takes what it got for the whole.
        assert!(backend.requests().iter().all(|request| !request.complete), "{body:?}");
        assert!(backend.requests().len() < 2, "{body:?}");
    }
}

#[test]
fn f6_chunk_extensions_are_dropped() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let body = "3;a=b\r\nhel\r\n2 ; c=\"d\"\r\nlo\r\n0;e\r\n\r\n";
    assert_eq!(portolan.exchange(with("transfer-encoding: chunked", body)).status(), 200);
    // The reader of the test knows no extensions.
    assert_eq!(backend.only_request().text(), "hello");
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "a".repeat(9000));
    let answer = portolan.exchange(with("transfer-encoding: chunked", &long));
    assert_eq!((answer.status(), &*answer.reason()), (400, "request_invalid"));
}

#[test]
fn f7_lines_end_with_cr_lf() {
    refused(
        400,
        "request_invalid",
        &[
            "GET / HTTP/1.1\nhost: a\n\n".to_owned(),
            "GET / HTTP/1.1\r\nhost: a\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nhost: a\r\nx: b\rc\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nhost: a\r\n\n".to_owned(),
            "\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        ],
    );
}

#[test]
fn f8_f9_names_and_values_hold_what_they_may() {
    let line = |line: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{line}\r\n\r\n");
    refused(
        400,
        "request_invalid",
        &[
            line("x : 1"),
            line(" x: 1"),
            line("x: 1\r\n folded"),
            line("x"),
            line(": 1"),
            line("x\u{e4}: 1"),
            line("x: \0"),
            line("x: a\u{7f}"),
            "GET / HTTP/1.1\r\n host: a\r\n\r\n".to_owned(),
        ],
    );
}

#[test]
fn f10_a_name_is_not_the_disguise_of_another() {
    let named = |name: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{name}: 1\r\n\r\n");
    refused(
        400,
        "request_invalid",
        &[
            named("X_Forwarded_For"),
            named("X-Forwarded_For"),
            named("Content_Length"),
            named("transfer_encoding"),
            named("x_request_id"),
            named("X_Portolan_Peer"),
        ],
    );
    // Of what a route sets nobody else sets another spelling; the rest passes.
    let backend = Backend::answering(OK);
    let portolan = Portolan::start(&format!(
        "[service.app]\nendpoints = ['{}']\n[[route]]\nservice = 'app'\n\
         request_headers = {{ set = {{ 'X-User-Id' = 'me' }}, remove = ['X-Role'] }}",
        backend.address
    ));
    let fields = "x_user_id: you\r\nx-user_id: you\r\nx_role: admin\r\nx_other: 1";
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
    assert_eq!(portolan.exchange(request).status(), 200);
    let request = backend.only_request();
    assert_eq!((request.field("x-user-id"), request.field("x_other")), (Some("me"), Some("1")));
    for gone in ["x_user_id", "x-user_id", "x_role"] {
        assert_eq!(request.field(gone), None, "{gone}");
    }
}

#[test]
fn f11_a_request_has_exactly_one_host() {
    let host = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n");
    refused(
        400,
        "request_invalid",
        &[
            host(""),
            host("host: a\r\nhost: a\r\n"),
            host("host: a\r\nHost: b\r\n"),
            host("host:\r\n"),
            host("host: a b\r\n"),
            host("host: user@a\r\n"),
            host("host: a/b\r\n"),
            host("host: a:99999\r\n"),
            host("host: a, b\r\n"),
            host("host: [::1\r\n"),
        ],
    );
}

#[test]
fn f13_a_target_begins_with_a_slash() {
    let targets = ["admin", "a:80", "ftp://a/x", "/%00", "/a%2fb", "/a%5cb", "/a\\b", "/..%2f"];
    refused(400, "request_invalid", &targets.map(get));
}

#[test]
fn p5_a_target_with_a_fragment_is_refused() {
    refused(400, "request_invalid", &["/a#b", "/#", "/?a#b", "http://a/#b"].map(get));
}

#[test]
fn f14_the_asterisk_is_answered_here() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let mut client = portolan.connect();
    for _ in 0..2 {
        let answer = client.exchange("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(answer.status(), 204);
        assert!(answer.field("allow").is_some_and(|methods| methods.contains("OPTIONS")));
    }
    assert_eq!(portolan.logged(2)[0]["reason"], "answered");
    assert_eq!(backend.connections(), 0);
    refused(400, "request_invalid", &[get("*"), "OPTIONS * HTTP/1.1\r\n\r\n".to_owned()]);
}

#[test]
fn f15_f16_connect_and_trace_are_refused() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    for request in ["CONNECT a:80 HTTP/1.1", "TRACE / HTTP/1.1", "CONNECT / HTTP/1.1"] {
        let mut client = portolan.connect();
        let answer = client.exchange(format!("{request}\r\nhost: a\r\n\r\n"));
        assert_eq!((answer.status(), &*answer.reason()), (405, "method_refused"), "{request}");
        assert!(answer.field("allow").is_some());
        assert_eq!(client.wait_for_end(), Ending::Closed);
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn f17_max_forwards_is_counted_down() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let ask = |method: &str, left: &str| {
        let request = format!("{method} / HTTP/1.1\r\nhost: a\r\nmax-forwards: {left}\r\n\r\n");
        portolan.exchange(request).status()
    };
    assert_eq!(ask("OPTIONS", "0"), 204);
    assert_eq!(backend.connections(), 0);
    assert_eq!(ask("OPTIONS", "2"), 200);
    assert_eq!(backend.requests()[0].field("max-forwards"), Some("1"));
    // To other methods it means nothing.
    assert_eq!(ask("GET", "0"), 200);
    assert_eq!(backend.requests()[1].field("max-forwards"), Some("0"));
    assert_eq!(ask("OPTIONS", "x"), 400);
}

#[test]
fn f18_targets_and_heads_are_bounded() {
    let value = |length: usize| with(&format!("x: {}", "a".repeat(length)), "");
    let fields = "x: 1\r\n".repeat(200);
    refused(414, "target_too_long", &[get(&format!("/{}", "a".repeat(20_000)))]);
    refused(414, "target_too_long", &["a".repeat(70_000)]);
    refused(431, "head_too_large", &[value(70_000), with(&fields, "")]);
}

#[test]
fn f19_other_versions_are_refused() {
    let versions = ["HTTP/1.2", "HTTP/0.9", "HTTP/2.0", "HTTP/3.0"];
    refused(
        505,
        "version_refused",
        &versions.map(|version| format!("GET / {version}\r\nhost: a\r\n\r\n")),
    );
    refused(
        400,
        "request_invalid",
        &["GET /\r\n\r\n", "GET / HTTP/11\r\n\r\n", "\x16\x03\x01\x02"].map(str::to_owned),
    );
}

#[test]
fn f20_other_expectations_are_refused() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let answer = portolan.exchange(with("expect: tea\r\ncontent-length: 0", ""));
    assert_eq!((answer.status(), &*answer.reason()), (417, "expectation_refused"));
    assert_eq!(backend.connections(), 0);
}

#[test]
fn h4_a_request_that_goes_in_a_circle_is_ended() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let via = |times: usize| format!("via: {}", vec!["1.1 portolan"; times].join(", "));
    assert_eq!(portolan.exchange(with(&via(9), "")).status(), 200);
    let answer = portolan.exchange(with(&via(10), ""));
    assert_eq!((answer.status(), &*answer.reason()), (508, "loop_detected"));
}

#[test]
fn d9_h2c_is_not_asked_for_behind_the_proxy() {
    let backend = Backend::answering(OK);
    let portolan = Portolan::before(backend.address);
    let fields = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk";
    assert_eq!(portolan.exchange(with(fields, "")).status(), 200);
    let request = backend.only_request();
    for gone in ["connection", "upgrade", "http2-settings"] {
        assert_eq!(request.field(gone), None, "{gone}");
    }
}

#[test]
fn d12_whether_data_came_early_is_left_to_the_instance() {
    let backend = Backend::answering("HTTP/1.1 425 Too Early\r\ncontent-length: 0\r\n\r\n");
    let portolan = Portolan::before(backend.address);
    assert_eq!(portolan.exchange(with("early-data: 1", "")).status(), 425);
    assert_eq!(backend.only_request().field("early-data"), Some("1"));
}

#[test]
fn b14_ranges_pass_untouched() {
    let backend = Backend::answering(
        "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 1-2/5\r\ncontent-length: 2\r\n\r\nel",
    );
    let portolan = Portolan::before(backend.address);
    let fields = "range: bytes=1-2\r\nif-range: \"a\"\r\naccept-encoding: gzip;q=0.5";
    let answer = portolan.exchange(with(fields, ""));
    assert_eq!((answer.status(), &*answer.text()), (206, "el"));
    assert_eq!(answer.field("content-range"), Some("bytes 1-2/5"));
    let request = backend.only_request();
    assert_eq!(request.field("range"), Some("bytes=1-2"));
    assert_eq!(request.field("if-range"), Some("\"a\""));
    assert_eq!(request.field("accept-encoding"), Some("gzip;q=0.5"));
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let backend = Backend::start(|mut accepted| {
        while let Some(request) = accepted.request() {
            let body = format!("{} {}", request.target(), request.text());
            let length = body.len();
            accepted.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"));
        }
    });
    let portolan = Portolan::before(backend.address);
    let mut requests = String::new();
    for number in 0..40 {
        requests += &match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab"),
            _ => format!(
                "POST /{number} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                 1\r\nc\r\n0\r\n\r\n\r\n"
            ),
        };
    }
    requests += "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n";
    requests += HIDDEN;
    let mut client = portolan.connect();
    client.send(requests);
    for number in 0..40 {
        let body = ["", "ab", "c"][number % 3];
        assert_eq!(client.read_response().text(), format!("/{number} {body}"));
    }
    // Refused in its turn, and nothing behind it is looked at.
    assert_eq!(client.read_response().reason(), "request_invalid");
    assert_eq!(client.wait_for_end(), Ending::Closed);
    assert_eq!(backend.requests().len(), 40);
}

#[test]
fn a_refused_head_is_logged_as_far_as_it_can_be_read() {
    let portolan = Portolan::start("");
    let request = "DELETE /a#b?c HTTP/1.1\r\nhost: shop\r\nuser-agent: me\r\n\r\n";
    assert_eq!(portolan.exchange(request).status(), 400);
    let line = &portolan.logged(1)[0];
    assert_eq!((&line["method"], &line["host"]), (&"DELETE".into(), &"shop".into()));
    assert_eq!((&line["path"], &line["user_agent"]), (&"/a%23b".into(), &"me".into()));
}
