//! The admin listener: accepts connections and speaks HTTP/1.1 on them until
//! it is told to stop.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    router::router,
    state::{AdminState, Connection},
};

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
/// and returns. Waits that were asked for may take minutes: drop the future to
/// cut them off.
pub async fn serve(listener: TcpListener, admin: AdminState, shutdown: impl Future<Output = ()>) {
    let router = router(admin.clone());
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        // Those that have ended would pile up otherwise.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, ends, slot)) => {
                let closing = admin.closing().clone();
                connections.spawn(connection(stream, ends, slot, router.clone(), closing));
            }
            Err(error) => {
                tracing::warn!("the admin address cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    admin.closing().cancel();
    while connections.join_next().await.is_some() {}
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

async fn connection(
    stream: TcpStream,
    ends: Connection,
    _slot: OwnedSemaphorePermit,
    router: Router,
    closing: CancellationToken,
) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ends);
        router.clone().oneshot(request)
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
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("an admin connection from {} ended: {error}", ends.peer);
    }
}
