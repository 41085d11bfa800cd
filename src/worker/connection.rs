//! One client connection: who it is, what it is encrypted with, what it speaks.

use std::{convert::Infallible, net::SocketAddr, rc::Rc, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::Version;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};

use super::{
    Listening, MovedClient, Stop, Work,
    serving::{Open, Serving},
};
use crate::{
    listener::{
        self, ClientStream, Handshakes, ListenerSettings, Protocol, Recognised,
        http1::{self, Moved},
        http2,
        proxy_protocol::{HeaderError, introduction},
        tls::{self, HandshakeError, TlsStream},
    },
    model::{Peer, Reason},
    proxy::{Client, ClientService},
};

/// What has been done with a connection before it is served here.
pub(super) enum Before {
    /// It has been accepted, and nothing has been read.
    Accepted,
    /// Another process has served it.
    Served { announced: Option<SocketAddr>, ahead: Bytes },
}

/// Serves a connection that another process has accepted.
pub(super) async fn adopt(work: Work, shared: Arc<Listening>, moved: MovedClient, stop: Stop) {
    let MovedClient { announced, connection: Moved { stream, ahead }, .. } = moved;
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    // A client that has gone meanwhile has no address.
    let Ok(peer) = stream.peer_addr() else { return };
    let Ok(permit) = Arc::clone(&shared.room).acquire_owned().await else { return };
    serve(work, shared, stream, peer, Before::Served { announced, ahead }, stop, permit).await;
}

pub(super) async fn serve(
    work: Work,
    shared: Arc<Listening>,
    mut stream: TcpStream,
    peer: SocketAddr,
    before: Before,
    stop: Stop,
    permit: OwnedSemaphorePermit,
) {
    let settings = shared.settings.load_full();
    let _open = Open::begin(Rc::clone(&work.proxy), shared.number);
    let mut peer = Peer::plain(peer, shared.address);
    // What another process served was in the clear, whatever is asked for now.
    let encrypted = settings.tls.is_some() && matches!(before, Before::Accepted);
    let ahead = match before {
        Before::Served { announced, ahead } => {
            peer.announced = announced;
            ahead
        }
        Before::Accepted => match introduction(&mut stream, peer.address, &settings).await {
            Ok(announced) => {
                peer.announced = announced;
                Bytes::new()
            }
            Err(HeaderError::Silent) => return,
            Err(error) => {
                work.complain(&error, &peer);
                let client = Client::new(peer, settings);
                let reason = Reason::ProxyHeaderInvalid;
                return work.proxy.refused_unread(&client, Version::HTTP_11, reason);
            }
        },
    };
    if encrypted {
        // In a place of its own: connections in the clear are smaller.
        Box::pin(serve_encrypted(&work, &shared, stream, peer, settings, stop)).await;
        drop(permit);
        return;
    }
    let announced = peer.announced;
    let recognised = if settings.http2.enabled {
        let patience = settings.head_timeout.into();
        listener::recognise(&stream, ahead, patience, stop.told()).await
    } else {
        Some(Recognised::in_time(Protocol::Http1, ahead))
    };
    let Some(recognised) = recognised else { return };
    let moved = speak(&work, stream, recognised, peer, settings, stop).await;
    if let Some(connection) = moved
        && let Some(movers) = &*work.movers.borrow()
    {
        let _ = movers.send(MovedClient { listener: shared.address, announced, connection });
    }
    drop(permit);
}

/// Serves a connection that begins with a TLS handshake. It does not move to
/// another process, but ends here in its own time.
async fn serve_encrypted(
    work: &Work,
    shared: &Listening,
    stream: TcpStream,
    mut peer: Peer,
    settings: Arc<ListenerSettings>,
    stop: Stop,
) {
    // In a place of its own too: it is over soon.
    let shaken = Box::pin(encrypt(work, shared, stream, &mut peer, &settings, &stop)).await;
    let Some(stream) = shaken else { return };
    let agreed = peer.tls.as_ref().and_then(|session| session.alpn.as_deref());
    let spoken = Recognised::in_time(Protocol::agreed(agreed), Bytes::new());
    // And so is this: many never get here.
    Box::pin(speak(work, stream, spoken, peer, settings, stop)).await;
}

/// Shakes hands. What was agreed on is noted in `peer`.
async fn encrypt(
    work: &Work,
    shared: &Listening,
    stream: TcpStream,
    peer: &mut Peer,
    settings: &ListenerSettings,
    stop: &Stop,
) -> Option<TlsStream> {
    let most = settings.tls.as_ref()?.max_handshakes.get() as usize;
    let tls = shared.tls.load_full()?;
    let room = stop.handshakes.get_or_init(|| Handshakes::new(most));
    let metrics = work.proxy.metrics.worker(work.proxy.worker);
    match tls::accept(stream, &tls, room, settings.head_timeout.into()).await {
        Ok(None) => None,
        Ok(Some((stream, session))) => {
            metrics.handshake_done(session.resumed);
            peer.tls = Some(session);
            Some(stream)
        }
        Err(error) => {
            metrics.handshake_failed(error.kind);
            not_encrypted(&error, peer);
            None
        }
    }
}

/// Tells of a handshake that failed. Whoever scans ports makes many of them,
/// so it is not for the log unless it is asked for.
#[cold]
fn not_encrypted(error: &HandshakeError, peer: &Peer) {
    tracing::debug!(client = %peer.address, listener = %peer.local, "TLS handshake: {error}");
}

/// Speaks over `stream` until it ends, or has to move.
async fn speak(
    work: &Work,
    stream: impl ClientStream,
    Recognised { protocol, ahead, late }: Recognised,
    peer: Peer,
    settings: Arc<ListenerSettings>,
    stop: Stop,
) -> Option<Moved> {
    let client = Client::new(peer, Arc::clone(&settings));
    let service = ClientService::new(Rc::clone(&work.proxy), client);
    if protocol == Protocol::Http2 {
        let answer = |request| service.answer(request).map(Ok::<_, Infallible>);
        let end = Box::pin(http2::serve(stream, ahead, &settings, answer, stop.told())).await;
        if let Some(reason) = end.refused_for() {
            service.refused_unread(Version::HTTP_2, reason);
        }
        return None;
    }
    let service = Serving(service);
    match http1::serve(stream, (ahead, late), &settings, &service, stop.told()).await {
        http1::End::Broken(error) => service.note_breach(&error),
        http1::End::Moved(connection) => return Some(connection),
        http1::End::Closed | http1::End::TimedOut => {}
    }
    None
}
