//! Leases: `Lease`.

use prost::Message;

use super::ResponseHeader;

/// Asks for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseGrantRequest {
    /// Seconds.
    #[prost(int64, tag = "1")]
    pub ttl: i64,
    /// Its number; 0 lets the server choose.
    #[prost(int64, tag = "2")]
    pub id: i64,
}

/// The answer to a [`LeaseGrantRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseGrantResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Its number.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Seconds, which may be more than what was asked for.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
}

/// Ends a lease and deletes the keys that go with it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseRevokeRequest {
    /// Which.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// The answer to a [`LeaseRevokeRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseRevokeResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// Renews a lease.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseKeepAliveRequest {
    /// Which.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// The answer to a [`LeaseKeepAliveRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseKeepAliveResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Seconds that it has now; 0 if there is no such lease.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
}

/// Asks how long a lease still has.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LeaseTimeToLiveRequest {
    /// Which.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Whether to name the keys that go with it.
    #[prost(bool, tag = "2")]
    pub keys: bool,
}

/// The answer to a [`LeaseTimeToLiveRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseTimeToLiveResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// Seconds that it still has; -1 if there is no such lease.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
    /// Seconds that it was granted.
    #[prost(int64, tag = "4")]
    pub granted_ttl: i64,
    /// The keys that go with it.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub keys: Vec<bytes::Bytes>,
}
