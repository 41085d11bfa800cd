//! What can keep the proxy from starting.

use std::{io, net::SocketAddr};

use crate::{config::Report, registry::OpenError};

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
