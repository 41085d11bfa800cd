//! The requests of a connection: what is let through is what hyper alone would
//! read of the same bytes, what a naive reader finds in them, and the same
//! whatever the pieces that they come in; nothing is behind a refusal.

use std::{
    cell::RefCell,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use portolan::{
    deadline::Tagged,
    listener::{
        ListenerSettings,
        http1::{self, Refusal, Service},
    },
    model::Reason,
};

use super::wire::{Wire, run};

type Fields = Vec<(String, Vec<u8>)>;

/// One request as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// What it was refused for: then the rest is empty.
    refused: Option<Reason>,
    method: String,
    target: String,
    fields: Fields,
    /// With its trailers. None if it broke off.
    body: Option<(Vec<u8>, Fields)>,
}

/// Serves the bytes after the first in two ways, and the first says how.
pub fn check(data: &[u8]) {
    let Some((seed, bytes)) = data.split_first() else { return };
    let guarded = guarded(bytes, 0);
    assert_eq!(guarded, self::guarded(bytes, *seed | 1), "in pieces");
    let alone = alone(bytes);
    let mut naive = Naive(bytes);
    for (at, seen) in guarded.iter().enumerate() {
        if seen.refused.is_some() {
            assert_eq!(at + 1, guarded.len(), "{guarded:?}");
            break;
        }
        let other = alone.get(at).unwrap_or_else(|| panic!("hyper alone does not see {seen:?}"));
        assert_eq!((&seen.method, &seen.target), (&other.method, &other.target));
        assert_eq!(seen.fields, other.fields, "{} {}", seen.method, seen.target);
        // What breaks off for one may be found to be broken later by the other.
        let Some(body) = &seen.body else { break };
        assert_eq!(Some(body), other.body.as_ref(), "{} {}", seen.method, seen.target);
        let plain = naive.next().unwrap_or_else(|| panic!("it is not plain: {seen:?}"));
        // Printed, a target with a scheme gets the path that it may lack.
        let absolute = seen.target.contains("://");
        assert_eq!(seen.method, plain.method);
        assert!(absolute || seen.target == plain.target || plain.target.contains('#'), "{plain:?}");
        assert_eq!(seen.fields.len(), plain.fields.len(), "{plain:?}");
        let (plain, trailers) = plain.body.as_ref().unwrap_or_else(|| panic!("no end: {body:?}"));
        assert_eq!(&body.0, plain);
        assert_eq!(body.1.len(), trailers.len(), "{trailers:?}");
    }
}

fn guarded(bytes: &[u8], seed: u8) -> Vec<Seen> {
    let recorder = Recorder::default();
    run(async {
        let settings = ListenerSettings::default();
        let wire = Wire::asking(bytes, seed);
        let never = std::future::pending();
        http1::serve(wire, (Bytes::new(), false), &settings, &recorder, never).await;
    });
    recorder.0.into_inner()
}

fn alone(bytes: &[u8]) -> Vec<Seen> {
    let recorder = Recorder::default();
    let service = service_fn(async |request| {
        recorder.record(request).await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    run(async {
        let io = TokioIo::new(Wire::asking(bytes, 0));
        let mut builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.max_buf_size(64 * 1024).serve_connection(io, service).await;
    });
    recorder.0.into_inner()
}

#[derive(Default)]
struct Recorder(RefCell<Vec<Seen>>);

impl Recorder {
    async fn record(&self, request: Request<Incoming>) {
        let (parts, mut incoming) = request.into_parts();
        let place = self.0.borrow().len();
        let fields = fields(&parts.headers);
        let (method, target) = (parts.method.to_string(), parts.uri.to_string());
        self.0.borrow_mut().push(Seen { method, target, fields, ..Seen::default() });
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        while let Some(frame) = incoming.frame().await {
            let Ok(frame) = frame else { return };
            body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            trailers.extend(frame.trailers_ref().map(self::fields).unwrap_or_default());
        }
        self.0.borrow_mut()[place].body = Some((body, trailers));
    }
}

fn fields(headers: &HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

impl Service for Recorder {
    type Body = Empty;

    async fn answer(&self, request: Request<Incoming>) -> Response<Empty> {
        self.record(request).await;
        Response::new(Empty)
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Empty> {
        let refused = Some(refusal.reason);
        self.0.borrow_mut().push(Seen { refused, ..Seen::default() });
        let mut response = Response::new(Empty);
        response.headers_mut().insert("connection", HeaderValue::from_static("close"));
        response
    }
}

struct Empty;

impl Body for Empty {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

impl Tagged for Empty {
    fn tag(&self) -> Option<u64> {
        None
    }
}

/// Reads requests that are as plain as they can be.
struct Naive<'a>(&'a [u8]);

impl<'a> Naive<'a> {
    fn until(&mut self, mark: &[u8]) -> Option<&'a [u8]> {
        let at = self.0.windows(mark.len()).position(|window| window == mark)?;
        let found = &self.0[..at];
        self.0 = &self.0[at + mark.len()..];
        Some(found)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(found)
    }

    fn chunks(&mut self) -> Option<(Vec<u8>, Fields)> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?;
            let size = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
            let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
            if size == 0 {
                let mut trailers = Vec::new();
                loop {
                    let line = self.until(b"\r\n")?;
                    if line.is_empty() {
                        return Some((body, trailers));
                    }
                    let at = line.iter().position(|byte| *byte == b':')?;
                    let name = String::from_utf8(line[..at].to_ascii_lowercase()).ok()?;
                    trailers.push((name, line[at + 1..].trim_ascii().to_vec()));
                }
            }
            body.extend_from_slice(self.take(size)?);
            self.take(2).filter(|end| end == b"\r\n")?;
        }
    }

    fn next(&mut self) -> Option<Seen> {
        while let Some(rest) = self.0.strip_prefix(b"\r\n") {
            self.0 = rest;
        }
        let head: String = self.until(b"\r\n\r\n")?.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut fields = Vec::new();
        let (mut length, mut chunked) = (0, false);
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let (name, value) = (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']));
            match &*name {
                "content-length" => length = value.parse().ok()?,
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                _ => {}
            }
            fields.push((name, value.bytes().collect()));
        }
        let body = if chunked {
            self.chunks()
        } else {
            self.take(length).map(|body| (body.to_vec(), Vec::new()))
        };
        Some(Seen { method, target, fields, body, ..Seen::default() })
    }
}
