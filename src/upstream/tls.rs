//! A connection to an endpoint, in the clear or encrypted.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::ConnectError;
use crate::{
    model::{Endpoint, Scheme},
    tls::{Connector, is_about_certificate, refuses_protocol, words},
};

/// What a connection to an endpoint is carried by.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Speaks over `stream` as `endpoint` wants it, for HTTP/2 if `http2`.
///
/// # Errors
///
/// When the endpoint is to speak TLS and does not, is somebody else, or does
/// not agree to HTTP/2.
pub(super) async fn secure(
    stream: TcpStream,
    endpoint: &Endpoint,
    connector: Option<&Connector>,
    http2: bool,
) -> Result<Stream, ConnectError> {
    if endpoint.scheme == Scheme::Http {
        return Ok(Stream::Plain(stream));
    }
    let host = &endpoint.address.host;
    let with = connector.and_then(|connector| match http2 {
        true => connector.for_http2(host),
        false => connector.for_host(host),
    });
    let Some((config, name)) = with else {
        let why = "the certificates that are configured cannot be used".to_owned();
        return Err(ConnectError::Tls { certificate: false, why });
    };
    // In a place of its own: connections in the clear are smaller.
    let shaken = Box::pin(TlsConnector::from(config).connect(name, stream)).await;
    match shaken {
        Ok(stream) if http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") => {
            Err(ConnectError::NoHttp2)
        }
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) if http2 && refuses_protocol(&error) => Err(ConnectError::NoHttp2),
        Err(error) => {
            let certificate = is_about_certificate(&error);
            Err(ConnectError::Tls { certificate, why: words(&error) })
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
