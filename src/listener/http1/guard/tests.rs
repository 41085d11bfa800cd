//! The guard with hyper behind it, fed what clients and attackers send.

use std::{
    cell::RefCell, collections::VecDeque, convert::Infallible, future::pending, time::Duration,
};

use http::{Request, Response, header::CONNECTION};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    time::sleep,
};

use super::*;
use crate::{
    deadline::Tagged,
    listener::{
        ListenerSettings,
        http1::{Service, serve},
    },
};

mod streams;

use streams::a_stream;

/// A connection without a socket.
struct Wire(DuplexStream);

impl ClientStream for Wire {
    fn socket(&self) -> &TcpStream {
        unreachable!("nothing breaks off")
    }

    fn moves(&self) -> bool {
        false
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

type Pairs = Vec<(String, Vec<u8>)>;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Request { method: String, target: String, fields: Pairs, body: Option<(Vec<u8>, Pairs)> },
    Refused(Reason),
}

struct Said(Full<Bytes>);

impl Tagged for Said {
    fn tag(&self) -> Option<u64> {
        None
    }
}

impl http_body::Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }
}

fn pairs(fields: &http::HeaderMap) -> Pairs {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.as_bytes().to_vec())
    };
    fields.iter().map(pair).collect()
}

async fn look(request: Request<Incoming>) -> Seen {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.ok().map(|body| {
        let trailers = body.trailers().map(pairs).unwrap_or_default();
        (body.to_bytes().to_vec(), trailers)
    });
    Seen::Request {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        fields: pairs(&parts.headers),
        body,
    }
}

#[derive(Default)]
struct Watcher(RefCell<Vec<Seen>>);

impl Service for Watcher {
    type Body = Said;

    async fn answer(&self, request: Request<Incoming>) -> Response<Said> {
        let seen = look(request).await;
        self.0.borrow_mut().push(seen);
        Response::new(Said(Full::from("ok")))
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Said> {
        self.0.borrow_mut().push(Seen::Refused(refusal.reason));
        let mut response = Response::new(Said(Full::from("no")));
        response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
        response
    }
}

fn settings() -> ListenerSettings {
    ListenerSettings { max_target_size: crate::model::ByteSize(200), ..ListenerSettings::default() }
}

/// What a listener makes of `pieces`, each of which has been dealt with before
/// the next one comes.
fn served(pieces: &[&[u8]]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = duplex(1 << 20);
        let (watcher, settings) = (Watcher::default(), settings());
        let served = serve(Wire(server), (Bytes::new(), false), &settings, &watcher, pending());
        let sends = async {
            for piece in pieces {
                let _ = client.write_all(piece).await;
                sleep(Duration::from_millis(1)).await;
            }
            client.shutdown().await.expect("a client");
            let mut answers = Vec::new();
            client.read_to_end(&mut answers).await.expect("an end");
            answers
        };
        let (_, answers) = tokio::join!(served, sends);
        let seen = watcher.0.into_inner();
        // Whatever is refused is answered, and the last.
        if seen.iter().any(|seen| matches!(seen, Seen::Refused(_))) {
            assert!(matches!(seen.last(), Some(Seen::Refused(_))), "{seen:?}");
            let answers = String::from_utf8(answers).expect("text");
            assert!(answers.contains("connection: close"), "{answers}");
        }
        seen
    })
}

/// What hyper alone makes of `message`.
fn parsed(message: &[u8]) -> Result<Vec<Seen>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, server) = duplex(1 << 20);
        let seen = RefCell::new(Vec::new());
        let service = service_fn(|request| async {
            let looked = look(request).await;
            seen.borrow_mut().push(looked);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        client.write_all(message).await.expect("room");
        client.shutdown().await.expect("a client");
        connection.await.map_err(|error| error.to_string())?;
        Ok(seen.into_inner())
    })
}

/// The messages that a gate lets through, and whether it refused what follows.
fn passed(bytes: &[u8]) -> (Vec<&[u8]>, bool) {
    let limits = Limits::new(64 << 10, 200, 100);
    let mut gate = Gate { phase: Phase::head(), limits };
    let (mut messages, mut rest) = (Vec::new(), bytes);
    loop {
        while let Some(behind) = rest.strip_prefix(b"\r\n") {
            rest = behind;
        }
        match gate.pass(rest) {
            Err(_) => return (messages, true),
            Ok(length) if length > 0 && matches!(gate.phase, Phase::Head(_)) => {
                messages.push(&rest[..length]);
                rest = &rest[length..];
            }
            Ok(_) => return (messages, false),
        }
    }
}

