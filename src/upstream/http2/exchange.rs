//! One request on a stream, until the head of its answer.

use std::{future::poll_fn, task::Poll};

use bytes::Bytes;
use h2::{Reason, SendStream, client::ResponseFuture, ext::Protocol};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;

use super::{
    Http2Answer, Place,
    heads::{self, Heads},
    upload::{Broken, Upload},
};
use crate::upstream::{Fault, Malformed, Outgoing, SendError, websocket};

/// Sends `head` with `body` at `place`, and waits for the head of the answer.
/// Those that come before it are told to `interim`.
///
/// # Errors
///
/// When there is none. The error holds the body if no byte of it is lost, and
/// the instance has provably not looked at the request.
pub(in crate::upstream) async fn send<B>(
    place: Place,
    head: &Request<()>,
    body: Outgoing<B>,
    mut interim: impl FnMut(StatusCode, &HeaderMap),
) -> Result<Response<Http2Answer>, SendError<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
{
    let ends = body.is_end_stream();
    let Some(request) = translate(head, &body, ends, place.shared.0.scheme.clone()) else {
        return Err(SendError { fault: Malformed::NoHttp2.into(), unsent: None });
    };
    let switches = request.method() == Method::CONNECT;
    let begun = place.shared.sender().send_request(request, ends && !switches);
    let (mut response, stream) = match begun {
        Ok(begun) => begun,
        // Nothing has left.
        Err(error) => {
            let fault = match fault(&error) {
                Fault::Malformed(malformed) => Fault::Malformed(malformed),
                _ => Fault::Refused { goes_away: true },
            };
            return Err(SendError { fault, unsent: Some(body) });
        }
    };
    if switches {
        return agree(place, head, body, (response, stream), interim).await;
    }
    let mut upload = Upload::new(stream, body);
    let mut uploading = !ends;
    let mut heads = Heads::default();
    let answer = poll_fn(|context| {
        loop {
            if uploading {
                match upload.poll(context) {
                    Poll::Ready(Err(Broken::Body)) => return Poll::Ready(Err(Fault::Request)),
                    // What it said before counts.
                    Poll::Ready(_) => uploading = false,
                    Poll::Pending => {}
                }
            }
            match heads.poll_interim(&mut response, context) {
                // The rest of the body may have waited for it.
                Poll::Ready(Ok(head)) => interim(head.status(), head.headers()),
                Poll::Ready(Err(malformed)) => return Poll::Ready(Err(malformed.into())),
                Poll::Pending => return heads::poll_answer(&mut response, context),
            }
        }
    })
    .await;
    match answer {
        Ok(answer) => {
            let (parts, stream) = answer.into_parts();
            let length = heads::length(&parts.headers).filter(|_| *head.method() != Method::HEAD);
            let mut body = Http2Answer::new(stream, length, place);
            if uploading {
                body.upload(upload);
            }
            Ok(Response::from_parts(parts, body))
        }
        Err(fault @ Fault::Refused { .. }) => {
            Err(SendError { fault, unsent: upload.into_unsent() })
        }
        Err(fault) => Err(SendError { fault, unsent: None }),
    }
}

/// Waits for the instance to agree to a WebSocket (RFC 8441 section 5), which
/// becomes what it is in HTTP/1.1. Another answer is one like any other.
async fn agree<B>(
    place: Place,
    head: &Request<()>,
    body: Outgoing<B>,
    (mut response, mut stream): (ResponseFuture, SendStream<Bytes>),
    mut interim: impl FnMut(StatusCode, &HeaderMap),
) -> Result<Response<Http2Answer>, SendError<B>> {
    let mut heads = Heads::default();
    let answer = poll_fn(|context| {
        loop {
            match heads.poll_interim(&mut response, context) {
                Poll::Ready(Ok(head)) => interim(head.status(), head.headers()),
                Poll::Ready(Err(malformed)) => return Poll::Ready(Err(malformed.into())),
                Poll::Pending => return heads::poll_answer(&mut response, context),
            }
        }
    });
    let answer = match answer.await {
        Ok(answer) => answer,
        Err(fault) => {
            let unsent = matches!(fault, Fault::Refused { .. }).then_some(body);
            return Err(SendError { fault, unsent });
        }
    };
    let (mut parts, receiver) = answer.into_parts();
    if !parts.status.is_success() {
        // There is nothing that could follow.
        let _ = stream.send_data(Bytes::new(), true);
        return Ok(Response::from_parts(parts, Http2Answer::new(receiver, None, place)));
    }
    parts.status = StatusCode::SWITCHING_PROTOCOLS;
    parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let key = head.headers().get(SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
    if let Ok(accept) = HeaderValue::try_from(websocket::accept(key)) {
        parts.headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(Response::from_parts(parts, Http2Answer::switched(receiver, stream, place)))
}

/// What `error` says of the request.
pub(super) fn fault(error: &h2::Error) -> Fault {
    // A stream above the last one in a GOAWAY was not looked at, nor was one
    // that was refused (RFC 9113 section 8.7).
    if error.is_remote() && error.is_go_away() {
        return Fault::Refused { goes_away: true };
    }
    if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) {
        return Fault::Refused { goes_away: false };
    }
    if error.is_library() {
        return Malformed::NoHttp2.into();
    }
    Fault::Ended { midway: error.is_reset() }
}

/// The head as HTTP/2 has it: the authority in the target, nothing of one hop.
fn translate<B: Body>(
    head: &Request<()>,
    body: &B,
    ends: bool,
    scheme: Scheme,
) -> Option<Request<()>> {
    let mut headers = head.headers().clone();
    let host = headers.remove(HOST)?;
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    if headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
    if let Some(length) = body.size_hint().exact().filter(|_| !ends) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    // A client without a key has not asked for a WebSocket.
    let asks = head.headers().contains_key(UPGRADE);
    let websocket = asks && headers.remove(SEC_WEBSOCKET_KEY).is_some();
    let target = head.uri().path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes())).ok()?)
        .path_and_query(target.unwrap_or(PathAndQuery::from_static("/")))
        .build()
        .ok()?;
    let mut request = Request::new(());
    *request.method_mut() = head.method().clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    if websocket {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    Some(request)
}
