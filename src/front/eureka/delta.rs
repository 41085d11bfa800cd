//! What has changed lately, as Eureka's clients ask for it between two full
//! reads. Pure.
//!
//! A change is known from the first time that somebody reads after it, and told
//! for three minutes from then on with what the instance is by now, as a
//! server of Netflix does. So a client that asks every 30 s sees each one. What
//! happened before the first read is not known here (the client may have been
//! told by the process before): for as long as a client may rely on what it was
//! told then, it gets a hash code that nothing sums up to, and reads all anew.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::body::Bytes;
use tokio::time::Instant;

use super::reading::Shown;

/// How long a change is told (`retentionTimeInMSInDeltaQueue`).
const TOLD: Duration = Duration::from_secs(180);

/// A list that takes longer than this to make is sent again for a time.
const LONG: Duration = Duration::from_millis(20);

/// For how long, as a multiple of what it took: so that lists are a small part
/// of what a front does, however many ask for them. A server of Netflix sends
/// the same for 30 s.
const AGAIN: u32 = 10;

/// For how long it is, in any case, if nothing happens.
const FRESH: Duration = Duration::from_secs(1);

/// An instance by application and id.
type Name = (String, String);

/// What was seen last, and what was new then.
#[derive(Debug)]
pub(in crate::front) struct Changes {
    /// When it was first looked.
    begun: Option<Instant>,
    /// Counts changes, and is another one after a restart: py-eureka-client
    /// heeds no list that has the version and the hash code of the last one.
    version: u64,
    seen: HashMap<Name, Shown>,
    changed: HashMap<Name, (Action, Instant)>,
    /// Those that are gone, as they were last.
    gone: HashMap<Name, Shown>,
    lists: HashMap<Kind, List>,
}

/// A list, as it was sent.
#[derive(Debug)]
struct List {
    /// The number of the last event before it was made.
    event: u64,
    at: Instant,
    took: Duration,
    body: Bytes,
}

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// Of what has changed, not of all.
    pub(super) changes: bool,
    /// As JSON, not as XML.
    pub(super) json: bool,
}

impl Default for Changes {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            begun: None,
            // Exact in JavaScript.
            version: now.as_secs().saturating_mul(1000),
            seen: HashMap::new(),
            changed: HashMap::new(),
            gone: HashMap::new(),
            lists: HashMap::new(),
        }
    }
}

/// What became of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Added,
    Modified,
    Deleted,
}

impl Action {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

impl Changes {
    /// Takes over that `all` is what there is now. Answers with the version of
    /// that.
    pub(super) fn look(&mut self, all: &[Shown], now: Instant) -> u64 {
        let is_first = self.begun.is_none();
        self.begun.get_or_insert(now);
        let mut before = std::mem::take(&mut self.seen);
        for shown in all {
            let name = (shown.app.clone(), shown.id.clone());
            let action = match before.remove(&name) {
                None if is_first => None,
                None => Some(Action::Added),
                Some(old) => (old != *shown).then_some(Action::Modified),
            };
            if let Some(action) = action {
                self.gone.remove(&name);
                self.note(name.clone(), action, now);
            }
            self.seen.insert(name, shown.clone());
        }
        for (name, shown) in before {
            self.note(name.clone(), Action::Deleted, now);
            self.gone.insert(name, shown);
        }
        self.changed.retain(|_, (_, at)| now.duration_since(*at) <= TOLD);
        self.gone.retain(|name, _| self.changed.contains_key(name));
        self.version
    }

    fn note(&mut self, name: Name, action: Action, now: Instant) {
        self.changed.insert(name, (action, now));
        self.version += 1;
    }

    /// What has changed lately.
    pub(super) fn told(&self) -> Vec<(Shown, Action)> {
        let told = self.changed.iter().filter_map(|(name, (action, _))| {
            let shown = self.seen.get(name).or_else(|| self.gone.get(name))?;
            Some((shown.clone(), *action))
        });
        told.collect()
    }

