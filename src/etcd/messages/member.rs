//! Members and who talks to them: `Auth/Authenticate` and
//! `Maintenance/Status`.

use prost::Message;

use super::ResponseHeader;

/// Asks for a token.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthenticateRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its password.
    #[prost(string, tag = "2")]
    pub password: String,
}

/// The answer to an [`AuthenticateRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthenticateResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The token.
    #[prost(string, tag = "2")]
    pub token: String,
}

/// Asks a member how it is.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct StatusRequest {}

/// The answer to a [`StatusRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StatusResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The version of the server.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Bytes of the store.
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    /// The member that leads; 0 for none.
    #[prost(uint64, tag = "4")]
    pub leader: u64,
}
