//! The TLS handshake of one client connection, within its time, and no more of
//! them at once than there is room for.
//!
//! A client that has sent nothing yet takes no room. The name that it asks for
//! is read from its first message, in however many pieces that comes, before
//! it is decided which certificate it is shown and whether it has to show one.

use std::{io, sync::Arc, time::Duration};

use rustls::{AlertDescription, Error, HandshakeKind, ProtocolVersion, server::Acceptor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{LazyConfigAcceptor, server};

use super::{ClientStream, Handshakes};
use crate::{
    deadline::Deadline,
    model::{HandshakeFailure, TlsSession},
    tls::{ServerTls, of_client},
};

/// An encrypted client connection.
pub type TlsStream = server::TlsStream<TcpStream>;

impl ClientStream for TlsStream {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }

    /// Its keys are in this process.
    fn moves(&self) -> bool {
        false
    }
}

/// A handshake that failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", .kind.as_str())]
pub struct HandshakeError {
    /// In a word.
    pub kind: HandshakeFailure,
    /// What the library or the system said.
    pub detail: String,
}

impl HandshakeError {
    fn new(kind: HandshakeFailure, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// What a handshake begins with (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;

/// The answer to a request in the clear. It ends the connection.
const NOT_TLS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
                       content-length: 51\r\nconnection: close\r\n\r\n\
                       this port speaks TLS; the URL begins with https://\n";

/// Makes `stream` an encrypted one `within` a time. `room` bounds those under
/// way on this worker; one that takes long while others wait gives way. None if all that was wanted was the handshake, by a CA
/// that looks for the proof of a name.
///
/// # Errors
///
/// Says why there is none; the client was told what TLS lets it be told.
pub async fn accept(
    mut stream: TcpStream,
    tls: &ServerTls,
    room: &Handshakes,
    within: Duration,
) -> Result<Option<(TlsStream, TlsSession)>, HandshakeError> {
    let deadline = Deadline::new();
    deadline.set(within);
    let handshake = async {
        begins(&mut stream).await?;
        let place = room.enter().await;
        // In a place of its own: it is large, and many never get here.
        let shaken = Box::pin(shake_hands(stream, tls));
        tokio::select! {
            biased;
            done = shaken => done,
            () = place.displaced() => {
                let detail = "it took long, and others were waiting";
                Err(HandshakeError::new(HandshakeFailure::Displaced, detail))
            }
        }
    };
    deadline.limit(handshake).await.unwrap_or_else(|_| {
        Err(HandshakeError::new(HandshakeFailure::TimedOut, "it was not over in time"))
    })
}

/// Waits for the first byte, and sees that it is that of a handshake.
async fn begins(stream: &mut TcpStream) -> Result<(), HandshakeError> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == HANDSHAKE => return Ok(()),
        Ok(1) => {}
        Ok(_) => {
            return Err(HandshakeError::new(HandshakeFailure::ClientGone, "nothing was sent"));
        }
        Err(error) => return Err(failed(&error)),
    }
    if first[0].is_ascii_uppercase() {
        // Perhaps a request. Read first, since what is unread when a
        // connection is closed takes the answer with it.
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(NOT_TLS.as_bytes()).await;
        let _ = stream.shutdown().await;
        return Err(HandshakeError::new(HandshakeFailure::NotTls, "a request in the clear"));
    }
    Err(HandshakeError::new(HandshakeFailure::NotTls, "no handshake"))
}

async fn shake_hands(
    stream: TcpStream,
    tls: &ServerTls,
) -> Result<Option<(TlsStream, TlsSession)>, HandshakeError> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
    let start = start.map_err(|error| failed(&error))?;
    let hello = start.client_hello();
    let server_name: Option<Arc<str>> =
        hello.server_name().map(|name| name.to_ascii_lowercase().into());
    if let Some(config) = tls.proof(server_name.as_deref(), hello.alpn()) {
        let mut stream = start.into_stream(config).await.map_err(|error| failed(&error))?;
        let _ = stream.shutdown().await;
        return Ok(None);
    }
    let (rule, config) = tls.choose(server_name.as_deref());
    let known = tls.has_name(server_name.as_deref());
    let stream = start.into_stream(config).await.map_err(|error| match failed(&error) {
        HandshakeError { detail, .. } if !known => {
            HandshakeError::new(HandshakeFailure::UnknownName, detail)
        }
        error => error,
    })?;
    let session = session(&stream, server_name, rule, tls);
    Ok(Some((stream, session)))
}

fn session(
    stream: &TlsStream,
    server_name: Option<Arc<str>>,
    rule: usize,
    tls: &ServerTls,
) -> TlsSession {
    let (_, connection) = stream.get_ref();
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    TlsSession {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        },
        server_name,
        alpn: connection.alpn_protocol().and_then(|alpn| str::from_utf8(alpn).ok()).map(Arc::from),
        rule,
        rules: tls.rules().cloned(),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        client: shown.and_then(of_client).map(Arc::new),
    }
}

/// What `error` of a handshake means.
fn failed(error: &io::Error) -> HandshakeError {
    let kind = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        None => HandshakeFailure::ClientGone,
        Some(Error::NoCertificatesPresented) => HandshakeFailure::NoClientCertificate,
        Some(Error::InvalidCertificate(_)) => HandshakeFailure::BadClientCertificate,
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => {
            HandshakeFailure::NothingInCommon
        }
        Some(Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::UnrecognisedName,
        )) => HandshakeFailure::Refused,
        Some(Error::AlertReceived(_)) => HandshakeFailure::ClientGone,
        Some(_) => HandshakeFailure::Invalid,
    };
    HandshakeError::new(kind, error.to_string())
}
