//! The accept loop of one worker on one socket.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::coop::unconstrained,
};

use super::Farewell;

/// Connections that are taken from the queue after the end at most: as many as
/// were in it.
const QUEUED: usize = 4096;

/// How long accepting pauses when no descriptor is left.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections and hands them to `serve` until `stop` is done, then
/// what is still in the queue, unless another process goes on accepting from
/// it. `room` bounds the connections that are served at once; one waits here
/// for room, the others in the queue of the kernel.
pub async fn accept(
    listener: TcpListener,
    room: Arc<Semaphore>,
    stop: impl Future<Output = Farewell>,
    mut serve: impl FnMut(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    let mut waiting = None;
    let farewell = tokio::select! {
        biased;
        farewell = stop => farewell,
        () = accept_all(&listener, &room, &mut waiting, &mut serve) => return,
    };
    // Whoever is in the queue has been told that the connection is open.
    for _ in 0..QUEUED {
        let (stream, peer) = match waiting.take() {
            Some(accepted) => accepted,
            None if farewell == Farewell::Move => return,
            None => match next(&listener).await {
                Poll::Ready(Ok(accepted)) => accepted,
                Poll::Ready(Err(error)) if !is_exhausted(&error) => continue,
                _ => return,
            },
        };
        // Others end now and make room.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        serve(stream, peer, permit);
    }
}

/// What is next in the queue, if anything is.
async fn next(listener: &TcpListener) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    // Not held to the budget of a task, or some would be left behind.
    unconstrained(poll_fn(|context| Poll::Ready(listener.poll_accept(context)))).await
}

async fn accept_all(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    waiting: &mut Option<(TcpStream, SocketAddr)>,
    serve: &mut impl FnMut(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                let _ = accepted.0.set_nodelay(true);
                *waiting = Some(accepted);
                // Only now: the room of a worker that has nobody to serve
                // would be missing elsewhere.
                let Ok(permit) = Arc::clone(room).acquire_owned().await else { return };
                if let Some((stream, peer)) = waiting.take() {
                    serve(stream, peer, permit);
                }
            }
            Err(error) if is_exhausted(&error) => {
                tracing::warn!(%error, "cannot accept; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            // The client was gone before it was accepted.
            Err(_) => {}
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}
