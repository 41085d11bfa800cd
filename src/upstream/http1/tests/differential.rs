//! Well-formed answers are understood as hyper's client understands them.

use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// What hyper makes of `text` in answer to a request of `method`.
fn hyper_sees(method: &str, text: &str) -> Seen {
    let request = Request::builder().method(method).uri("/");
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let text = text.to_owned();
    run(async move {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.expect("open");
        tokio::task::spawn_local(connection);
        tokio::task::spawn_local(async move {
            // It is not to be answered before it was asked.
            let mut byte = [0];
            far.read_exact(&mut byte).await.expect("a request");
            far.write_all(text.as_bytes()).await.expect("room");
        });
        let response = sender.send_request(request).await.expect("an answer");
        let mut seen = Seen { status: response.status().as_u16(), ..Seen::default() };
        seen.fields = fields(response.headers());
        let body = response.into_body().collect().await.expect("a body");
        seen.trailers = body.trailers().map(fields).unwrap_or_default();
        seen.body = String::from_utf8(body.to_bytes().to_vec()).expect("text");
        seen
    })
}

fn field() -> impl Strategy<Value = String> {
    let name = "[a-zA-Z][a-zA-Z0-9!#$%&'*+.^_`|~-]{0,12}".prop_filter("framing", |name| {
        let framing = ["connection", "content-length", "transfer-encoding", "upgrade"];
        !framing.iter().any(|field| name.eq_ignore_ascii_case(field))
    });
    (name, "[ \t]{0,2}", "([!-~]([ -~\t]{0,12}[!-~])?)?", "[ \t]{0,2}")
        .prop_map(|(name, before, value, after)| format!("{name}:{before}{value}{after}\r\n"))
}

fn chunk() -> impl Strategy<Value = String> {
    ("[a-z\r\n]{1,40}", "(;[a-z]{1,3}(=[a-z0-9]{1,3})?){0,2}", "0{0,3}").prop_map(
        |(data, extension, zeros)| format!("{zeros}{:X}{extension}\r\n{data}\r\n", data.len()),
    )
}

/// The fields about the body, and all that follows the head.
fn framed() -> impl Strategy<Value = String> {
    let counted =
        "[a-z\r\n]{0,60}".prop_map(|body| format!("content-length: {}\r\n\r\n{body}", body.len()));
    let chunked =
        (proptest::collection::vec(chunk(), 0..4), proptest::collection::vec(field(), 0..3))
            .prop_map(|(chunks, trailers)| {
                let (chunks, trailers) = (chunks.concat(), trailers.concat());
                format!("transfer-encoding: chunked\r\n\r\n{chunks}0\r\n{trailers}\r\n")
            });
    let until_end = "[a-z\r\n]{0,60}".prop_map(|body| format!("\r\n{body}"));
    prop_oneof![counted, chunked, until_end]
}

proptest! {
    #[test]
    fn what_is_well_formed_is_understood_as_hyper_does(
        version in prop_oneof![4 => Just("1.1"), 1 => Just("1.0")],
        status in prop_oneof![Just(200_u16), Just(404), Just(500), 200_u16..600],
        reason in "( [a-zA-Z ]{0,12})?",
        head_fields in proptest::collection::vec(field(), 0..6),
        rest in framed(),
        cuts in proptest::collection::vec(0_usize..600, 0..4),
    ) {
        // Neither has a body, and what follows is nobody's.
        let bodiless = matches!(status, 204 | 304);
        let chunked = rest.starts_with("transfer-encoding");
        prop_assume!(!(version == "1.0" && chunked));
        let rest = if bodiless { "\r\n" } else { &rest };
        let text = format!("HTTP/{version} {status}{reason}\r\n{}{rest}", head_fields.concat());
        let hyper = hyper_sees("GET", &text);
        let script = Script::new(cut(text.as_bytes(), &cuts), Then::End);
        let ours = ask("GET", script).expect("an answer");
        prop_assert_eq!(Seen { reusable: false, ..ours }, hyper);
    }
}
