//! The answer of an instance: what is taken for one is what another client
//! reads of the same bytes, and the same whatever the pieces.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use portolan::upstream::{Http1, Outgoing};

use super::wire::{Wire, run};

/// An answer as it was read.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    /// None if it broke off.
    body: Option<Vec<u8>>,
    trailers: Vec<(String, Vec<u8>)>,
}

/// Reads the bytes after the first as an answer to a GET or to a HEAD.
pub fn check(data: &[u8]) {
    let Some((seed, bytes)) = data.split_first() else { return };
    let method = if seed & 1 == 0 { Method::GET } else { Method::HEAD };
    let whole = ours(bytes, &method, 0);
    assert_eq!(whole, ours(bytes, &method, *seed | 1), "in pieces");
    let Some(whole) = whole else { return };
    let Some(body) = &whole.body else { return };
    let other = theirs(bytes, &method).unwrap_or_else(|| panic!("only we take it: {whole:?}"));
    assert_eq!((whole.status, &whole.fields), (other.status, &other.fields));
    assert_eq!(Some(body), other.body.as_ref(), "{whole:?}");
    assert_eq!(whole.trailers, other.trailers);
}

fn request(method: &Method) -> Request<()> {
    let request = Request::builder().method(method).uri("/").header("host", "a");
    request.body(()).expect("a request")
}

fn fields(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn ours(bytes: &[u8], method: &Method, seed: u8) -> Option<Read> {
    run(async {
        let connection = Http1::new(Wire::answering(bytes, seed));
        let body = Outgoing::new(Empty::<Bytes>::new());
        let answer = connection.send(&request(method), body, |_, _| {}).await.ok()?;
        Some(read(answer).await)
    })
    .flatten()
}

fn theirs(bytes: &[u8], method: &Method) -> Option<Read> {
    run(async {
        let io = TokioIo::new(Wire::answering(bytes, 0));
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_headers(300).max_buf_size(1 << 20);
        let (mut sender, connection) = builder.handshake(io).await.ok()?;
        tokio::spawn(connection);
        let request = request(method).map(|()| Empty::<Bytes>::new());
        let answer = sender.send_request(request).await.ok()?;
        Some(read(answer).await)
    })
    .flatten()
}

async fn read<B>(answer: http::Response<B>) -> Read
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (parts, mut incoming) = answer.into_parts();
    let (status, fields) = (parts.status.as_u16(), self::fields(&parts.headers));
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else { return Read { status, fields, body: None, trailers } };
        match frame.into_data() {
            Ok(data) => body.extend_from_slice(&data),
            Err(frame) => {
                trailers =
                    frame.into_trailers().map_or_else(|_| Vec::new(), |it| self::fields(&it));
            }
        }
    }
    Read { status, fields, body: Some(body), trailers }
}
