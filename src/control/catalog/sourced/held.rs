//! A list that lacks so much that it may be mistaken: a registry that has
//! just begun, a query that went wrong. Pure.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use crate::model::InstanceKey;

/// With fewer missing than this nothing is sudden, unless all are.
const FEWEST: usize = 10;

/// A second list is believed from then on.
const SECOND_LOOK: Duration = Duration::from_secs(5);

/// Then it is believed without one.
const LONGEST: Duration = Duration::from_secs(30);

/// Whether it is doubtful that `missing` of `all` instances are gone at once.
pub(super) const fn is_sudden(missing: usize, all: usize) -> bool {
    missing > 0 && (missing == all || (missing >= FEWEST && missing * 2 > all))
}

/// Instances that a list lacked and that stay until that is believed.
#[derive(Debug)]
pub(in crate::control) struct Held {
    /// Which.
    pub(in crate::control) missing: BTreeSet<InstanceKey>,
    /// Since when; counted anew when a source that was lost is back.
    pub(in crate::control) since: Instant,
    asked: bool,
}

impl Held {
    pub(super) const fn new(missing: BTreeSet<InstanceKey>, now: Instant) -> Self {
        Self { missing, since: now, asked: false }
    }

    /// Whether a list that says the same is believed by now.
    pub(super) fn is_confirmed(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= SECOND_LOOK
    }

    /// Whether it is believed without another list.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= LONGEST
    }

    /// Whether it is time for a second list; says so once.
    pub(super) fn wants_list(&mut self, now: Instant) -> bool {
        self.is_confirmed(now) && !std::mem::replace(&mut self.asked, true)
    }

    /// What the source said before it was lost counts from when it is back.
    pub(super) const fn begin_anew(&mut self, now: Instant) {
        (self.since, self.asked) = (now, false);
    }

    /// How long until it is believed without another list.
    pub(in crate::control) fn left(&self, now: Instant) -> Duration {
        LONGEST.saturating_sub(now.duration_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sudden() {
        for (missing, all, sudden) in [
            (0, 0, false),
            (0, 100, false),
            (1, 1, true),
            (3, 3, true),
            (9, 10, false),
            (10, 19, true),
            (10, 20, false),
            (11, 20, true),
            (500, 1000, false),
            (501, 1000, true),
        ] {
            assert_eq!(is_sudden(missing, all), sudden, "{missing} of {all}");
        }
    }
}
