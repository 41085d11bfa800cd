//! How far this proxy is behind etcd. Pure.
//!
//! The revision of etcd goes up with everything that anybody writes there, also
//! where this proxy hears nothing of it: so a watch has to say itself how far it
//! has come, and only what it says counts.

use std::time::Duration;

use tokio::time::Instant;

/// What is known of both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Where etcd is, and since when that is known.
    newest: Option<(i64, Instant)>,
    /// Until where everything was heard.
    confirmed: i64,
    /// What is not confirmed, and since when etcd has been there.
    behind: Option<(i64, Instant)>,
}

impl Progress {
    /// etcd is at `revision`.
    pub(super) fn is_at(&mut self, revision: i64, now: Instant) {
        if revision > self.newest() {
            self.newest = Some((revision, now));
        }
        if self.behind.is_none() && self.newest() > self.confirmed {
            self.behind = self.newest;
        }
    }

    /// Everything until `revision` was heard.
    pub(super) fn confirm(&mut self, revision: i64) {
        self.confirmed = self.confirmed.max(revision);
        if self.behind.is_some_and(|(wanted, _)| wanted <= self.confirmed) {
            self.behind = self.newest.filter(|(newest, _)| *newest > self.confirmed);
        }
    }

    /// Until where everything was heard.
    pub(super) const fn confirmed(&self) -> i64 {
        self.confirmed
    }

    /// Where etcd is, as far as it is known.
    pub(super) fn newest(&self) -> i64 {
        self.newest.map_or(self.confirmed, |(newest, _)| newest.max(self.confirmed))
    }

    /// For how long etcd has been further; none if it is not.
    pub(super) fn behind(&self, now: Instant) -> Option<Duration> {
        self.behind.map(|(_, since)| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_behind_from_when_etcd_was_further_until_it_has_heard() {
        let (mut progress, begun) = (Progress::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        progress.confirm(10);
        progress.is_at(10, at(0));
        assert_eq!((progress.newest(), progress.behind(at(1))), (10, None));
        progress.is_at(12, at(2));
        progress.is_at(15, at(4));
        assert_eq!(progress.behind(at(5)), Some(Duration::from_secs(3)));
        // Not all of it yet: it is behind what came last.
        progress.confirm(13);
        assert_eq!(progress.behind(at(5)), Some(Duration::from_secs(1)));
        // What a slower member says changes nothing.
        progress.is_at(11, at(6));
        assert_eq!((progress.newest(), progress.confirmed()), (15, 13));
        progress.confirm(20);
        assert_eq!((progress.newest(), progress.behind(at(9))), (20, None));
    }
}
