//! The admin listener: accepts connections and speaks HTTP/1.1 on them until
//! it is told to stop. The listeners of fronts are served the same way.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{HeaderValue, header::CONNECTION};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    router::router,
    state::{AdminState, Connection},
    succession::{RelayedCall, Succession, pass_on},
};
use crate::tls::{ServerTls, SharedServerTls};

/// Connections open at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;

/// How long the head of a request may take, and how long a connection may be
/// idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest request head, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// How long to leave a listener alone that has just failed to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the admin address until `shutdown`, then answers what has been asked
/// and returns. Calls that the process before passes on are served for as long
/// as it can. Waits that were asked for may take minutes: drop the future to
/// cut them off.
pub async fn serve(
    listener: TcpListener,
    tls: SharedServerTls,
    admin: AdminState,
    relayed: mpsc::Receiver<RelayedCall>,
    shutdown: impl Future<Output = ()>,
) {
    let (succession, closing) = (admin.succession().clone(), admin.closing().clone());
    let desk = Desk { name: "the admin address", router: router(admin), succession, closing };
    desk.serve(listener, tls, relayed, shutdown).await;
}

/// What answers the calls of one address.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// How the address is called in the log.
    pub(crate) name: &'static str,
    /// Calls need a [`Connection`] in their extensions.
    pub(crate) router: Router,
    /// Who answers.
    pub(crate) succession: Succession,
    /// Cancelled when the address closes.
    pub(crate) closing: CancellationToken,
}

impl Desk {
    /// As [`serve`].
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        tls: SharedServerTls,
        mut relayed: mpsc::Receiver<RelayedCall>,
        shutdown: impl Future<Output = ()>,
    ) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(call) = relayed.recv() => {
                    connections.spawn(relayed_call(call, self.clone()));
                    continue;
                }
                accepted = accept(&listener, &slots) => accepted,
            };
            // Those that have ended would pile up otherwise.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, ends, slot)) => {
                    let tls = tls.load_full();
                    let desk = self.clone();
                    connections.spawn(async move {
                        match tls {
                            Some(tls) => encrypted(stream, &tls, ends, desk).await,
                            None => connection(stream, ends, desk).await,
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!("{} cannot accept a connection: {error}", self.name);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.closing.cancel();
        loop {
            tokio::select! {
                Some(call) = relayed.recv() => {
                    connections.spawn(relayed_call(call, self.clone()));
                }
                Some(_) = connections.join_next() => {}
                else => return,
            }
        }
    }
}

/// Serves a call that reached the process before.
async fn relayed_call(call: RelayedCall, desk: Desk) {
    let ends = Connection { peer: call.peer, local: call.local };
    let stream = call.stream;
    let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
    match stream {
        Ok(stream) => connection(stream, ends, desk).await,
        Err(error) => tracing::warn!(%error, "a call that was passed on is lost"),
    }
}

/// Serves a connection that begins with a TLS handshake.
async fn encrypted(stream: TcpStream, tls: &ServerTls, ends: Connection, desk: Desk) {
    // Without a rule for any name, all are served alike.
    let acceptor = TlsAcceptor::from(tls.choose(None).1);
    match timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => connection(stream, ends, desk).await,
        Ok(Err(error)) => {
            tracing::debug!("no TLS with {} at {}: {error}", ends.peer, desk.name);
        }
        Err(_) => tracing::debug!("no TLS with {} in time", ends.peer),
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Connection, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    let local = stream.local_addr()?;
    // It costs latency if it fails, no more.
    let _ = stream.set_nodelay(true);
    Ok((stream, Connection { peer, local }, slot))
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, ends: Connection, desk: Desk) {
    let Desk { name, router, succession, closing } = &desk;
    let service = service_fn(|request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ends);
        let router = router.clone();
        async move {
            if let Some(relay) = succession.heir() {
                return Ok(pass_on(&relay, ends, request).await);
            }
            let mut response = router.oneshot(request).await?;
            if succession.heir().is_some() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = closing.cancelled() => {
            // Where somebody else answers, the next call that comes is the
            // last one on this connection; until then it may come.
            if succession.heir().is_none() {
                served.as_mut().graceful_shutdown();
            }
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection from {} to {name} ended: {error}", ends.peer);
    }
}
