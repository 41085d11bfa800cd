//! Why the control plane did not do what was asked.

use crate::{
    model::{AddressDenied, InstanceKey},
    registry::RegistryError,
    sources::SourceName,
};

/// Why the control plane did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No such instance.
    #[error("{0} is not registered")]
    NotFound(InstanceKey),
    /// No such source.
    #[error("there is no source {0}")]
    NoSource(SourceName),
    /// Somebody else registered it.
    #[error("it was registered by somebody else")]
    OwnedByAnother,
    /// Another process has registered under the id since.
    #[error("{0}")]
    Replaced(String),
    /// A limit of `[registry]` is reached.
    #[error("{0}")]
    LimitReached(String),
    /// The registration cannot be taken as it is.
    #[error("{0}")]
    Invalid(String),
    /// The address is one that instances may not have.
    #[error(transparent)]
    AddressDenied(#[from] AddressDenied),
    /// The disk is full.
    #[error("the disk of the store is full")]
    StoreFull,
    /// The store takes no writes.
    #[error("the store takes no writes: {0}")]
    StoreFailed(String),
    /// The process is on its way out.
    #[error("the proxy is shutting down")]
    Closed,
}

impl From<RegistryError> for ControlError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NotFound { key } => Self::NotFound(key),
            RegistryError::Owned { .. } => Self::OwnedByAnother,
            RegistryError::Replaced { .. } => Self::Replaced(error.to_string()),
            RegistryError::TooManyServices { .. } | RegistryError::TooManyInstances { .. } => {
                Self::LimitReached(error.to_string())
            }
            RegistryError::StoreFull => Self::StoreFull,
            RegistryError::StoreFailed { reason } => Self::StoreFailed(reason.to_string()),
            RegistryError::Closed => Self::Closed,
            other => Self::Invalid(other.to_string()),
        }
    }
}
