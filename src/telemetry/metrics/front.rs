//! What is counted of the calls of fronts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::FrontApi;

/// What a call of a front is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontCall {
    /// An instance registers.
    Register,
    /// It says that it is still there, and how it is.
    Renew,
    /// Somebody says that it is to get requests or not.
    Status,
    /// It leaves.
    Deregister,
    /// Somebody asks what is registered.
    Read,
    /// Anything else.
    Other,
}

impl FrontCall {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Register, Self::Renew, Self::Status, Self::Deregister, Self::Read, Self::Other];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Renew => "renew",
            Self::Status => "status",
            Self::Deregister => "deregister",
            Self::Read => "read",
            Self::Other => "other",
        }
    }
}

/// What came of a call: done, refused because of the caller, or failed here.
const RESULTS: [&str; 3] = ["ok", "refused", "failed"];

const CALLS: usize = FrontCall::ALL.len();

/// The counts of all fronts.
#[derive(Debug, Default)]
pub struct FrontMetrics {
    counts: [[[AtomicU64; RESULTS.len()]; CALLS]; FrontApi::ALL.len()],
}

impl FrontMetrics {
    /// Counts a call that was answered with `status`.
    pub fn answered(&self, api: FrontApi, call: FrontCall, status: u16) {
        let result = match status {
            ..400 => 0,
            400..500 => 1,
            _ => 2,
        };
        self.counts[api as usize][call as usize][result].fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted: language, call, result and how often; what never
    /// happened is left out.
    pub(super) fn series(
        &self,
    ) -> impl Iterator<Item = (&'static str, &'static str, &'static str, u64)> + '_ {
        FrontApi::ALL.into_iter().flat_map(move |api| {
            FrontCall::ALL.into_iter().flat_map(move |call| {
                let counts = &self.counts[api as usize][call as usize];
                RESULTS.iter().zip(counts).filter_map(move |(result, count)| {
                    let count = count.load(Ordering::Relaxed);
                    (count > 0).then_some((api.as_str(), call.as_str(), *result, count))
                })
            })
        })
    }
}
