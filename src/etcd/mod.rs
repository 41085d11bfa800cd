//! A client of etcd v3: keys, transactions, leases and watches over gRPC.
//!
//! It keeps one connection to one member and goes on to the next when that
//! fails; what a key means is the business of those who use it. Nothing is
//! taken for an answer that is not one: a connection that breaks, a member
//! without a leader and a watch that has gone quiet are errors.

mod call;
mod client;
mod error;
mod link;
mod member;
pub mod messages;
mod settings;
mod watch;

pub use client::{Client, Listing};
pub use error::Error;
pub use settings::ClientSettings;
pub use watch::{Heard, Watch};

use bytes::Bytes;

/// The end of the range of all keys that begin with `prefix`: the prefix with
/// its last byte that can be counted up counted up.
#[must_use]
pub fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    // All keys from there on.
    Bytes::from_static(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_after_its_prefix() {
        assert_eq!(end_of(b"/a/"), "/a0");
        assert_eq!(end_of(b"a\xff\xff"), "b");
        assert_eq!(end_of(b"\xff"), &[0][..]);
        assert_eq!(end_of(b""), &[0][..]);
    }
}
