//! Keys: `KV` without its transactions.

use prost::Message;

use super::ResponseHeader;

/// A key, its value and its history.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct KeyValue {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: bytes::Bytes,
    /// The revision that made it.
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    /// The revision that changed it last; that of the deletion in an event of
    /// one.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// How often it was put since it was made.
    #[prost(int64, tag = "4")]
    pub version: i64,
    /// Its value.
    #[prost(bytes = "bytes", tag = "5")]
    pub value: bytes::Bytes,
    /// The lease that it goes with; 0 for none.
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// Asks for keys from `key` to before `range_end`; for `key` alone without.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RangeRequest {
    /// The first key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: bytes::Bytes,
    /// The end, exclusive.
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: bytes::Bytes,
    /// The most keys to answer with; 0 for all.
    #[prost(int64, tag = "3")]
    pub limit: i64,
    /// As of this revision; 0 for the newest.
    #[prost(int64, tag = "4")]
    pub revision: i64,
    /// Whether an old answer will do: it needs no leader.
    #[prost(bool, tag = "7")]
    pub serializable: bool,
    /// Whether to leave out the values.
    #[prost(bool, tag = "8")]
    pub keys_only: bool,
    /// Whether to answer with the count alone.
    #[prost(bool, tag = "9")]
    pub count_only: bool,
}

/// Keys, in their order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RangeResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The keys.
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
    /// Whether there are more than `limit`.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// How many there are in all.
    #[prost(int64, tag = "4")]
    pub count: i64,
}

/// Puts a key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PutRequest {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: bytes::Bytes,
    /// Its value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
    /// The lease that it goes with; 0 for none.
    #[prost(int64, tag = "3")]
    pub lease: i64,
    /// Whether to answer with what was there before.
    #[prost(bool, tag = "4")]
    pub prev_kv: bool,
}

/// The answer to a [`PutRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PutResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// What was there before, if that was asked for.
    #[prost(message, optional, tag = "2")]
    pub prev_kv: Option<KeyValue>,
}

/// Deletes keys from `key` to before `range_end`; `key` alone without.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeleteRangeRequest {
    /// The first key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: bytes::Bytes,
    /// The end, exclusive.
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: bytes::Bytes,
    /// Whether to answer with what was there before.
    #[prost(bool, tag = "3")]
    pub prev_kv: bool,
}

/// The answer to a [`DeleteRangeRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeleteRangeResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// How many were deleted.
    #[prost(int64, tag = "2")]
    pub deleted: i64,
    /// What was there before, if that was asked for.
    #[prost(message, repeated, tag = "3")]
    pub prev_kvs: Vec<KeyValue>,
}