/// A message that is known to be strict, read in the plainest way.
fn read_plainly(message: &[u8]) -> Seen {
    let end = message.windows(4).position(|end| end == b"\r\n\r\n").expect("an empty line");
    let (head, mut body) = (&message[..end], &message[end + 4..]);
    let mut lines = VecDeque::from(lines(head));
    let line = String::from_utf8(lines.pop_front().expect("a line").to_vec()).expect("ASCII");
    let words: Vec<_> = line.split(' ').collect();
    let fields: Vec<_> = lines.into_iter().map(field).collect();
    let chunked = fields.iter().any(|(name, _)| name == "transfer-encoding");
    let mut trailers = Vec::new();
    if chunked {
        let mut data = Vec::new();
        loop {
            let line = lines_until(&mut body);
            let size = line.split(|byte| b"; \t".contains(byte)).next().expect("a size");
            let size = std::str::from_utf8(size).expect("digits");
            let size = usize::from_str_radix(size, 16).expect("a size");
            if size == 0 {
                break;
            }
            data.extend_from_slice(&body[..size]);
            body = &body[size + 2..];
        }
        while !body.starts_with(b"\r\n") {
            trailers.push(field(lines_until(&mut body)));
        }
        return seen(&words, fields, data, trailers);
    }
    seen(&words, fields, body.to_vec(), trailers)
}

fn seen(words: &[&str], fields: Pairs, body: Vec<u8>, trailers: Pairs) -> Seen {
    let (method, target) = (words[0].to_owned(), words[1].to_owned());
    Seen::Request { method, target, fields, body: Some((body, trailers)) }
}

fn lines(head: &[u8]) -> Vec<&[u8]> {
    let lines = head.split(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect()
}

fn lines_until<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.windows(2).position(|end| end == b"\r\n").expect("a line");
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    line
}

fn field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
    let name = String::from_utf8(line[..colon].to_vec()).expect("ASCII");
    (name.to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec())
}

/// In the order of their names: hyper keeps that of the lines of one name only.
fn sorted(seen: Seen) -> Seen {
    match seen {
        Seen::Request { method, target, mut fields, mut body } => {
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            if let Some((_, trailers)) = &mut body {
                trailers.sort_by(|one, other| one.0.cmp(&other.0));
            }
            Seen::Request { method, target, fields, body }
        }
        refused => refused,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_split_of_the_bytes_gives_the_same(
        bytes in a_stream(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = served(&[&bytes]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut pieces = Vec::new();
        let mut from = 0;
        for to in cuts {
            pieces.push(&bytes[from..to]);
            from = to;
        }
        prop_assert_eq!(&whole, &served(&pieces));
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&whole, &served(&single));
    }

    #[test]
    fn what_is_let_through_hyper_reads_alike(bytes in a_stream()) {
        let (messages, _) = passed(&bytes);
        for message in messages {
            let expected = sorted(read_plainly(message));
            let parsed = parsed(message);
            let one = parsed.as_ref().ok().and_then(|seen| match &seen[..] {
                [one] => Some(sorted(one.clone())),
                _ => None,
            });
            prop_assert!(one == Some(expected.clone()), "{parsed:?} for {expected:?}");
        }
    }

    #[test]
    fn what_was_served_is_what_was_let_through(bytes in a_stream()) {
        let (messages, refused) = passed(&bytes);
        let served = served(&[&bytes]);
        let asked = served.iter().filter(|seen| matches!(seen, Seen::Request { .. })).count();
        // The last may be one whose body breaks off, and some ask to close.
        prop_assert!(asked <= messages.len() + 1, "{served:?}");
        prop_assert!(asked > 0 || messages.is_empty(), "{messages:?}");
        prop_assert!(refused || !served.iter().any(|seen| matches!(seen, Seen::Refused(_))));
    }
}

#[test]
fn pipelined_requests_are_seen_one_by_one() {
    let one = "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    let two =
        "\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let three = "GET /3 HTTP/1.1\r\nhost: a\r\n\r\nGET /4 HTTP/1.1\nhost: a\n\n";
    let seen = served(&[format!("{one}{two}{three}").as_bytes()]);
    let targets: Vec<_> = seen
        .iter()
        .map(|seen| match seen {
            Seen::Request { target, .. } => target.clone(),
            Seen::Refused(reason) => reason.to_string(),
        })
        .collect();
    assert_eq!(targets, ["/1", "/2", "/3", "request_invalid"]);
}

/// More than is read ahead of an answer.
#[test]
fn any_number_of_pipelined_requests_is_served() {
    let count = 3 * MOST_AHEAD / 32;
    let requests = "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n".repeat(count);
    assert_eq!(served(&[requests.as_bytes()]).len(), count);
}

#[tokio::test]
async fn a_request_in_one_piece_is_not_held() {
    let (mut client, server) = duplex(4096);
    let activity = Activity::new(Duration::from_secs(1), Duration::from_secs(1));
    let limits = Limits::new(4096, 100, 10);
    let mut guard = Guard::new(Wire(server), Bytes::new(), Arc::clone(&activity), limits);
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut buffer = [0; 1024];
    for _ in 0..2 {
        client.write_all(request).await.expect("room");
        let count = guard.read(&mut buffer).await.expect("bytes");
        assert_eq!(&buffer[..count], request);
        assert_eq!(guard.held.capacity(), 0);
    }
    // In two pieces it is, until it is handed on.
    client.write_all(&request[..10]).await.expect("room");
    let read = tokio::time::timeout(Duration::from_millis(10), guard.read(&mut buffer)).await;
    assert!(read.is_err() && guard.held() == &request[..10]);
    client.write_all(&request[10..]).await.expect("room");
    let count = guard.read(&mut buffer).await.expect("bytes");
    assert_eq!((&buffer[..count], guard.held.capacity()), (&request[..], 0));
}
