//! Where a message ends (rows F1 to F9, F19).

use super::{
    Expect::{Cut, Either, Forwarded, ForwardedThenRefused, Refused},
    List, SMUGGLED, chunked, get, post,
};

pub(super) fn list(list: &mut List) {
    two_framings(list);
    codings(list);
    lengths(list);
    chunks(list);
    lines(list);
    versions(list);
}

fn two_framings(list: &mut List) {
    let both = ["content-length: 5\r\n", "transfer-encoding: chunked\r\n"];
    let body = format!("0\r\n\r\n{SMUGGLED}");
    list.add("F1", "length then coding", Refused, post(&both.concat(), &body));
    list.add("F1", "coding then length", Refused, post(&[both[1], both[0]].concat(), &body));
    let covering = format!("content-length: {}\r\n", body.len());
    list.add("F1", "length over what is hidden", Refused, post(&(covering + both[1]), &body));
    let zero = "content-length: 0\r\ntransfer-encoding: chunked\r\n";
    list.add("F1", "length zero and coding", Refused, post(zero, "0\r\n\r\n"));
    list.add("F1", "get with both", Refused, get("/x", &both.concat()) + "0\r\n\r\n");
    let http10 = post(&both.concat(), "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    list.add("F1", "both in 1.0", Refused, http10);
}

fn codings(list: &mut List) {
    for (name, value) in [
        ("chunked twice", "chunked, chunked"),
        ("gzip before chunked", "gzip, chunked"),
        ("chunked before gzip", "chunked, gzip"),
        ("identity", "identity"),
        ("identity before chunked", "identity, chunked"),
        ("chunked before identity", "chunked, identity"),
        ("comma before chunked", ",chunked"),
        ("comma after chunked", "chunked,"),
        ("xchunked", "xchunked"),
        ("chunk", "chunk"),
        ("chunked with a parameter", "chunked;q=1"),
        ("chunked in quotes", "\"chunked\""),
        ("chunked after a vertical tab", "\x0bchunked"),
        ("chunked before a form feed", "chunked\x0c"),
        ("chunked after a no-break space", "\u{a0}chunked"),
        ("chunked with a long s", "chunKed\u{17f}"),
        ("chunked before a space and more", "chunked x"),
        ("no value", ""),
        ("cow", "cow"),
    ] {
        let body = format!("0\r\n\r\n{SMUGGLED}");
        let fields = format!("transfer-encoding: {value}\r\n");
        list.add("F2", format!("coding: {name}"), Refused, post(&fields, &body));
    }
    for (name, one, two) in [
        ("chunked, chunked", "chunked", "chunked"),
        ("chunked, identity", "chunked", "identity"),
        ("identity, chunked", "identity", "chunked"),
        ("gzip, chunked", "gzip", "chunked"),
        ("chunked, nothing", "chunked", ""),
    ] {
        let fields = format!("transfer-encoding: {one}\r\nTransfer-Encoding: {two}\r\n");
        list.add("F2", format!("two coding lines: {name}"), Refused, post(&fields, "0\r\n\r\n"));
    }
    for (name, field) in [
        ("upper case", "TRANSFER-ENCODING: CHUNKED\r\n"),
        ("mixed case", "Transfer-Encoding: ChUnKeD\r\n"),
        ("without a space", "transfer-encoding:chunked\r\n"),
        ("with a tab", "transfer-encoding:\tchunked\r\n"),
        ("with spaces around", "transfer-encoding:  chunked \t \r\n"),
    ] {
        let good = post(field, "5\r\nhello\r\n0\r\n\r\n");
        list.add("F2", format!("coding {name}"), Forwarded(1), good);
    }
    for (name, field) in [
        ("space before the colon", "transfer-encoding : chunked\r\n"),
        ("tab before the colon", "transfer-encoding\t: chunked\r\n"),
        ("space before the name", " transfer-encoding: chunked\r\n"),
        ("folded value", "transfer-encoding:\r\n chunked\r\n"),
        ("folded name", "x-a: b\r\n\ttransfer-encoding: chunked\r\n"),
        ("nul in the value", "transfer-encoding: chunked\0\r\n"),
        ("nul in the name", "transfer-encoding\0: chunked\r\n"),
        ("bare cr before it", "x-a: b\rtransfer-encoding: chunked\r\n"),
        ("bare cr within", "transfer-encoding: chun\rked\r\n"),
        ("a quote in the name", "\"transfer-encoding\": chunked\r\n"),
        ("underscore", "transfer_encoding: chunked\r\n"),
        ("no colon", "transfer-encoding chunked\r\n"),
    ] {
        let fields = format!("content-length: 5\r\n{field}");
        let body = format!("0\r\n\r\n{SMUGGLED}");
        list.add("F8", format!("coding with {name}"), Refused, post(&fields, &body));
    }
    let old = chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    list.add("F3", "coding in 1.0", Refused, old);
    let old = chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    let kept = old.replace("host:", "connection: keep-alive\r\nhost:");
    list.add("F3", "coding in 1.0 that is kept alive", Refused, kept);
}

fn lengths(list: &mut List) {
    for (name, value) in [
        ("a plus", "+5"),
        ("a minus", "-5"),
        ("a list", "5,5"),
        ("a list with a space", "5, 5"),
        ("two words", "5 5"),
        ("hexadecimal", "0x5"),
        ("a letter", "5a"),
        ("a point", "5.0"),
        ("an exponent", "5e0"),
        ("nothing", ""),
        ("a semicolon", "5;"),
        ("an underscore", "0_5"),
        ("quotes", "\"5\""),
        ("arabic digits", "\u{665}"),
        ("2 to the 64th", "18446744073709551616"),
        ("five more than that", "18446744073709551621"),
        ("a hundred nines", &"9".repeat(100)),
        ("a vertical tab", "\x0b5"),
    ] {
        let fields = format!("content-length: {value}\r\n");
        list.add("F4", format!("length: {name}"), Refused, post(&fields, "hello"));
    }
    for (name, fields) in [
        ("the same twice", "content-length: 5\r\ncontent-length: 5\r\n"),
        ("the same twice in two cases", "content-length: 5\r\nContent-Length: 5\r\n"),
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        ("a length and none", "content-length: 5\r\ncontent-length:\r\n"),
        ("a length and its sum", "content-length: 5\r\ncontent-length: 05\r\n"),
        ("zero and more", "content-length: 0\r\ncontent-length: 45\r\n"),
        ("a space before the colon", "content-length : 5\r\n"),
        ("a folded one", "content-length:\r\n 5\r\n"),
        ("a nul", "content-length: 5\0\r\n"),
    ] {
        list.add("F4", format!("lengths: {name}"), Refused, post(fields, "hello"));
    }
    let underscore = post("content_length: 45\r\ncontent-length: 5\r\n", "hello");
    list.add("F10", "a length with an underscore too", Refused, underscore);
    for (name, fields) in [
        ("plain", "content-length: 5\r\n"),
        ("leading zeros", "content-length: 0005\r\n"),
        ("spaces around", "content-length:  5 \t\r\n"),
    ] {
        list.add("F4", format!("length with {name}"), Forwarded(1), post(fields, "hello"));
    }
    let short = post("content-length: 5\r\n", "hello, you\r\n\r\n");
    list.add("F4", "more than the length", ForwardedThenRefused(1), short);
    list.add("F4", "less than the length", Cut, post("content-length: 500\r\n", "hello"));
    let most = post("content-length: 18446744073709551615\r\n", "hello");
    list.add("F4", "a length of almost 2 to the 64th", Cut, most);
    let most = post("content-length: 9223372036854775808\r\n", "hello");
    list.add("F4", "a length of 2 to the 63rd", Cut, most);
    list.add("F4", "no length and no coding", ForwardedThenRefused(1), post("", "hello\r\n\r\n"));
}

fn chunks(list: &mut List) {
    for (name, body) in [
        ("one", "5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("none", "0\r\n\r\n".to_owned()),
        ("three", "1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n".to_owned()),
        ("leading zeros", "0005\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("many zeros at the end", "5\r\nhello\r\n0000\r\n\r\n".to_owned()),
        ("letters in both cases", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n".to_owned()),
        ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("an extension in quotes", "5;a=\"b;c\"\r\nhello\r\n0;x\r\n\r\n".to_owned()),
        ("a trailer", "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n".to_owned()),
        ("a request as data", format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len())),
    ] {
        list.add("F5", format!("chunks: {name}"), Forwarded(1), chunked(&body));
    }
    for (name, body) in [
        ("a size of no digits", "\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size with a plus", "+5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size with a minus", "-5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size with a g", "5g\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size of 2 to the 64th and five", "10000000000000005\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size of 20 digits", "00000000000000000000000005x\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a size of -1", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a space before the size", " 5\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a bare lf after the size", "5\nhello\r\n0\r\n\r\n".to_owned()),
        ("a bare cr after the size", "5\rhello\r\n0\r\n\r\n".to_owned()),
        ("a bare lf in an extension", format!("5;\nxhello\r\n0\r\n\r\n{SMUGGLED}")),
        ("a bare cr in an extension", "5;\rx\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a bare lf after the data", "5\r\nhello\n0\r\n\r\n".to_owned()),
        ("data longer than its size", "5\r\nhello you\r\n0\r\n\r\n".to_owned()),
        ("data shorter than its size", "9\r\nhello\r\n0\r\n\r\n".to_owned()),
        ("a bare lf at the end", "5\r\nhello\r\n0\n\n".to_owned()),
        ("no end", "5\r\nhello\r\n".to_owned()),
        ("rubbish for an end", "5\r\nhello\r\nrubbish\r\n\r\n".to_owned()),
        ("one lf less at the end", "5\r\nhello\r\n0\r\n\rX".to_owned()),
        ("a trailer without a colon", "5\r\nhello\r\n0\r\nrubbish\r\n\r\n".to_owned()),
        ("a trailer with a nul", "5\r\nhello\r\n0\r\nx-a: \0\r\n\r\n".to_owned()),
        ("a size that ends in 32 bits", "100000005\r\nhello\r\n0\r\n\r\n".to_owned()),
    ] {
        list.add("F5", format!("chunks: {name}"), Cut, chunked(&body));
    }
    for (name, body) in [
        ("a space after the size", "5 \r\nhello\r\n0\r\n\r\n"),
        ("a tab after the size", "5\t\r\nhello\r\n0\r\n\r\n"),
        ("a nul in an extension", "5;\0\r\nhello\r\n0\r\n\r\n"),
        ("an extension that is not one", "5;;;=\r\nhello\r\n0\r\n\r\n"),
        ("a trailer that frames", "5\r\nhello\r\n0\r\ncontent-length: 50\r\n\r\n"),
        ("a trailer that codes", "5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("a trailer that names a host", "5\r\nhello\r\n0\r\nhost: evil.test\r\n\r\n"),
        ("a folded trailer", "5\r\nhello\r\n0\r\nx-a: b\r\n c\r\n\r\n"),
        ("a trailer with a space", "5\r\nhello\r\n0\r\nx-a : b\r\n\r\n"),
    ] {
        list.add("F5", format!("chunks: {name}"), Either, chunked(body));
    }
    let quotes = chunked("5;a=\"\r\nhello\r\n0\r\n\r\n") + &get("/2", "") + "\"\r\n";
    list.add("F6", "an open quote in an extension", Either, quotes);
}

fn lines(list: &mut List) {
    let lf = "GET /lf HTTP/1.1\nhost: a.test\n\n";
    list.add("F7", "bare lf everywhere", Either, lf);
    list.add(
        "F7",
        "bare lf after the first line",
        Either,
        get("/lf", "").replacen("\r\n", "\n", 1),
    );
    let hidden = "GET /lf HTTP/1.1\r\nhost: a.test\r\nx-a: b\ncontent-length: 45\r\n\r\n";
    list.add("F7", "bare lf before a length", Refused, hidden.to_owned() + SMUGGLED);
    let end = "GET /lf HTTP/1.1\r\nhost: a.test\r\n\n";
    list.add("F7", "bare lf for the empty line", Either, end);
    let crs = "GET /cr HTTP/1.1\rhost: a.test\r\r";
    list.add("F7", "bare cr everywhere", Refused, crs);
    list.add("F7", "bare cr in a value", Refused, get("/cr", "x-a: b\rc\r\n"));
    list.add("F7", "cr twice", Refused, get("/cr", "x-a: b\r\r\n"));
    list.add("F7", "bare cr in the name", Refused, get("/cr", "x\r-a: b\r\n"));
    list.add("F7", "bare cr in the target", Refused, get("/c\rr", ""));
    for (name, byte) in [("nul", '\0'), ("bell", '\x07'), ("escape", '\x1b'), ("del", '\x7f')] {
        list.add(
            "F9",
            format!("{name} in a value"),
            Refused,
            get("/", &format!("x-a: b{byte}c\r\n")),
        );
        list.add("F9", format!("{name} in a name"), Refused, get("/", &format!("x{byte}a: b\r\n")));
        list.add("F9", format!("{name} in the target"), Refused, get(&format!("/a{byte}b"), ""));
    }
    let obs = [b"GET /obs HTTP/1.1\r\nhost: a.test\r\nx-a: \xe9\xff\x80\r\n\r\n"];
    list.add("F9", "bytes above 127 in a value", Forwarded(1), obs[0]);
    let obs = [b"GET /obs HTTP/1.1\r\nhost: a.test\r\nx-\xe9: b\r\n\r\n"];
    list.add("F9", "bytes above 127 in a name", Refused, obs[0]);
    list.add("F8", "a folded field", Refused, get("/", "x-a: b\r\n c\r\n"));
    list.add("F8", "a folded field with a tab", Refused, get("/", "x-a: b\r\n\tc\r\n"));
    list.add("F8", "a fold of nothing", Refused, get("/", "x-a: b\r\n \r\n"));
    list.add(
        "F8",
        "a space before the first field",
        Refused,
        "GET / HTTP/1.1\r\n host: a.test\r\n\r\n",
    );
    list.add("F8", "a space before the colon", Refused, get("/", "x-a : b\r\n"));
    list.add("F8", "a space in a name", Refused, get("/", "x a: b\r\n"));
    list.add("F8", "an empty name", Refused, get("/", ": b\r\n"));
    list.add("F8", "no colon", Refused, get("/", "x-a\r\n"));
    list.add("F8", "a slash in a name", Refused, get("/", "x/a: b\r\n"));
    list.add("F8", "brackets in a name", Refused, get("/", "x(a): b\r\n"));
    list.add("F8", "a quote in a name", Refused, get("/", "\"x\": b\r\n"));
    list.add("F8", "every character of a name", Forwarded(1), get("/", "!#$%&'*+-.^`|~9z: b\r\n"));
    list.add("F8", "an empty value", Forwarded(1), get("/", "x-a:\r\n"));
    list.add("F9", "empty lines before", Either, format!("\r\n\r\n{}", get("/", "")));
    list.add("F9", "bare lf before", Either, format!("\n{}", get("/", "")));
    list.add("F9", "a space before", Refused, format!(" {}", get("/", "")));
    list.add("F9", "a nul before", Refused, format!("\0{}", get("/", "")));
}

fn versions(list: &mut List) {
    list.add("F19", "0.9", Refused, "GET /\r\n\r\n");
    list.add("F19", "0.9 with a space", Refused, "GET / \r\nhost: a.test\r\n\r\n");
    for version in [
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/2",
        "HTTP/3.0",
        "HTTP/0.9",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1.",
        "HTTP/1",
        "HTTP/11",
        "HTTP/1.1x",
        "http/1.1",
        "Http/1.1",
        "HTTPS/1.1",
        "HTTP 1.1",
        "HTTP/1,1",
        "HTTP/+1.1",
        "XHTTP/1.1",
        "HTTP/1.1 HTTP/1.1",
        "\u{665}",
    ] {
        let request = format!("GET / {version}\r\nhost: a.test\r\n\r\n");
        list.add("F19", format!("version {version}"), Refused, request);
    }
    for (name, line) in [
        ("two spaces before the target", "GET  / HTTP/1.1"),
        ("two spaces before the version", "GET /  HTTP/1.1"),
        ("a tab before the target", "GET\t/ HTTP/1.1"),
        ("a tab before the version", "GET /\tHTTP/1.1"),
        ("a space at the end", "GET / HTTP/1.1 "),
        ("a tab at the end", "GET / HTTP/1.1\t"),
        ("a vertical tab", "GET /\x0bHTTP/1.1"),
        ("a space in the target", "GET /a b HTTP/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("no method", " / HTTP/1.1"),
        ("a slash in the method", "G/T / HTTP/1.1"),
        ("a bracket in the method", "GE(T / HTTP/1.1"),
        ("a colon in the method", "GET: / HTTP/1.1"),
        ("a nul in the method", "G\0T / HTTP/1.1"),
        ("bytes above 127 in the method", "G\u{c9}T / HTTP/1.1"),
    ] {
        list.add("F13", name, Refused, format!("{line}\r\nhost: a.test\r\n\r\n"));
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    list.add("D9", "the preface of http/2", Refused, preface);
    for method in ["get", "Get", "M-SEARCH", "X!#$%&'*+-.^_`|~", "PROPFIND", "GETGET"] {
        let request = get("/", "").replacen("GET", method, 1);
        list.add("F13", format!("method {method}"), Either, request);
    }
}
