//! The messages of etcd's gRPC API that are used, written by hand so that the
//! build needs no `protoc`.
//!
//! Names and numbers are those of `rpc.proto`, `kv.proto` and `auth` of etcd
//! 3.4 (`etcdserverpb`, `mvccpb`). Fields that are not used are left out; what
//! a server sends in them is skipped.

mod kv;
mod lease;
mod member;
mod txn;
mod watch;

use prost::Message;

pub use kv::{
    DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse, RangeRequest,
    RangeResponse,
};
pub use lease::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
pub use member::{AuthenticateRequest, AuthenticateResponse, StatusRequest, StatusResponse};
pub use txn::{
    Answer, Compare, CompareResult, CompareTarget, Compared, Operation, RequestOp, ResponseOp,
    TxnRequest, TxnResponse,
};
pub use watch::{
    Event, EventType, WatchCall, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest,
    WatchRequest, WatchResponse,
};

/// What every answer begins with.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ResponseHeader {
    /// The cluster that answered.
    #[prost(uint64, tag = "1")]
    pub cluster_id: u64,
    /// The member that answered.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// The revision of the store when it answered.
    #[prost(int64, tag = "3")]
    pub revision: i64,
    /// The term of the leader.
    #[prost(uint64, tag = "4")]
    pub raft_term: u64,
}
