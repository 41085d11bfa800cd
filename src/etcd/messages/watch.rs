//! Watches: `Watch/Watch`.

use prost::{Enumeration, Message, Oneof};

use super::{KeyValue, ResponseHeader};

/// Says something to a stream of watches.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchRequest {
    /// What.
    #[prost(oneof = "WatchCall", tags = "1, 2, 3")]
    pub request: Option<WatchCall>,
}

/// What can be said to a stream of watches.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum WatchCall {
    /// Begin to watch.
    #[prost(message, tag = "1")]
    Create(WatchCreateRequest),
    /// End a watch.
    #[prost(message, tag = "2")]
    Cancel(WatchCancelRequest),
    /// Say how far it has come.
    #[prost(message, tag = "3")]
    Progress(WatchProgressRequest),
}

/// Begins to watch keys from `key` to before `range_end`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchCreateRequest {
    /// The first key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: bytes::Bytes,
    /// The end, exclusive.
    #[prost(bytes = "bytes", tag = "2")]
    pub range_end: bytes::Bytes,
    /// The first revision to tell of.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
    /// Whether to say now and then that nothing has happened.
    #[prost(bool, tag = "4")]
    pub progress_notify: bool,
    /// Whether to tell what was there before.
    #[prost(bool, tag = "6")]
    pub prev_kv: bool,
    /// Whether a revision with many changes may come in several answers.
    #[prost(bool, tag = "8")]
    pub fragment: bool,
}

/// Ends a watch.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct WatchCancelRequest {
    /// Which.
    #[prost(int64, tag = "1")]
    pub watch_id: i64,
}

/// Asks how far a stream has come.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct WatchProgressRequest {}

/// What a stream of watches says.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WatchResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Which watch.
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    /// Whether it has begun.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// Whether it has ended.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// The oldest revision that there is, if it asked for an older one.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why it has ended.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// Whether more of the same revision follows.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// What happened, in order.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
}

/// What can happen to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// It was put.
    Put = 0,
    /// It was deleted, or its lease is over: nothing tells which.
    Delete = 1,
}

/// Something that happened to a key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Event {
    /// What.
    #[prost(enumeration = "EventType", tag = "1")]
    pub r#type: i32,
    /// The key; of a deleted one without its value.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
    /// What was there before, if that was asked for.
    #[prost(message, optional, tag = "3")]
    pub prev_kv: Option<KeyValue>,
}
