//! Methods with bodies and without, and what follows on the same connection
//! (rows B1, B4, B6, F21).

use super::{
    Expect::{Either, Forwarded, ForwardedThenRefused, Refused},
    List, SMUGGLED, chunked, get, post,
};

pub(super) fn list(list: &mut List) {
    let length = "content-length: 5\r\n";
    let coding = "transfer-encoding: chunked\r\n";
    for method in ["GET", "DELETE", "OPTIONS", "PUT", "PATCH", "PROPFIND"] {
        let request = |fields: &str, body: &str| {
            post(fields, body).replacen("POST /post", &format!("{method} /body"), 1)
        };
        list.add("B4", format!("{method} with a length"), Forwarded(1), request(length, "hello"));
        let whole = request(coding, "5\r\nhello\r\n0\r\n\r\n");
        list.add("B4", format!("{method} in chunks"), Forwarded(1), whole);
        let none = request("content-length: 0\r\n", "");
        list.add("B4", format!("{method} with a length of zero"), Forwarded(1), none);
    }
    list.add("B1", "HEAD", Forwarded(1), get("/head", "").replacen("GET", "HEAD", 1));
    list.add(
        "B1",
        "HEAD with a body",
        Either,
        (get("/head", length) + "hello").replacen("GET", "HEAD", 1),
    );
    list.add("B4", "POST without a length", Forwarded(1), post("", ""));
    let hidden = format!("content-length: {}\r\n", SMUGGLED.len());
    list.add("B4", "a GET whose body is a request", Forwarded(1), get("/body", &hidden) + SMUGGLED);
    let long = "x".repeat(8000);
    list.add("B4", "8000 bytes", Forwarded(1), post("content-length: 8000\r\n", &long));
    let pieces = format!("{}0\r\n\r\n", "3\r\nabc\r\n".repeat(1000));
    list.add("B4", "a thousand chunks", Forwarded(1), chunked(&pieces));
    list.add(
        "B6",
        "trailers that are announced",
        Forwarded(1),
        post(
            "trailer: x-sum\r\nte: trailers\r\ntransfer-encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
    );
    // One after the other.
    list.add(
        "F4",
        "three requests at once",
        Forwarded(3),
        [get("/1", ""), get("/2", ""), get("/3", "")].concat(),
    );
    list.add(
        "F4",
        "a body and a request at once",
        Forwarded(2),
        post(length, "hello") + &get("/2", ""),
    );
    list.add(
        "F4",
        "chunks and a request at once",
        Forwarded(2),
        chunked("5\r\nhello\r\n0\r\n\r\n") + &get("/2", ""),
    );
    list.add(
        "F4",
        "two bodies at once",
        Forwarded(2),
        post(length, "hello") + &chunked("0\r\n\r\n"),
    );
    list.add("F4", "an empty line between", Either, post(length, "hello") + "\r\n");
    list.add(
        "F4",
        "a request and rubbish",
        ForwardedThenRefused(1),
        get("/1", "") + "rubbish\r\n\r\n",
    );
    list.add(
        "F4",
        "a request and a bad one",
        ForwardedThenRefused(1),
        get("/1", "") + &get("/a%2fb", ""),
    );
    let both = post("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n");
    list.add(
        "F1",
        "a request and one with both framings",
        ForwardedThenRefused(1),
        get("/1", "") + &both,
    );
    list.add(
        "F4",
        "a goodbye and a request",
        ForwardedThenRefused(1),
        get("/1", "connection: close\r\n") + &get("/smuggled", ""),
    );
    list.add(
        "F11",
        "a bad request and a good one",
        Refused,
        format!("GET / HTTP/1.1\r\n\r\n{SMUGGLED}"),
    );
    // HTTP/1.0.
    let old = |request: String| request.replace("HTTP/1.1", "HTTP/1.0");
    list.add("F21", "1.0", Either, old(get("/old", "")));
    list.add("F21", "1.0 with a body", Either, old(post(length, "hello")));
    list.add("F21", "1.0 kept alive", Either, old(get("/old", "connection: keep-alive\r\n")));
    let kept = old(post("connection: keep-alive\r\ncontent-length: 5\r\n", "hello"));
    list.add("F21", "1.0 with a body, kept alive", Either, kept);
    list.add("F21", "1.0 without a length", Either, old(post("connection: keep-alive\r\n", "")));
}
