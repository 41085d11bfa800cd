//! What comes back, and what is made of it.

use proptest::prelude::*;

use super::{super::Malformed, *};

fn get(text: &str, then: Then) -> Result<Seen, Fault> {
    ask("GET", Script::new([text], then))
}

fn plain(text: &str) -> Result<Seen, Fault> {
    get(text, Then::Silence)
}

#[test]
fn b1_some_answers_have_no_body() {
    for (method, head) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not\r\ncontent-length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ] {
        let seen = ask(method, Script::new([head], Then::Silence)).expect("an answer");
        assert!(seen.body.is_empty() && seen.reusable, "{head:?}: {seen:?}");
        let with_body = format!("{head}hello");
        let seen = ask(method, Script::new([with_body], Then::Silence)).expect("an answer");
        assert!(seen.body.is_empty() && !seen.reusable, "{head:?}: {seen:?}");
    }
}

#[test]
fn b2_a_body_that_breaks_off_is_an_error() {
    for (text, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", "hel"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n", "hel"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", "hel"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", ""),
    ] {
        for then in [Then::End, Then::Reset] {
            let seen = get(text, then).expect("a head");
            assert_eq!((&*seen.body, seen.broken), (body, Some(AnswerError::Truncated)));
        }
    }
    let until_end = "HTTP/1.1 200 OK\r\n\r\nhel";
    let whole = get(until_end, Then::End).expect("an answer");
    assert_eq!((&*whole.body, whole.broken, whole.reusable), ("hel", None, false));
    let reset = get(until_end, Then::Reset).expect("a head");
    assert_eq!((&*reset.body, reset.broken), ("hel", Some(AnswerError::Truncated)));
}

#[test]
fn b5_bytes_behind_an_answer_cost_its_connection() {
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ] {
        let seen = plain(text).expect("an answer");
        assert_eq!((&*seen.body, seen.reusable), ("hi", true));
        let seen = plain(&format!("{text}HTTP/1.1 200 OK\r\n\r\n")).expect("an answer");
        assert_eq!((&*seen.body, seen.reusable), ("hi", false));
    }
}

#[test]
fn b5_bytes_that_nobody_asked_for_cost_an_idle_connection() {
    run(async {
        let first = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        for (then, more) in [(Then::Silence, ""), (Then::Silence, "x"), (Then::End, "")] {
            let head = Request::new(());
            let script = Script::new([first, more], then);
            let mut seen = Seen::default();
            let response = send(Connection::new(script), &head, Empty::new(), &mut seen).await;
            let mut answer = response.expect("an answer").into_body();
            read_body(&mut answer, &mut seen).await;
            let mut connection = answer.take_connection().expect("clean so far");
            // A wait stands before the end, or before what is too much.
            assert!(connection.rest());
            assert_eq!(connection.is_open(), (then, more) == (Then::Silence, ""));
        }
    });
}

#[test]
fn b6_trailers_come_with_the_end() {
    let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                2\r\nhi\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n";
    let seen = plain(text).expect("an answer");
    let trailer = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(seen.trailers, [trailer("x-a", "1"), trailer("x-b", "2")]);
    assert!(seen.reusable && seen.body == "hi");
    let alone = text.replace("2\r\nhi\r\n", "");
    let seen = plain(&alone).expect("an answer");
    assert_eq!((seen.trailers.len(), seen.reusable), (2, true));
}

#[test]
fn b8_interim_answers_are_counted() {
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let hints = |count: usize| "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(count);
    let seen = plain(&format!("{}{last}", hints(16))).expect("an answer");
    assert_eq!((seen.status, seen.interim), (200, vec![103; 16]));
    let endless = plain(&format!("{}{last}", hints(17)));
    assert_eq!(endless, Err(Fault::Malformed(Malformed::TooManyInterim)));
    let only_hints = get(&hints(1), Then::End);
    assert_eq!(only_hints, Err(Fault::Ended { midway: true }));
    let with_body = plain(&format!("HTTP/1.1 100 Go\r\ncontent-length: 3\r\n\r\nabc{last}"));
    assert_eq!(with_body, Err(Fault::Malformed(Malformed::LengthUnclear)));
}

