//! Who answers calls: this process, nobody for a moment, or the process that
//! took over from it.
//!
//! While one process gives up the store and the other opens it, changes wait.
//! A call that then stands at the old process, or reaches it later over a
//! connection that was open, is passed on as it is and answered by the new one.

use std::{io, net::SocketAddr, os::unix::net::UnixStream, sync::Arc};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, header::CONNECTION};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, mpsc};

use super::{
    problem::{Kind, Problem},
    state::Connection,
};

/// A call that is passed on: HTTP/1.1 over a socket of its own, and the ends of
/// the connection that it came by.
#[derive(Debug)]
pub struct RelayedCall {
    /// The socket.
    pub stream: UnixStream,
    /// The address of the caller.
    pub peer: SocketAddr,
    /// The address that it called.
    pub local: SocketAddr,
}

/// The way to the process that took over.
pub type Relay = mpsc::Sender<RelayedCall>;

/// Who answers calls. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    heir: Arc<RwLock<Option<Relay>>>,
}

/// No change is made until this is dropped.
#[derive(Debug)]
pub struct Pause {
    heir: OwnedRwLockWriteGuard<Option<Relay>>,
}

/// Where a change is made.
#[derive(Debug)]
pub(crate) enum Place {
    /// Here; there is no pause until this is dropped.
    Here { _guard: OwnedRwLockReadGuard<Option<Relay>> },
    /// In the process that took over.
    There(Relay),
}

impl Succession {
    /// Waits for the changes under way; those that come wait for the end of
    /// the pause.
    pub async fn pause(&self) -> Pause {
        Pause { heir: Arc::clone(&self.heir).write_owned().await }
    }

    /// Where a change is to be made. Waits for the end of a pause.
    pub(crate) async fn place(&self) -> Place {
        let guard = Arc::clone(&self.heir).read_owned().await;
        match &*guard {
            None => Place::Here { _guard: guard },
            Some(relay) => Place::There(relay.clone()),
        }
    }

    /// The way to the process that took over, if one has.
    pub(crate) fn heir(&self) -> Option<Relay> {
        self.heir.try_read().ok()?.clone()
    }
}

impl Pause {
    /// Has every call answered by another process from now on.
    pub fn end_there(mut self, relay: Relay) {
        *self.heir = Some(relay);
    }
}

/// Has `request`, which came by `ends`, answered by the process that took over.
pub(crate) async fn pass_on(relay: &Relay, ends: Connection, request: Request<Body>) -> Response {
    let answer = exchange(relay, ends, request).await;
    let mut answer = answer.unwrap_or_else(|error| {
        let detail = format!("another process has taken over and does not answer: {error}");
        Problem::new(Kind::ShuttingDown, detail).retry_after(1).into_response()
    });
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn exchange(
    relay: &Relay,
    ends: Connection,
    mut request: Request<Body>,
) -> io::Result<Response> {
    let (ours, theirs) = UnixStream::pair()?;
    let call = RelayedCall { stream: theirs, peer: ends.peer, local: ends.local };
    relay.send(call).await.map_err(io::Error::other)?;
    ours.set_nonblocking(true)?;
    let stream = TokioIo::new(tokio::net::UnixStream::from_std(ours)?);
    let handshake = hyper::client::conn::http1::handshake(stream);
    let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
    tokio::spawn(connection);
    request.headers_mut().remove(CONNECTION);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok(answer.map(Body::new))
}
