//! What is known of one source, and of all of them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::held::Held;
use crate::{
    control::entry::Source,
    model::{InstanceKey, ServiceName},
    sources::{Found, LastKnown, SourceName, SourceSettings},
};

/// Rejected entries that are remembered of each source.
const MOST_REJECTED: usize = 20;

/// An entry that was rejected this long before a list was read with it.
const TOGETHER: Duration = Duration::from_secs(5);

/// All sources.
#[derive(Debug, Default)]
pub(in crate::control) struct Sources {
    pub(in crate::control) all: BTreeMap<SourceName, SourceState>,
    /// Those that are to read their list again.
    pub(super) wanted: Vec<SourceName>,
    /// What could not be read from disk, or written there, by source.
    pub(in crate::control) memory_failures: BTreeMap<SourceName, String>,
    /// Services with instances that are to be probed in another way.
    pub(super) unresolved: BTreeSet<ServiceName>,
}

/// Since when a source is lost.
#[derive(Debug)]
pub(in crate::control) struct Lost {
    pub(in crate::control) since: Instant,
    pub(in crate::control) why: String,
}

/// Something that a source has and that cannot be an instance.
#[derive(Debug)]
pub(in crate::control) struct Rejected {
    pub(in crate::control) what: String,
    pub(in crate::control) why: String,
    pub(in crate::control) at: Instant,
}

/// What is known of one source.
#[derive(Debug)]
pub(in crate::control) struct SourceState {
    pub(in crate::control) kind: &'static str,
    /// Its place in the config file.
    pub(in crate::control) order: usize,
    pub(super) allow_loopback: Option<bool>,
    /// When it last said anything, if that was in this process.
    pub(in crate::control) heard: Option<Instant>,
    /// When it last said all that it has.
    pub(in crate::control) listed: Option<Instant>,
    /// When it was last heard by the process whose knowledge this began with.
    pub(in crate::control) restored: Option<SystemTime>,
    pub(in crate::control) lost: Option<Lost>,
    /// The last failure, over or not.
    pub(in crate::control) last_error: Option<(String, Instant)>,
    pub(in crate::control) failures: u64,
    pub(in crate::control) rejections: u64,
    pub(in crate::control) rejected: VecDeque<Rejected>,
    /// What it has as far as that is believed.
    pub(in crate::control) instances: BTreeMap<InstanceKey, Arc<Found>>,
    pub(in crate::control) held: Option<Held>,
    /// Whether that has changed since it was last written to disk.
    pub(in crate::control) changed: bool,
}

impl SourceState {
    pub(super) fn new(settings: &SourceSettings) -> Self {
        Self {
            kind: settings.kind.word(),
            order: 0,
            allow_loopback: settings.common.allow_loopback,
            heard: None,
            listed: None,
            restored: None,
            lost: None,
            last_error: None,
            failures: 0,
            rejections: 0,
            rejected: VecDeque::new(),
            instances: BTreeMap::new(),
            held: None,
            changed: false,
        }
    }

    /// Notes that it cannot be reached. Answers with what is to be told, once.
    pub(super) fn lost(&mut self, why: String, now: Instant) -> Option<String> {
        self.failures += 1;
        self.last_error = Some((why.clone(), now));
        if let Some(lost) = &mut self.lost {
            lost.why = why;
            return None;
        }
        let count = self.instances.len();
        let detail = format!("{why}; its {count} instances stay as they were");
        self.lost = Some(Lost { since: now, why });
        Some(detail)
    }

    /// Notes that it was heard. Answers with what is to be told, if it was
    /// lost.
    pub(super) fn connected(&mut self, now: Instant) -> Option<String> {
        self.heard = Some(now);
        let lost = self.lost.take()?;
        if let Some(held) = &mut self.held {
            held.begin_anew(now);
        }
        let after = Duration::from_secs(now.duration_since(lost.since).as_secs());
        Some(format!("it is heard again after {}", humantime::format_duration(after)))
    }

    /// Notes that an entry of it was left out.
    pub(super) fn reject(&mut self, what: String, why: String, now: Instant) {
        self.rejections += 1;
        self.rejected.retain(|rejected| rejected.what != what);
        self.rejected.push_front(Rejected { what, why, at: now });
        self.rejected.truncate(MOST_REJECTED);
    }

    pub(super) fn restore(&mut self, known: &LastKnown) {
        self.restored = Some(known.heard);
        let keyed = known.found.iter().map(|found| (found.instance.key(), Arc::clone(found)));
        self.instances = keyed.collect();
    }

    /// Whether there is anything to route by, or somebody has said that there
    /// is not.
    pub(in crate::control) const fn is_known(&self) -> bool {
        self.listed.is_some() || self.restored.is_some()
    }

    /// Whether it was reached the last time that was tried.
    pub(in crate::control) const fn is_connected(&self) -> bool {
        self.heard.is_some() && self.lost.is_none()
    }

    /// Whether it was rejected no earlier than with the last list.
    pub(in crate::control) fn is_current(&self, rejected: &Rejected) -> bool {
        self.listed.is_none_or(|listed| rejected.at + TOGETHER >= listed)
    }

    /// How old what is known of it is, if anything is.
    pub(in crate::control) fn age(&self, now: Instant) -> Option<Duration> {
        match (self.heard, self.restored) {
            (Some(heard), _) => Some(now.duration_since(heard)),
            // A clock that was moved back makes it heard just now.
            (None, Some(heard)) => {
                Some(SystemTime::now().duration_since(heard).unwrap_or_default())
            }
            (None, None) => None,
        }
    }
}

impl Sources {
    /// Who counts before whom: less is more.
    pub(in crate::control) fn rank(&self, source: &Source) -> usize {
        match source {
            Source::File => 0,
            Source::Registry => 1,
            Source::Outside(name) => self.all.get(name).map_or(usize::MAX, |state| state.order + 2),
        }
    }

    /// The instances of one, as far as that is believed.
    pub(in crate::control) fn of(&self, name: &SourceName) -> Vec<Arc<Found>> {
        let state = self.all.get(name).into_iter();
        state.flat_map(|state| state.instances.values().map(Arc::clone)).collect()
    }

    /// What each had when it was last heard.
    pub(in crate::control) fn known(&self) -> Vec<LastKnown> {
        let known = self.all.iter().filter(|(_, state)| state.is_known());
        known.map(|(name, state)| state.known(name)).collect()
    }

    /// What those had that have changed since this was asked last.
    pub(in crate::control) fn take_changed(&mut self) -> Vec<LastKnown> {
        let changed = self.all.iter_mut().filter(|(_, state)| state.changed);
        changed
            .map(|(name, state)| {
                state.changed = false;
                state.known(name)
            })
            .collect()
    }
}

impl SourceState {
    fn known(&self, name: &SourceName) -> LastKnown {
        let age = self.age(Instant::now()).unwrap_or_default();
        let heard = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let found = self.instances.values().map(Arc::clone).collect();
        LastKnown { source: name.clone(), kind: self.kind.to_owned(), heard, found }
    }
}
