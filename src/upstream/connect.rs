//! Opening a connection to an endpoint.

use std::{io, net::SocketAddr};

use rustix::io::Errno;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, lookup_host},
};

use super::{Stream, tls};
use crate::{
    model::{Address, AddressDenied, AddressGuard, Endpoint, Host},
    tls::Connector,
};

/// Why a connection could not be opened. Nothing was sent, so the request is
/// safe to be sent elsewhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address rules forbid it.
    #[error(transparent)]
    Denied(#[from] AddressDenied),
    /// The name could not be resolved.
    #[error("cannot resolve {address}: {error}")]
    Resolve {
        /// The address with the name.
        address: Address,
        /// What the resolver said.
        error: io::Error,
    },
    /// The endpoint refused.
    #[error("{0} refused the connection")]
    Refused(SocketAddr),
    /// This process has no descriptor, port or memory left; it says nothing
    /// about the endpoint.
    #[error("cannot open a connection: {0}")]
    Exhausted(io::Error),
    /// It does not speak HTTP/2.
    #[error("no HTTP/2: {0}")]
    Http2(h2::Error),
    /// It did not agree to HTTP/2 in the handshake.
    #[error("it does not offer HTTP/2")]
    NoHttp2,
    /// Its address is in the clear, and the service speaks HTTP/2 over TLS, or
    /// the other way round.
    #[error("the protocol of the service does not fit its address")]
    Misfit,
    /// Anything else.
    #[error("cannot connect to {address}: {error}")]
    Failed {
        /// Where to.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The endpoint does not speak TLS as it should.
    #[error("no TLS: {why}")]
    Tls {
        /// Whether it is its certificate that is not good enough.
        certificate: bool,
        /// For a person.
        why: String,
    },
}

/// Opens a connection to `endpoint`. A name is resolved anew each time and
/// every address it has is held against `guard`, then tried in turn. `header`
/// is sent before everything else; it may be empty. Where TLS is spoken,
/// `connector` says how; without one there is no connection. With `http2` the
/// other side has to agree to that.
///
/// # Errors
///
/// The error of the last address tried.
pub async fn connect(
    endpoint: &Endpoint,
    guard: &AddressGuard,
    header: &[u8],
    connector: Option<&Connector>,
    http2: bool,
) -> Result<Stream, ConnectError> {
    let stream = connect_plain(endpoint, guard, header).await?;
    tls::secure(stream, endpoint, connector, http2).await
}

async fn connect_plain(
    endpoint: &Endpoint,
    guard: &AddressGuard,
    header: &[u8],
) -> Result<TcpStream, ConnectError> {
    let address = &endpoint.address;
    let Host::Name(name) = &address.host else {
        let literal = address.socket_addr().into_iter();
        return connect_any(endpoint, guard, header, literal).await;
    };
    let resolved = lookup_host((&**name, address.port))
        .await
        .map_err(|error| ConnectError::Resolve { address: address.clone(), error })?;
    connect_any(endpoint, guard, header, resolved).await
}

async fn connect_any(
    endpoint: &Endpoint,
    guard: &AddressGuard,
    header: &[u8],
    addresses: impl Iterator<Item = SocketAddr>,
) -> Result<TcpStream, ConnectError> {
    let mut last = None;
    for address in addresses {
        match connect_one(endpoint, guard, header, address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ConnectError::Resolve {
        address: endpoint.address.clone(),
        error: io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
    }))
}

async fn connect_one(
    endpoint: &Endpoint,
    guard: &AddressGuard,
    header: &[u8],
    address: SocketAddr,
) -> Result<TcpStream, ConnectError> {
    guard.check_from(endpoint.provenance, address)?;
    let mut stream = TcpStream::connect(address).await.map_err(|error| classify(address, error))?;
    // Heads are written whole; waiting to fill a segment would only delay them.
    let _ = stream.set_nodelay(true);
    if !header.is_empty() {
        stream.write_all(header).await.map_err(|error| classify(address, error))?;
    }
    Ok(stream)
}

fn classify(address: SocketAddr, error: io::Error) -> ConnectError {
    match Errno::from_io_error(&error) {
        Some(Errno::CONNREFUSED) => ConnectError::Refused(address),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL) => {
            ConnectError::Exhausted(error)
        }
        _ => ConnectError::Failed { address, error },
    }
}
