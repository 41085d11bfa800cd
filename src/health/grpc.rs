//! The gRPC probe: `grpc.health.v1.Health/Check`, asked over HTTP/2 on a
//! connection of its own.
//!
//! Its two messages have one field each, so they are read and written here; no
//! compiler of schemas is needed to build.

use std::convert::Infallible;

use ::http::{HeaderMap, Request, Uri, header};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout_at,
};

use super::{
    Target,
    dial::{Deadline, Dialer},
    failure::{Failure, GrpcFailure},
    http::secure_http2,
};
use crate::model::AddressGuard;

const METHOD: &str = "/grpc.health.v1.Health/Check";

/// The answer is a few bytes long.
const MOST_READ: usize = 4 << 10;

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// Asks for the health of `service`, which is empty for that of the whole
/// server.
pub(super) async fn probe(
    service: &str,
    dialer: &Dialer,
    target: &Target,
    guard: &AddressGuard,
    deadline: Deadline,
) -> Result<String, Failure> {
    let stream = dialer.dial(target, guard, deadline).await?;
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    let authority = format!("{}:{}", target.address.host, target.port());
    let asked = async {
        match &target.tls {
            None => ask(stream, (scheme, &authority), service).await,
            Some(connector) => {
                let stream = secure_http2(stream, target, connector).await;
                ask(stream.map_err(GrpcFailure::Tls)?, (scheme, &authority), service).await
            }
        }
    };
    let asked = timeout_at(deadline.at, asked).await;
    match asked.unwrap_or(Err(GrpcFailure::Timeout { within: deadline.within })) {
        Ok(()) => Ok("grpc health -> SERVING".to_owned()),
        Err(why) => Err(Failure::Grpc(why)),
    }
}

async fn ask<S>(stream: S, authority: (&str, &str), service: &str) -> Result<(), GrpcFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, connection) = client::handshake(stream).await.map_err(GrpcFailure::Protocol)?;
    // What goes wrong on the connection comes out of the exchange too.
    let driven = async {
        connection.await.ok();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        answered = exchange(sender, authority, service) => answered,
        never = driven => match never {},
    }
}

async fn exchange(
    sender: SendRequest<Bytes>,
    (scheme, authority): (&str, &str),
    service: &str,
) -> Result<(), GrpcFailure> {
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(METHOD);
    let request = Request::post(uri.build().map_err(|_| GrpcFailure::Unsendable)?)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, concat!("portolan-probe/", env!("CARGO_PKG_VERSION")))
        .body(())
        .map_err(|_| GrpcFailure::Unsendable)?;
    let mut sender = sender.ready().await.map_err(GrpcFailure::Protocol)?;
    let (answer, mut body) = sender.send_request(request, false).map_err(GrpcFailure::Protocol)?;
    body.send_data(question(service), true).map_err(GrpcFailure::Protocol)?;
    let answer = answer.await.map_err(GrpcFailure::Protocol)?;
    if !answer.status().is_success() {
        return Err(GrpcFailure::Http(answer.status().as_u16()));
    }
    // An answer without a message has its status in the head.
    check_status(answer.headers())?;
    let mut body = answer.into_body();
    let mut read = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(GrpcFailure::Protocol)?;
        let _ = body.flow_control().release_capacity(data.len());
        read.extend_from_slice(&data);
        if read.len() > MOST_READ {
            return Err(GrpcFailure::NoAnswer);
        }
    }
    if let Some(trailers) = body.trailers().await.map_err(GrpcFailure::Protocol)? {
        check_status(&trailers)?;
    }
    match status(&read) {
        Some(SERVING) => Ok(()),
        Some(status) => Err(GrpcFailure::NotServing(status)),
        None => Err(GrpcFailure::NoAnswer),
    }
}

fn check_status(headers: &HeaderMap) -> Result<(), GrpcFailure> {
    let Some(status) = headers.get("grpc-status") else { return Ok(()) };
    match status.to_str().ok().and_then(|status| status.parse().ok()) {
        Some(0) => Ok(()),
        status => Err(GrpcFailure::Status(status.unwrap_or(2))),
    }
}

/// `HealthCheckRequest { string service = 1; }`, as a message on the line.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length % 0x80 + 0x80) as u8);
            length /= 0x80;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    framed.freeze()
}

/// The status in a `HealthCheckResponse { ServingStatus status = 1; }` on the
/// line; 0, unknown, if it is not said.
fn status(bytes: &[u8]) -> Option<u64> {
    let (head, message) = bytes.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
    if head[0] != 0 || message.len() != length {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match key & 7 {
            0 => {
                let value = varint(&mut rest)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_message_of_one_field() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = question(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2]);
        assert_eq!(long.len(), 5 + 3 + 300);
    }

    #[test]
    fn an_answer_is_read_whatever_else_it_holds() {
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(status(&[0, 0, 0, 0, 6, 0x12, 2, 9, 9, 8, 2]), Some(2));
        for bad in [&[][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 2, 8], &[1, 0, 0, 0, 2, 8, 1]] {
            assert_eq!(status(bad), None, "{bad:?}");
        }
        assert_eq!(status(&[0, 0, 0, 0, 3, 0x12, 0xff, 1]), None);
    }
}
