//! What is sent, and what becomes of what is not.

use std::{cell::Cell, collections::VecDeque};

use http_body::Frame;
use http_body_util::Full;
use proptest::prelude::*;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A body of given frames, before each of which there is a wait.
#[derive(Debug, Default)]
struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, io::Error>>,
    length: Option<u64>,
    paused: bool,
    /// Not given away before this is set.
    held: Option<Rc<Cell<bool>>>,
    alive: Rc<()>,
}

impl Frames {
    fn new(chunks: &[&str]) -> Self {
        let frame = |chunk: &&str| Ok(Frame::data(Bytes::copy_from_slice(chunk.as_bytes())));
        Self { frames: chunks.iter().map(frame).collect(), ..Self::default() }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.held.as_ref().is_some_and(|held| !held.get()) {
            return Poll::Pending;
        }
        self.paused = !self.paused;
        if self.paused {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.frames.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(http_body::SizeHint::new, http_body::SizeHint::with_exact)
    }
}

fn post() -> Request<()> {
    Request::post("/").body(()).expect("a request")
}

/// Posts `body` over `script`.
fn put_out<B>(script: Script, body: B) -> Result<Seen, SendError<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
{
    run(async {
        let mut seen = Seen::default();
        let response = send(Connection::new(script), &post(), body, &mut seen).await?;
        let mut answer = response.into_body();
        read_body(&mut answer, &mut seen).await;
        seen.reusable = answer.take_connection().is_some();
        Ok(seen)
    })
}

#[test]
fn a_small_request_is_one_write() {
    let script = Script::new([OK], Then::Silence);
    let wire = script.wire();
    let seen = put_out(script, Full::new(Bytes::from_static(b"hello"))).expect("an answer");
    assert!(seen.reusable);
    assert_eq!(wire.borrow().text(), "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello");
    assert_eq!(wire.borrow().writes, 1);
}

#[test]
fn b4_a_body_of_unknown_length_is_chunked_whatever_the_method() {
    for method in ["GET", "DELETE", "POST", "PURGE"] {
        let script = Script::new([OK], Then::Silence);
        let wire = script.wire();
        let head = Request::builder().method(method).uri("/").body(()).expect("a request");
        run(async {
            let body = Frames::new(&["one", "", "two"]);
            let answer = send(Connection::new(script), &head, body, &mut Seen::default()).await;
            let mut answer = answer.expect("an answer").into_body();
            read_body(&mut answer, &mut Seen::default()).await;
            // The answer did not wait for the last of it.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        });
        let start = format!("{method} / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
        assert!(wire.borrow().text().starts_with(&start));
    }
}

#[test]
fn b6_trailers_of_a_request_are_sent() {
    let script = Script::new(["", OK], Then::Silence);
    let wire = script.wire();
    let mut body = Frames::new(&["hi"]);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("7"));
    body.frames.push_back(Ok(Frame::trailers(trailers)));
    run(async {
        let mut sending = super::super::Sending::new(&post(), Outgoing::new(body));
        let mut script = script;
        poll_fn(|context| sending.poll(&mut script, context)).await.expect("sent");
        assert!(sending.is_done());
    });
    let expected = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
                    2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n";
    assert_eq!(wire.borrow().text(), expected);
}

#[test]
fn what_was_not_sent_comes_back_whole() {
    let script = Script::new([OK], Then::End);
    script.wire().borrow_mut().broken_after = Some(0);
    let error = put_out(script, Full::new(Bytes::from_static(b"hello"))).expect_err("broken");
    assert_eq!(error.fault, Fault::Ended { midway: false });
    let again = error.unsent.expect("no byte of it was sent");
    assert_eq!(again.size_hint().exact(), Some(5));
    let script = Script::new([OK], Then::Silence);
    let wire = script.wire();
    run(async {
        let answer = Connection::new(script).send(&post(), again, |_, _| {}).await;
        assert!(answer.is_ok());
    });
    assert!(wire.borrow().text().ends_with("content-length: 5\r\n\r\nhello"));
}

#[test]
fn what_was_sent_in_part_does_not_come_back() {
    let script = Script::new([""], Then::Reset);
    script.wire().borrow_mut().broken_after = Some(1);
    let error = put_out(script, Full::new(Bytes::from_static(b"hello"))).expect_err("broken");
    assert_eq!(error.fault, Fault::Ended { midway: false });
    assert!(error.unsent.is_none());
}

#[test]
fn b10_an_early_answer_survives_that_the_rest_is_not_taken() {
    let script = Script::new(["HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno"], Then::Reset);
    script.wire().borrow_mut().broken_after = Some(60);
    let seen = put_out(script, Frames::new(&["hello"; 100])).expect("an answer");
    assert_eq!((seen.status, &*seen.body, seen.broken), (413, "no", None));
    assert!(!seen.reusable);
}

#[test]
fn b10_the_request_is_dropped_with_the_answer() {
    let script = Script::new([OK], Then::Silence);
    let body = Frames { held: Some(Rc::default()), ..Frames::new(&["hello"]) };
    let alive = Rc::downgrade(&body.alive);
    let seen = put_out(script, body).expect("an answer");
    assert!(alive.upgrade().is_none() && !seen.reusable, "{seen:?}");
}

#[test]
fn the_rest_of_a_request_is_sent_while_nobody_reads_its_answer() {
    let script = Script::new([OK], Then::Silence);
    let wire = script.wire();
    let held = Rc::new(Cell::new(false));
    let body = Frames { held: Some(Rc::clone(&held)), length: Some(5), ..Frames::new(&["hello"]) };
    run(async {
        let mut seen = Seen::default();
        let answer = send(Connection::new(script), &post(), body, &mut seen).await;
        let mut answer = answer.expect("an answer").into_body();
        // Nothing wakes the task for it: it is polled anew.
        held.set(true);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(wire.borrow().text().ends_with("\r\n\r\nhello"), "{:?}", wire.borrow().text());
        read_body(&mut answer, &mut seen).await;
        assert!(seen.body == "ok" && answer.take_connection().is_some());
    });
}

#[test]
fn a_body_that_breaks_off_breaks_the_exchange() {
    let broken = || {
        let mut body = Frames::new(&["he"]);
        body.frames.push_back(Err(io::ErrorKind::BrokenPipe.into()));
        body
    };
    let error = put_out(Script::new([""], Then::Silence), broken()).expect_err("broken");
    assert_eq!(error.fault, Fault::Request);
    // Neither less than it said, nor more.
    for length in [1, 3] {
        let body = Frames { length: Some(length), ..Frames::new(&["he"]) };
        let error = put_out(Script::new([""], Then::Silence), body).expect_err("broken");
        assert_eq!(error.fault, Fault::Request);
    }
}

#[test]
fn an_answer_in_place_of_100_leaves_the_body_where_it_is() {
    let head = Request::post("/").header("expect", "100-continue").body(()).expect("a request");
    for (first, taken) in [("", false), ("HTTP/1.1 100 Continue\r\n\r\n", true)] {
        let text = format!("{first}HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nno");
        let script = Script::new([text], Then::Silence);
        let wire = script.wire();
        let held = Rc::new(Cell::new(false));
        let body =
            Frames { held: Some(Rc::clone(&held)), length: Some(5), ..Frames::new(&["hello"]) };
        run(async {
            let interim = |_, _: &HeaderMap| held.set(true);
            let answer = Connection::new(script).send(&head, Outgoing::new(body), interim).await;
            let mut answer = answer.expect("an answer").into_body();
            held.set(true);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            read_body(&mut answer, &mut Seen::default()).await;
        });
        assert_eq!(wire.borrow().text().ends_with("hello"), taken, "{first:?}");
    }
}

#[test]
fn a_large_chunk_ends_before_the_next_one_begins() {
    let chunk = "x".repeat(20_000);
    let mut script = Script::new([""], Then::Silence);
    let wire = script.wire();
    // It hesitates between the CR and the LF behind the chunk.
    (wire.borrow_mut().most, wire.borrow_mut().hesitant) = (1, true);
    run(async {
        let body = Frames::new(&[&chunk, "y"]);
        let mut sending = super::super::Sending::new(&post(), Outgoing::new(body));
        poll_fn(|context| sending.poll(&mut script, context)).await.expect("sent");
    });
    assert!(wire.borrow().text().ends_with("x\r\n1\r\ny\r\n0\r\n\r\n"));
}

proptest! {
    #[test]
    fn however_little_is_taken_at_once_the_same_is_sent(
        sizes in proptest::collection::vec(prop_oneof![0_usize..40, 16_000_usize..40_000], 0..5),
        known in any::<bool>(),
        most in prop_oneof![Just(0_usize), Just(1), 1_usize..50, 10_000_usize..20_000],
        hesitant in any::<bool>(),
    ) {
        let chunks: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        let total: usize = sizes.iter().sum();
        let length = known.then_some(total as u64);
        let mut script = Script::new([""], Then::Silence);
        let wire = script.wire();
        (wire.borrow_mut().most, wire.borrow_mut().hesitant) = (most, hesitant);
        run(async {
            let body = Frames { length, ..Frames::new(&chunks) };
            let mut sending = super::super::Sending::new(&post(), Outgoing::new(body));
            poll_fn(|context| sending.poll(&mut script, context)).await.expect("sent");
        });
        let mut expected = if known {
            format!("POST / HTTP/1.1\r\ncontent-length: {total}\r\n\r\n")
        } else {
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
        };
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
            if known {
                expected += chunk;
            } else {
                expected += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
            }
        }
        if !known {
            expected += "0\r\n\r\n";
        }
        prop_assert!(wire.borrow().text() == expected);
    }
}
