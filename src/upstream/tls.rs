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
    tls::{Connector, is_about_certificate, words},
};

/// What a connection to an endpoint is carried by.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Speaks over `stream` as `endpoint` wants it.
///
/// # Errors
///
/// When the endpoint is to speak TLS and does not, or is somebody else.
pub(super) async fn secure(
    stream: TcpStream,
    endpoint: &Endpoint,
    connector: Option<&Connector>,
) -> Result<Stream, ConnectError> {
    if endpoint.scheme == Scheme::Http {
        return Ok(Stream::Plain(stream));
    }
    let with = connector.and_then(|connector| connector.for_host(&endpoint.address.host));
    let Some((config, name)) = with else {
        let why = "the certificates that are configured cannot be used".to_owned();
        return Err(ConnectError::Tls { certificate: false, why });
    };
    // In a place of its own: connections in the clear are smaller.
    let shaken = Box::pin(TlsConnector::from(config).connect(name, stream)).await;
    match shaken {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
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