    /// A list that was long to make, if it is good enough still: `event` is the
    /// number of the last event.
    pub(super) fn list(&self, kind: Kind, event: u64, now: Instant) -> Option<Bytes> {
        let list = self.lists.get(&kind)?;
        let age = now.duration_since(list.at);
        let is_same = list.event == event && age < FRESH;
        (is_same || age < list.took * AGAIN).then(|| list.body.clone())
    }

    /// Keeps a list that took long to make, from `at` on.
    pub(super) fn keep(&mut self, kind: Kind, event: u64, at: Instant, body: &Bytes) {
        let took = at.elapsed();
        if took > LONG {
            self.lists.insert(kind, List { event, at, took, body: body.clone() });
        } else {
            self.lists.remove(&kind);
        }
    }

    /// Whether what is told is all that a client can have missed.
    pub(super) fn are_all(&self, now: Instant) -> bool {
        self.begun.is_some_and(|begun| now.duration_since(begun) > TOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::eureka::record::Status;

    fn shown(id: &str, status: Status) -> Shown {
        let (app, id) = ("A".to_owned(), id.to_owned());
        Shown { app, id, status, fields: serde_json::Map::new() }
    }

    fn told(changes: &mut Changes, all: &[Shown], now: Instant) -> Vec<String> {
        changes.look(all, now);
        let told = changes.told();
        let mut told: Vec<_> = told
            .iter()
            .map(|(shown, action)| format!("{} {}", shown.id, action.as_str()))
            .collect();
        told.sort();
        told
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_for_three_minutes() {
        let mut changes = Changes::default();
        let start = Instant::now();
        let (a, b) = (shown("a", Status::Up), shown("b", Status::Up));
        assert!(told(&mut changes, std::slice::from_ref(&a), start).is_empty());
        let later = start + Duration::from_secs(30);
        let both = [a.clone(), b];
        assert_eq!(told(&mut changes, &both, later), ["b ADDED"]);
        assert_eq!(told(&mut changes, &both, later + TOLD), ["b ADDED"]);
        let down = [shown("a", Status::Down)];
        let end = later + TOLD + Duration::from_secs(1);
        assert_eq!(told(&mut changes, &down, end), ["a MODIFIED", "b DELETED"]);
        assert_eq!(told(&mut changes, &both, end), ["a MODIFIED", "b ADDED"]);
        assert!(told(&mut changes, &both, end + TOLD * 2).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_was_long_to_make_is_sent_again_for_a_while() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        let (kind, body) = (Kind { changes: false, json: true }, Bytes::from_static(b"{}"));
        changes.keep(kind, 1, start, &body);
        assert_eq!(changes.list(kind, 1, start), None, "it was quick");
        tokio::time::advance(LONG * 2).await;
        changes.keep(kind, 1, start, &body);
        let (soon, later) = (start + LONG * 19, start + LONG * 2 * AGAIN);
        assert_eq!(changes.list(kind, 2, soon), Some(body.clone()));
        assert_eq!(changes.list(kind, 2, later), None);
        assert_eq!(changes.list(kind, 1, later), Some(body), "nothing has happened");
        assert_eq!(changes.list(kind, 1, start + FRESH), None);
        assert_eq!(changes.list(Kind { changes: true, ..kind }, 1, soon), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happened_before_the_first_look_is_not_known() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        assert!(!changes.are_all(start));
        let a = [shown("a", Status::Up)];
        let version = changes.look(&a, start);
        assert!(changes.told().is_empty() && !changes.are_all(start + TOLD));
        assert!(changes.are_all(start + TOLD + Duration::from_secs(1)));
        assert_eq!(changes.look(&a, start), version);
        // As many as before, and another one.
        assert!(changes.look(&[shown("b", Status::Up)], start) > version);
        assert_eq!(changes.told().len(), 2);
    }
}
