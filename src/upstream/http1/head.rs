//! Heads on the wire: that of a request as it leaves, and that of an answer as
//! it comes (RFC 9112 sections 2 to 5).

use std::{io::Write as _, mem::MaybeUninit, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use httparse::{Error, Header, ParserConfig, Status};

use super::{
    Malformed, buffer,
    framing::{Framing, FramingFields},
};

/// The most bytes of a head, and of all trailers.
pub(super) const LONGEST: usize = 256 << 10;

/// The most fields of a head, and of trailers.
pub(in crate::upstream) const MOST_FIELDS: usize = 256;

/// How the head of an answer begins, up to the digit after the dot.
const START: &[u8] = b"HTTP/1.";

/// How a request says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outline {
    /// It has none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// Appends `head` to `out`. Fields about the length of the body are written as
/// `outline` has it, and not as `head` does.
pub(super) fn write(out: &mut Vec<u8>, head: &Request<()>, outline: Outline) {
    let target = head.uri().path_and_query().map_or("/", |target| target.as_str());
    let method = head.method();
    out.reserve(512);
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut had_length = false;
    for (name, value) in head.headers() {
        if *name == CONTENT_LENGTH {
            had_length = true;
        } else if *name != TRANSFER_ENCODING {
            write_field(out, name, value);
        }
    }
    match outline {
        Outline::Length(length) => {
            let _ = write!(out, "content-length: {length}\r\n");
        }
        Outline::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // RFC 9110 section 8.6: where a body has a meaning, none is said.
        Outline::Empty if had_length || has_meaning(method) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        Outline::Empty => {}
    }
    out.extend_from_slice(b"\r\n");
}

fn has_meaning(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Appends a field to `out`.
pub(super) fn write_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    /// What follows the status, if it is not what everybody writes there.
    pub(super) reason: Option<Bytes>,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// Whether another request may follow over the same connection.
    pub(super) persists: bool,
    /// How long the instance keeps the connection, if it says so.
    pub(super) announced: Option<Duration>,
}

/// Finds the head of an answer in bytes that come piece by piece.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    /// How many bytes were looked at already.
    seen: usize,
}

impl HeadReader {
    /// Cuts the head out of `bytes`, if all of it is there; `to_head` says
    /// that it answers HEAD.
    pub(super) fn read(
        &mut self,
        bytes: &mut BytesMut,
        to_head: bool,
    ) -> Result<Option<Head>, Malformed> {
        let start = bytes.len().min(START.len());
        if bytes[..start] != START[..start] {
            return Err(Malformed::NotHttp);
        }
        let Some(end) = end(bytes, &mut self.seen, Malformed::NotHttp)? else {
            let too_long = bytes.len() > LONGEST;
            return if too_long { Err(Malformed::HeadTooLong) } else { Ok(None) };
        };
        if end > LONGEST {
            return Err(Malformed::HeadTooLong);
        }
        self.seen = 0;
        parse(&bytes.split_to(end).freeze(), to_head).map(Some)
    }
}

/// Where the empty line ends that ends a section of fields in `bytes`; looks
/// only at what is behind `seen`.
pub(super) fn end(
    bytes: &[u8],
    seen: &mut usize,
    malformed: Malformed,
) -> Result<Option<usize>, Malformed> {
    for at in memchr::memchr_iter(b'\n', &bytes[*seen..]).map(|at| at + *seen) {
        match bytes[..=at] {
            [.., b'\r', b'\n', b'\r', b'\n'] => return Ok(Some(at + 1)),
            [.., b'\r', b'\n'] => {}
            _ => return Err(malformed),
        }
    }
    *seen = bytes.len();
    Ok(None)
}

fn parse(head: &Bytes, to_head: bool) -> Result<Head, Malformed> {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        head,
        &mut fields,
    );
    match parsed {
        Ok(Status::Complete(length)) if length == head.len() => {}
        Err(Error::TooManyHeaders) => return Err(Malformed::TooManyFields),
        _ => return Err(Malformed::NotHttp),
    }
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Malformed::NotHttp)?;
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let reason = response.reason.filter(|reason| status.canonical_reason() != Some(reason));
    let reason = reason.map(|reason| head.slice_ref(reason.as_bytes()));
    let mut headers = buffer::map();
    headers.reserve(response.headers.len());
    let mut seen = FramingFields::default();
    for field in &*response.headers {
        let (name, value) = read_field(head, field).ok_or(Malformed::NotHttp)?;
        seen.see(&name, &value)?;
        headers.append(name, value);
    }
    let (framing, persists) = seen.framing(version, status, to_head)?;
    let announced = seen.announced;
    Ok(Head { status, version, reason, headers, framing, persists, announced })
}

