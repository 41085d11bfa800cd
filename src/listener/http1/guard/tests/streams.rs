//! What clients send, and what attackers do: messages with every part of them
//! right or wrong.

use proptest::{prelude::*, sample::select};

fn a_line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(vec![
            "Host: shop.example", "Accept: */*", "X-A: 1", "X-A: 2", "x-empty:", "X-B: \t a b \t",
            "Content-Length: 0", "Content-Length: 5", "content-length: 005", "TE: trailers",
            "Transfer-Encoding: chunked", "transfer-encoding:\tCHUNKED ", "Connection: keep-alive",
            "Expect: 100-continue", "X-\u{fc}: 1", "X-C: \u{fc}",
        ]).prop_map(str::to_owned),
        1 => select(vec![
            "Content-Length: 6", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length:",
            "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked", "X : 1",
            " folded", "no colon", ": 1", "X-N: \0", "X-R: a\rb", "Transfer-Encoding: identity",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,12}",
    ]
}

fn a_line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![60 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n")]
}

fn a_message() -> impl Strategy<Value = Vec<u8>> {
    let line = (
        select(vec!["GET", "POST", "PUT", "HEAD", "M-SEARCH", "get", "G@T"]),
        prop_oneof![
            6 => select(vec![
                "/", "/a/b?c=d", "/%2e", "http://a/b", "*", "a:80", "/a#b", "/?{}", "/{}", "/\u{fc}",
            ]).prop_map(str::to_owned),
            1 => "/[ -~]{0,8}",
        ],
        prop_oneof![
            20 => Just("HTTP/1.1"), 3 => Just("HTTP/1.0"), 1 => Just("HTTP/1.2"), 1 => Just("http/1.1"),
        ],
    );
    let lines = prop::collection::vec((a_line(), a_line_end()), 0..6);
    let body = prop_oneof![
        4 => Just(""),
        4 => Just("hello"),
        4 => Just("5\r\nhello\r\n0\r\n\r\n"),
        2 => Just("1;a=\"b\"\r\nx\r\n00\r\nX-T: 1\r\nx-u:\r\n\r\n"),
        1 => Just("5 \r\nhello\r\n0\r\n\r\n"),
        1 => Just("5\nhello\r\n0\r\n\r\n"),
        1 => Just("5\r\nhello0\r\n\r\n"),
        1 => Just("0\r\nx : 1\r\n\r\n"),
    ];
    (line, a_line_end(), lines, a_line_end(), body)
        .prop_map(|((method, target, version), end, lines, last, body)| {
            let mut text = format!("{method} {target} {version}{end}");
            for (line, end) in lines {
                text += &format!("{line}{end}");
            }
            text + last + body
        })
        .prop_map(String::into_bytes)
}

/// A few messages in a row, some with a byte that does not belong there.
pub(super) fn a_stream() -> impl Strategy<Value = Vec<u8>> {
    let spoiled = prop::option::weighted(0.25, (any::<prop::sample::Index>(), any::<u8>()));
    (prop::collection::vec(a_message(), 1..4), spoiled).prop_map(|(messages, spoiled)| {
        let mut bytes = messages.concat();
        if let Some((at, byte)) = spoiled {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}
