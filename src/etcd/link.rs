//! One connection to one member: TCP, TLS where it is asked for, HTTP/2.
//!
//! Pings tell a member that has stopped or a line that was cut from one that
//! has nothing to say. They are no more often than etcd allows by default
//! (`grpc-keepalive-min-time`, 5 s). A line on which packets are lost is given
//! up by the kernel, long before TCP would: it doubles its pauses, so that it
//! would be silent for as long again once packets flow.

use std::{
    fmt, io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{body::Body, client::Grpc, metadata::AsciiMetadataValue};
use tower::Service;

use super::Error;
use crate::{
    model::{ClientTlsSettings, Host, Origin, Scheme},
    tls::{Connector, words},
};

/// For connecting and shaking hands.
const CONNECT: Duration = Duration::from_secs(3);
const PING: Duration = Duration::from_secs(6);
const PONG: Duration = Duration::from_secs(5);

/// How long what was sent may be unacknowledged by the kernel at the other end
/// (RFC 5482, `TCP_USER_TIMEOUT`), and how often that is asked for a sign when
/// nothing is sent (RFC 9293 §3.8.4): a line that is dead is given up after two
/// seconds.
const UNACKNOWLEDGED: Duration = Duration::from_secs(1);
const SIGN: Duration = Duration::from_secs(1);

/// Bytes of one message that are taken. etcd itself bounds a value by 1.5 MiB
/// by default, and lists are read in pages.
const LARGEST: usize = 32 << 20;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection to a member. Its copies are the same one.
#[derive(Clone)]
pub(super) struct Link {
    send: http2::SendRequest<Body>,
    pub(super) endpoint: Arc<str>,
    uri: Uri,
    /// Who we are there.
    pub(super) token: Option<AsciiMetadataValue>,
    /// Tells the connections of a client apart, and the tokens on one.
    pub(super) number: u64,
}

impl Link {
    /// Connects to the member at `origin`.
    pub(super) async fn open(
        origin: &Origin,
        tls: &ClientTlsSettings,
        number: u64,
    ) -> Result<Self, Error> {
        let endpoint = origin.to_string();
        let failed = |why: String| Error::Connect { endpoint: endpoint.clone(), why };
        let shaken = timeout(CONNECT, handshake(origin, tls)).await;
        let (send, connection) = match shaken {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(Failure::Tls(error))) => return Err(error.into()),
            Ok(Err(Failure::Io(why))) => return Err(failed(why)),
            Err(_) => return Err(failed(format!("no answer within {CONNECT:?}"))),
        };
        // Ends when nobody has a copy of `send`, nor a stream of it, any more.
        tokio::spawn(connection);
        let uri = endpoint.parse().map_err(|_| failed("not an address".to_owned()))?;
        Ok(Self { send, endpoint: endpoint.into(), uri, token: None, number })
    }

    /// Whether it is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.send.is_closed()
    }

    /// What makes calls over it.
    pub(super) fn grpc(&self) -> Grpc<Self> {
        Grpc::with_origin(self.clone(), self.uri.clone()).max_decoding_message_size(LARGEST)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for Link {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.send.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.send.send_request(request))
    }
}

enum Failure {
    Tls(crate::tls::TlsError),
    Io(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

type Shaken =
    (http2::SendRequest<Body>, http2::Connection<TokioIo<Box<dyn Stream>>, Body, TokioExecutor>);

async fn handshake(origin: &Origin, tls: &ClientTlsSettings) -> Result<Shaken, Failure> {
    let tcp = connect(origin).await?;
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(&tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SIGN).with_interval(SIGN))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let stream: Box<dyn Stream> = match origin.scheme {
        Scheme::Http => Box::new(tcp),
        Scheme::Https => {
            let (config, name) = speaks(origin, tls).await?;
            let stream = TlsConnector::from(config).connect(name, tcp).await;
            Box::new(stream.map_err(|error| Failure::Io(words(&error)))?)
        }
    };
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .max_header_list_size(16 << 10)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::Io(error.to_string()))
}

/// Reads the files anew at each connection, so that certificates can be
/// replaced.
async fn speaks(
    origin: &Origin,
    tls: &ClientTlsSettings,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), Failure> {
    let (settings, host) = (tls.clone(), origin.address.host.clone());
    let loaded = tokio::task::spawn_blocking(move || {
        Connector::load(settings).map(|connector| connector.for_host(&host))
    });
    let loaded = loaded.await.map_err(|error| Failure::Io(error.to_string()))?;
    let Some((config, name)) = loaded.map_err(Failure::Tls)? else {
        return Err(Failure::Io("it has no name that a certificate could be for".to_owned()));
    };
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((Arc::new(config), name))
}

async fn connect(origin: &Origin) -> io::Result<TcpStream> {
    let port = origin.address.port;
    match &origin.address.host {
        Host::Ip(ip) => TcpStream::connect((*ip, port)).await,
        Host::Name(name) => {
            let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in lookup_host((&**name, port)).await? {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        }
    }
}