/// Reads the trailers in `section`, the empty line included.
pub(super) fn parse_trailers(section: &Bytes) -> Result<HeaderMap, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let Ok(Status::Complete((_, parsed))) = httparse::parse_headers(section, &mut fields) else {
        return Err(Malformed::Trailers);
    };
    let mut trailers = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let (name, value) = read_field(section, field).ok_or(Malformed::Trailers)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

/// A field that shares the memory of its `head`.
fn read_field(head: &Bytes, field: &Header<'_>) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
    let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value)).ok()?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, Malformed> {
        HeadReader::default().read(&mut BytesMut::from(text), false)
    }

    fn written(request: http::request::Builder, outline: Outline) -> String {
        let mut out = Vec::new();
        write(&mut out, &request.body(()).expect("a request"), outline);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_request_is_written_with_its_own_framing() {
        let get = Request::get("http://a/b?c=d").header("x-a", "1").header("x-a", "2");
        let head = written(get, Outline::Empty);
        assert_eq!(head, "GET /b?c=d HTTP/1.1\r\nx-a: 1\r\nx-a: 2\r\n\r\n");
        for method in ["POST", "GET"] {
            let request = || {
                let framed =
                    Request::builder().method(method).uri("/").header("content-length", "010");
                framed.header("transfer-encoding", "gzip")
            };
            let start = format!("{method} / HTTP/1.1\r\n");
            for (outline, field) in [
                (Outline::Empty, "content-length: 0"),
                (Outline::Length(10), "content-length: 10"),
                (Outline::Chunked, "transfer-encoding: chunked"),
            ] {
                assert_eq!(written(request(), outline), format!("{start}{field}\r\n\r\n"));
            }
        }
        let put = written(Request::put("/"), Outline::Empty);
        assert_eq!(put, "PUT / HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
    }

    #[test]
    fn an_answer_is_read() {
        let text = "HTTP/1.1 200 Fine\r\nSet-Cookie: a=b\r\nset-cookie: \x40c\r\nx-empty:\r\n\
                    keep-alive: timeout=5\r\ncontent-length: 3\r\n\r\nabc";
        let mut bytes = BytesMut::from(text);
        let head = HeadReader::default().read(&mut bytes, false).expect("HTTP").expect("whole");
        assert_eq!((head.status, head.version), (StatusCode::OK, Version::HTTP_11));
        assert_eq!(head.reason.as_deref(), Some(&b"Fine"[..]));
        let cookies: Vec<_> = head.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=b", "@c"]);
        assert_eq!(head.headers["x-empty"], "");
        assert_eq!((head.framing, head.persists), (Framing::Length(3), true));
        assert_eq!(head.announced, Some(Duration::from_secs(5)));
        assert_eq!(bytes, "abc");
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "hello\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/11 200 OK\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            " HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            // Whitespace before the colon, folded lines, no name, no colon.
            "HTTP/1.1 200 OK\r\na : 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: 1\r\n b: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\n a: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\na\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: \x7f\r\n\r\n",
            // Lines that end otherwise.
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\r\na: 1\nb: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: 1\rb: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: 1\r\n\n",
        ] {
            assert_eq!(read(text).err(), Some(Malformed::NotHttp), "{text:?}");
        }
    }

    #[test]
    fn what_may_become_a_head_is_waited_for() {
        for text in ["H", "HTTP/1.1", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\na: 1\r\n\r"] {
            assert!(matches!(read(text), Ok(None)), "{text:?}");
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let fields = |count: usize| format!("HTTP/1.1 204 No\r\n{}\r\n", "a: 1\r\n".repeat(count));
        assert!(matches!(read(&fields(MOST_FIELDS)), Ok(Some(_))));
        assert_eq!(read(&fields(MOST_FIELDS + 1)).err(), Some(Malformed::TooManyFields));
        let long = |length: usize| {
            let start = "HTTP/1.1 204 No\r\na: ";
            format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
        };
        assert!(matches!(read(&long(LONGEST)), Ok(Some(_))));
        assert_eq!(read(&long(LONGEST + 1)).err(), Some(Malformed::HeadTooLong));
        let endless = format!("HTTP/1.1 204 No\r\na: {}", "x".repeat(LONGEST));
        assert_eq!(read(&endless).err(), Some(Malformed::HeadTooLong));
    }
}
