//! Transactions: `KV/Txn`.

use prost::{Enumeration, Message, Oneof};

use super::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    ResponseHeader,
};

/// One step of a transaction.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RequestOp {
    /// The step.
    #[prost(oneof = "Operation", tags = "1, 2, 3")]
    pub request: Option<Operation>,
}

/// What a step of a transaction does.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Operation {
    /// Reads.
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    /// Puts.
    #[prost(message, tag = "2")]
    Put(PutRequest),
    /// Deletes.
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeRequest),
}

impl From<Operation> for RequestOp {
    fn from(operation: Operation) -> Self {
        Self { request: Some(operation) }
    }
}

/// The answer to one step of a transaction.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ResponseOp {
    /// The answer.
    #[prost(oneof = "Answer", tags = "1, 2, 3")]
    pub response: Option<Answer>,
}

/// What a step of a transaction answers.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Answer {
    /// What was read.
    #[prost(message, tag = "1")]
    Range(RangeResponse),
    /// That it was put.
    #[prost(message, tag = "2")]
    Put(PutResponse),
    /// That it was deleted.
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeResponse),
}

/// How the two sides of a [`Compare`] have to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum CompareResult {
    /// The same.
    Equal = 0,
    /// The key's is greater.
    Greater = 1,
    /// The key's is less.
    Less = 2,
    /// They differ.
    NotEqual = 3,
}

/// What of a key is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum CompareTarget {
    /// How often it was put.
    Version = 0,
    /// The revision that made it; 0 if it is not there.
    Create = 1,
    /// The revision that changed it last.
    Mod = 2,
    /// Its value.
    Value = 3,
    /// Its lease.
    Lease = 4,
}

/// A condition of a transaction.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Compare {
    /// How they have to stand.
    #[prost(enumeration = "CompareResult", tag = "1")]
    pub result: i32,
    /// What is compared.
    #[prost(enumeration = "CompareTarget", tag = "2")]
    pub target: i32,
    /// Of which key.
    #[prost(bytes = "bytes", tag = "3")]
    pub key: bytes::Bytes,
    /// With what.
    #[prost(oneof = "Compared", tags = "4, 5, 6, 7, 8")]
    pub with: Option<Compared>,
}

/// The other side of a [`Compare`], of the kind that its target names.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Compared {
    /// A count of puts.
    #[prost(int64, tag = "4")]
    Version(i64),
    /// A revision.
    #[prost(int64, tag = "5")]
    Create(i64),
    /// A revision.
    #[prost(int64, tag = "6")]
    Mod(i64),
    /// A value.
    #[prost(bytes = "bytes", tag = "7")]
    Value(bytes::Bytes),
    /// A lease.
    #[prost(int64, tag = "8")]
    Lease(i64),
}

impl Compare {
    /// That `key` stands as `result` to `with`.
    #[must_use]
    pub fn new(key: bytes::Bytes, result: CompareResult, with: Compared) -> Self {
        let target = match with {
            Compared::Version(_) => CompareTarget::Version,
            Compared::Create(_) => CompareTarget::Create,
            Compared::Mod(_) => CompareTarget::Mod,
            Compared::Value(_) => CompareTarget::Value,
            Compared::Lease(_) => CompareTarget::Lease,
        };
        Self { result: result.into(), target: target.into(), key, with: Some(with) }
    }
}

/// All of `success` if every `compare` holds, else all of `failure`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxnRequest {
    /// The conditions.
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    /// What is done if they hold.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
    /// What is done if they do not.
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<RequestOp>,
}

/// The answer to a [`TxnRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxnResponse {
    /// Of the answer.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether the conditions held.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    /// The answers to the steps.
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}
