//! One connection to a server.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::{CallError, ServerUrl};
use crate::tls::{Connector, words};

/// How long connecting to one address may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A peer that is gone without a word is noticed within three times that,
/// even while an answer is waited for that may take minutes.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The most bytes of an answer's head.
const HEAD_LIMIT: usize = 64 << 10;

pub(in crate::sources) trait Stream:
    AsyncRead + AsyncWrite + Unpin + Send
{
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// One connection, which is closed when this is dropped.
#[derive(Debug)]
pub(in crate::sources) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects to the server at `url`.
    pub(in crate::sources) async fn open(
        url: &ServerUrl,
        connector: Option<&Connector>,
    ) -> Result<Self, CallError> {
        let stream = connect(url).await?;
        let stream: Box<dyn Stream> = match connector {
            None => Box::new(stream),
            Some(connector) => {
                let unusable = || CallError::Tls("the host cannot be in a certificate".to_owned());
                let (config, name) = connector.for_host(url.host()).ok_or_else(unusable)?;
                let shaken = TlsConnector::from(config).connect(name, stream);
                let late = |_| CallError::Timeout { what: "TLS handshake", within: CONNECT };
                let shaken = tokio::time::timeout(CONNECT, shaken).await.map_err(late)?;
                Box::new(shaken.map_err(|error| CallError::Tls(words(&error)))?)
            }
        };
        Self::over(stream).await
    }

    /// Speaks HTTP over `stream`.
    pub(in crate::sources) async fn over(stream: Box<dyn Stream>) -> Result<Self, CallError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_LIMIT);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| CallError::Broken(error.into()))?;
        // What goes wrong on the connection comes out of the exchange too.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Self { sender, _driver: AbortOnDropHandle::new(driver) })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(in crate::sources) async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.send_request(request).await
    }
}

async fn connect(url: &ServerUrl) -> Result<TcpStream, CallError> {
    let unreachable = |why: String| CallError::Unreachable(why);
    let addresses = tokio::net::lookup_host(url.target_address()).await;
    let addresses: Vec<SocketAddr> =
        addresses.map_err(|error| unreachable(error.to_string()))?.collect();
    let mut failed = unreachable("its name has no address".to_owned());
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Err(_) => failed = CallError::Timeout { what: "connection", within: CONNECT },
            Ok(Err(error)) => failed = unreachable(error.to_string()),
            Ok(Ok(stream)) => {
                let keepalive =
                    TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
                // Without them it works as well, only that a silent end takes longer to show.
                let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive.with_retries(3));
                let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(KEEPALIVE * 2));
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
        }
    }
    Err(failed)
}
