//! Why a request was sent once more.

use super::counter::Counter;

/// Why a request was sent once more, or could have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryCause {
    /// No connection could be opened.
    Connect,
    /// The connection ended before a byte of the request was written.
    Unsent,
    /// A connection that had been idle ended, and the same instance is asked
    /// over a new one.
    Stale,
    /// The connection ended before the head of an answer.
    Reset,
    /// The head of the answer did not come in time.
    Timeout,
    /// The status of the answer.
    Status,
}

impl RetryCause {
    const ALL: [Self; 6] =
        [Self::Connect, Self::Unsent, Self::Stale, Self::Reset, Self::Timeout, Self::Status];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Unsent => "unsent",
            Self::Stale => "stale",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status => "status",
        }
    }
}

/// Retries by cause, counted by one worker.
#[derive(Debug, Default)]
pub(super) struct Retries {
    by_cause: [Counter; RetryCause::ALL.len()],
    refused: Counter,
}

impl Retries {
    pub(super) fn sent(&self, cause: RetryCause) {
        self.by_cause[cause as usize].increment();
    }

    pub(super) fn refused(&self) {
        self.refused.increment();
    }
}

/// The retries of a service over all workers.
#[derive(Debug)]
pub(super) struct RetryCounts {
    by_cause: [u64; RetryCause::ALL.len()],
    /// Those that the budget did not let through.
    pub(super) refused: u64,
}

impl RetryCounts {
    pub(super) fn of<'a>(shards: impl Iterator<Item = &'a Retries>) -> Self {
        let mut counts = Self { by_cause: [0; RetryCause::ALL.len()], refused: 0 };
        for shard in shards {
            for (sum, count) in counts.by_cause.iter_mut().zip(&shard.by_cause) {
                *sum += count.value();
            }
            counts.refused += shard.refused.value();
        }
        counts
    }

    /// Retries by cause, as labels; those that never occurred are left out.
    pub(super) fn by_cause(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let named = RetryCause::ALL.into_iter().map(RetryCause::as_str).zip(self.by_cause);
        named.filter(|(_, count)| *count > 0)
    }

    /// Retries, whatever their cause.
    pub(super) fn sent(&self) -> u64 {
        self.by_cause.iter().sum()
    }
}
