//! Opening a connection to an instance: one for each request, or one that many
//! share.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::Proxy;
use crate::{
    model::{AddressGuard, Endpoint, Protocol, Scheme, ServicePolicy},
    upstream::{self, ConnectError, Connection, Connector, Shared},
};

/// How a connection is opened.
pub(super) struct Way<'a> {
    /// The only client that it is for, if there is one.
    pub(super) client: Option<SocketAddr>,
    /// What is sent first.
    pub(super) header: &'a [u8],
    /// How TLS is spoken.
    pub(super) tls: Option<&'a Connector>,
    /// Whether it is to carry a WebSocket.
    pub(super) websocket: bool,
}

/// Opens a connection to `endpoint`. One that is to be shared is opened by one
/// request while others wait for it. Where HTTP/2 is spoken, but not so that it
/// carries a WebSocket (RFC 8441), one of HTTP/1.1 is opened for it.
pub(super) async fn open(
    proxy: &Proxy,
    endpoint: &Arc<Endpoint>,
    policy: &ServicePolicy,
    guard: &AddressGuard,
    way: Way<'_>,
) -> Result<Connection, ConnectError> {
    let encrypted = endpoint.scheme == Scheme::Https;
    match (policy.protocol, encrypted) {
        (Protocol::Http1, _) => return open_http1(endpoint, guard, &way).await,
        (Protocol::H2, true) | (Protocol::H2c, false) => {}
        _ => return Err(ConnectError::Misfit),
    }
    let Way { client, header, tls, websocket } = way;
    let connect = async || {
        let stream = upstream::connect(endpoint, guard, header, tls, true).await?;
        Shared::open(stream, encrypted).await.map_err(ConnectError::Http2)
    };
    let full = || ConnectError::Http2(h2::Reason::REFUSED_STREAM.into());
    let place = if client.is_some() {
        connect().await?.place(Instant::now()).map(Connection::from).ok_or_else(full)?
    } else {
        let opening = proxy.pools.opening(endpoint);
        let _held = opening.lock().await;
        match proxy.pools.share(endpoint.id, Instant::now()) {
            Some(connection) => connection,
            None => {
                let shared = connect().await?;
                proxy.pools.put_shared(endpoint, shared, Instant::now()).ok_or_else(full)?
            }
        }
    };
    if websocket && !place.carries_websocket() {
        drop(place);
        return open_http1(endpoint, guard, &way).await;
    }
    Ok(place)
}

async fn open_http1(
    endpoint: &Endpoint,
    guard: &AddressGuard,
    way: &Way<'_>,
) -> Result<Connection, ConnectError> {
    let Way { client, header, tls, .. } = *way;
    let stream = upstream::connect(endpoint, guard, header, tls, false).await?;
    Ok(Connection::open(stream, client))
}
