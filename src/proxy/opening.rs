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
}

/// Opens a connection to `endpoint`. One that is to be shared is opened by one
/// request while others wait for it.
pub(super) async fn open(
    proxy: &Proxy,
    endpoint: &Arc<Endpoint>,
    policy: &ServicePolicy,
    guard: &AddressGuard,
    way: Way<'_>,
) -> Result<Connection, ConnectError> {
    let Way { client, header, tls } = way;
    if policy.protocol == Protocol::Http1 {
        return Ok(Connection::open(
            upstream::connect(endpoint, guard, header, tls).await?,
            client,
        ));
    }
    let full = || ConnectError::Http2(h2::Reason::REFUSED_STREAM.into());
    if client.is_some() {
        let stream = upstream::connect(endpoint, guard, header, tls).await?;
        let own = Shared::open(stream, endpoint.scheme == Scheme::Https)
            .await
            .map_err(ConnectError::Http2)?;
        return own.place(Instant::now()).map(Connection::from).ok_or_else(full);
    }
    let opening = proxy.pools.opening(endpoint);
    let _held = opening.lock().await;
    if let Some(connection) = proxy.pools.share(endpoint.id, Instant::now()) {
        return Ok(connection);
    }
    let stream = upstream::connect(endpoint, guard, header, tls).await?;
    let shared = Shared::open(stream, endpoint.scheme == Scheme::Https)
        .await
        .map_err(ConnectError::Http2)?;
    proxy.pools.put_shared(endpoint, shared, Instant::now()).ok_or_else(full)
}