#[test]
fn w2_a_switch_that_was_not_asked_for_is_refused() {
    let text = "HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nahead";
    assert_eq!(plain(text), Err(Fault::Malformed(Malformed::UnaskedSwitch)));
    let head = Request::get("/").header("upgrade", "websocket").body(()).expect("a request");
    run(async {
        let connection = Connection::new(Script::new([text], Then::End));
        let mut seen = Seen::default();
        let response = send(connection, &head, Empty::new(), &mut seen).await.expect("an answer");
        let mut switched = response.into_body().into_switched().expect("switched");
        let mut read = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut switched, &mut read).await.expect("bytes");
        assert_eq!(read, "ahead");
    });
}

#[test]
fn no_answer_is_told_from_half_a_one() {
    for then in [Then::End, Then::Reset] {
        assert_eq!(get("", then), Err(Fault::Ended { midway: false }));
        assert_eq!(get("HTTP/1.1 200 OK\r\n", then), Err(Fault::Ended { midway: true }));
    }
}

#[test]
fn large_bodies_come_whole() {
    let body = "0123456789".repeat(100_000);
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let seen = plain(&text).expect("an answer");
    assert!(seen.body == body && seen.reusable);
}

/// Answers, most of them well-formed.
fn answers() -> impl Strategy<Value = String> {
    let interim = prop_oneof![
        4 => Just(""),
        1 => Just("HTTP/1.1 100 Continue\r\n\r\n"),
        1 => Just("HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n"),
        1 => Just("HTTP/1.1 101 Switch\r\nupgrade: x\r\n\r\n"),
    ];
    let start = prop_oneof![
        6 => Just("HTTP/1.1 200 OK\r\n"),
        1 => Just("HTTP/1.0 200 OK\r\n"),
        1 => Just("HTTP/1.1 204 \r\n"),
        1 => Just("HTTP/1.1 304\r\n"),
        1 => Just("HTTP/1.1 999 Odd\r\n"),
        1 => Just("HTTP/2.0 200 OK\r\n"),
    ];
    let field = prop_oneof![
        Just("x-a: 1\r\n"),
        Just("X-B:\t2 \r\n"),
        Just("connection: close\r\n"),
        Just("connection: keep-alive\r\n"),
        Just("folded: 1\r\n 2\r\n"),
    ];
    let body = prop_oneof![
        Just("\r\n"),
        Just("content-length: 5\r\n\r\nhello"),
        Just("content-length: 9\r\n\r\nhello"),
        Just("content-length: 3\r\n\r\nhello"),
        Just("content-length: 0\r\n\r\n"),
        Just("content-length: 5\r\ncontent-length: 5\r\n\r\nhello"),
        Just("transfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
        Just("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\nmore"),
        Just("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n"),
        Just("transfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n"),
        Just("\r\nuntil the end"),
    ];
    (interim, start, proptest::collection::vec(field, 0..3), body).prop_map(
        |(interim, start, fields, body)| interim.to_owned() + start + &fields.concat() + body,
    )
}

proptest! {
    #[test]
    fn any_split_of_an_answer_gives_the_same(
        text in answers(),
        noise in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        cuts in proptest::collection::vec(0_usize..400, 0..5),
        then in prop_oneof![Just(Then::End), Just(Then::Reset)],
        method in prop_oneof![Just("GET"), Just("HEAD")],
    ) {
        let mut text = text.into_bytes();
        if let Some((place, byte)) = noise {
            let place = place.index(text.len());
            text[place] = byte;
        }
        let whole = ask(method, Script::new([&text], then));
        let split = ask(method, Script::new(cut(&text, &cuts), then));
        let bytes = ask(method, Script::new(text.chunks(1), then));
        for other in [split, bytes] {
            // Bytes behind the answer may not be there yet.
            let reusable = |seen: &Result<Seen, Fault>| seen.as_ref().is_ok_and(|seen| seen.reusable);
            prop_assert!(!reusable(&whole) || reusable(&other));
            let plain = |seen: Result<Seen, Fault>| seen.map(|seen| Seen { reusable: false, ..seen });
            prop_assert_eq!(plain(other), plain(whole.clone()));
        }
    }
}
