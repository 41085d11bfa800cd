//! What can keep the proxy from starting.

use std::{io, net::SocketAddr};

use crate::{config::Report, registry::OpenError, tls::TlsError};

/// What can keep the proxy from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The config file is refused.
    #[error("the config file is refused: {}", .0.summary())]
    Config(Report),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// TLS cannot be spoken at an address.
    #[error("no TLS at {address}: {error}")]
    Tls {
        /// The address.
        address: SocketAddr,
        /// What is wrong.
        error: TlsError,
    },
    /// The service manager passed a socket that is no TCP socket.
    #[error("the service manager passed {name:?}, which is no TCP socket: {error}")]
    Passed {
        /// Its name, as the service manager calls it.
        name: String,
        /// What is wrong with it.
        error: io::Error,
    },
    /// The service manager passed sockets that the config file does not name.
    #[error(
        "the service manager passed sockets at {}, and no listener has such an address; \
         make ListenStream= of the socket unit and `address` in the config file the same",
        list(.0)
    )]
    NotNamed(Vec<SocketAddr>),
    /// The process that starts this one cannot be talked to.
    #[error("cannot take over from the process before: {0}")]
    Handover(io::Error),
    /// The registry cannot be opened.
    #[error(transparent)]
    Registry(OpenError),
    /// The access log cannot be written.
    #[error("cannot open the access log: {0}")]
    AccessLog(io::Error),
    /// The audit log cannot be written.
    #[error("cannot open the audit log: {0}")]
    AuditLog(io::Error),
    /// The system has no thread or descriptor left.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
