//! What came of every exchange, counted one by one.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

/// The kinds of exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A GET whose body is known.
    Get,
    /// A POST whose body comes back, and whose number the instance keeps.
    Post,
    /// A GET whose body comes in pieces over some time.
    Stream,
    /// A few messages to and fro.
    WebSocket,
}

/// Why an exchange failed, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// No connection to the proxy could be opened.
    Connect(String),
    /// The connection ended before the head of the response.
    Closed(String),
    /// The proxy answered with an error of its own: status and reason.
    Refused(u16, String),
    /// The response broke off after its head.
    Cut(String),
    /// The response is not what it should be.
    Wrong(String),
    /// Nothing came for a minute.
    Timeout,
}

/// An exchange that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What it was.
    pub(crate) kind: Kind,
    /// Its number.
    pub(crate) number: u64,
    /// Why it failed.
    pub(crate) cause: Cause,
    /// When it was begun.
    pub(crate) begun: Instant,
    /// When it failed.
    pub(crate) ended: Instant,
}

impl Failure {
    /// Whether the head of an instance's response had come.
    pub(crate) fn head_was_forwarded(&self) -> bool {
        matches!(self.cause, Cause::Cut(_) | Cause::Wrong(_))
    }

    /// Whether it was under way at some time between `from` and `to`.
    pub(crate) fn overlaps(&self, from: Instant, to: Instant) -> bool {
        self.begun <= to && self.ended >= from
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Those that were begun, by kind.
    pub(crate) sent: BTreeMap<Kind, u64>,
    /// Those that went as they should, by kind.
    pub(crate) ok: BTreeMap<Kind, u64>,
    /// The others.
    pub(crate) failures: Vec<Failure>,
    /// From when it was due until it was over, of each GET that went well.
    pub(crate) took: Vec<Duration>,
    /// How long all of it took.
    pub(crate) span: Duration,
}

impl Tally {
    /// How many were begun.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.values().sum()
    }

    /// How many went as they should.
    pub(crate) fn ok(&self) -> u64 {
        self.ok.values().sum()
    }

    /// Failures for which `counts` holds.
    pub(crate) fn failed(&self, counts: impl Fn(&Failure) -> bool) -> u64 {
        self.failures.iter().filter(|failure| counts(failure)).count() as u64
    }

    /// Responses that broke off.
    pub(crate) fn cut(&self) -> u64 {
        self.failed(|failure| matches!(failure.cause, Cause::Cut(_)))
    }

    /// Exchanges begun each second.
    pub(crate) fn rate(&self) -> u64 {
        (self.sent() as f64 / self.span.as_secs_f64().max(0.001)).round() as u64
    }

    /// The time within which `share` of the GETs were over.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let rank = (share * took.len() as f64).ceil() as usize;
        took.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The failures, put together where they are alike.
    pub(crate) fn failures_in_words(&self) -> Vec<String> {
        let mut alike: BTreeMap<(Kind, &Cause), (u64, u64)> = BTreeMap::new();
        for failure in &self.failures {
            let count = alike.entry((failure.kind, &failure.cause)).or_default();
            *count = (count.0 + 1, failure.number);
        }
        let words = alike.into_iter().map(|((kind, cause), (count, number))| {
            format!("{count} × {kind:?}: {cause:?}, number {number} among them")
        });
        words.collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent ({} a second:", self.sent(), self.rate())?;
        for (index, (kind, count)) in self.sent.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {count} {}", format!("{kind:?}").to_lowercase())?;
        }
        let failed = self.failures.len();
        write!(
            f,
            "), {} as they should be, {failed} failed, {} of those cut",
            self.ok(),
            self.cut()
        )
    }
}
