//! Why etcd has not answered as it should.

use std::time::Duration;

use tonic::{Code, Status};

use crate::tls::TlsError;

/// Why a call has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No member is named.
    #[error("no endpoint is configured")]
    NoEndpoint,
    /// Certificates or keys of ours cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No connection could be opened: nothing was sent.
    #[error("cannot connect to {endpoint}: {why}")]
    Connect {
        /// The address of the member that was tried last.
        endpoint: String,
        /// Why, for a person.
        why: String,
    },
    /// The connection has broken: it is not known whether the call was heard.
    #[error("the connection to {endpoint} has broken: {why}")]
    Broken {
        /// The address of the member.
        endpoint: String,
        /// Why, for a person.
        why: String,
    },
    /// No answer came in time: it is not known whether the call was heard.
    #[error("{endpoint} has not answered within {within:?}")]
    TimedOut {
        /// The address of the member.
        endpoint: String,
        /// How long was waited.
        within: Duration,
    },
    /// The member knows of no leader: the cluster has no majority, or the
    /// member is cut off.
    #[error("{endpoint} has no leader")]
    NoLeader {
        /// The address of the member.
        endpoint: String,
    },
    /// User and password, the token, or what they may do.
    #[error("{endpoint} refuses us: {message}")]
    Denied {
        /// The address of the member.
        endpoint: String,
        /// What it says.
        message: String,
        /// Whether it is the token, which another one can replace.
        token: bool,
    },
    /// What was asked for is older than what there still is.
    #[error("revision {wanted} has been compacted")]
    Compacted {
        /// The revision that was asked for.
        wanted: i64,
    },
    /// An answer is larger than what is taken.
    #[error("there is more under {prefix:?} than is taken: {what}")]
    TooMuch {
        /// What was asked for.
        prefix: String,
        /// The bound.
        what: String,
    },
    /// The member has answered with an error.
    #[error("{endpoint} answers {code:?}: {message}")]
    Answered {
        /// The address of the member.
        endpoint: String,
        /// Of gRPC.
        code: Code,
        /// What it says.
        message: String,
    },
}

impl Error {
    /// What `status` of the member at `endpoint` means.
    pub(super) fn from_status(status: &Status, endpoint: &str) -> Self {
        use std::error::Error as _;
        let endpoint = endpoint.to_owned();
        let message = status.message().trim_start_matches("etcdserver: ").to_owned();
        // What the server says has no source.
        if let Some(source) = status.source() {
            return Self::Broken { endpoint, why: innermost(source) };
        }
        match status.code() {
            _ if message.contains("no leader") => Self::NoLeader { endpoint },
            _ if message.contains("has been compacted") => Self::Compacted { wanted: 0 },
            Code::Unauthenticated => Self::Denied { endpoint, message, token: true },
            _ if message.contains("revision of auth store is old") => {
                Self::Denied { endpoint, message, token: true }
            }
            Code::PermissionDenied => Self::Denied { endpoint, message, token: false },
            // Neither user nor password.
            Code::InvalidArgument if message.contains("user name is empty") => {
                let message = "authentication is on: set username and password".to_owned();
                Self::Denied { endpoint, message, token: false }
            }
            Code::InvalidArgument if message.contains("authentication failed") => {
                Self::Denied { endpoint, message, token: false }
            }
            code => Self::Answered { endpoint, code, message },
        }
    }

    /// Whether another member may do better.
    #[must_use]
    pub fn is_of_member(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::NoLeader { .. } => true,
            Self::Answered { code, .. } => {
                matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Unknown)
            }
            _ => false,
        }
    }

    /// Whether it is certain that the call has changed nothing.
    #[must_use]
    pub const fn is_without_effect(&self) -> bool {
        !matches!(
            self,
            Self::Broken { .. }
                | Self::TimedOut { .. }
                | Self::Answered {
                    code: Code::Unavailable | Code::DeadlineExceeded | Code::Unknown,
                    ..
                }
        )
    }
}

/// The words of the error at the root of `error`.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
