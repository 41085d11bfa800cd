//! What has changed lately, as Eureka's clients ask for it between two full
//! reads. Pure.
//!
//! A change is known from the first time that somebody asks after it, and told
//! for three minutes from then on with what the instance is by now, as a
//! server of Netflix does. So a client that asks every 30 s sees each one.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::reading::Shown;

/// How long a change is told (`retentionTimeInMSInDeltaQueue`).
const TOLD: Duration = Duration::from_secs(180);

/// An instance by application and id.
type Name = (String, String);

/// What was seen last, and what was new then.
#[derive(Debug, Default)]
pub(in crate::front) struct Changes {
    begun: bool,
    seen: HashMap<Name, Shown>,
    changed: HashMap<Name, (Action, Instant)>,
    /// Those that are gone, as they were last.
    gone: HashMap<Name, Shown>,
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
    /// What has changed lately, now that `all` is what there is.
    pub(super) fn at(&mut self, all: Vec<Shown>, now: Instant) -> Vec<(Shown, Action)> {
        let mut before = std::mem::take(&mut self.seen);
        for shown in all {
            let name = (shown.app.clone(), shown.id.clone());
            let action = match before.remove(&name) {
                // What was there before anybody asked is in every full read.
                None if !self.begun => None,
                None => Some(Action::Added),
                Some(old) => (old != shown).then_some(Action::Modified),
            };
            if let Some(action) = action {
                self.gone.remove(&name);
                self.changed.insert(name.clone(), (action, now));
            }
            self.seen.insert(name, shown);
        }
        for (name, shown) in before {
            self.changed.insert(name.clone(), (Action::Deleted, now));
            self.gone.insert(name, shown);
        }
        self.begun = true;
        self.changed.retain(|_, (_, at)| now.duration_since(*at) <= TOLD);
        self.gone.retain(|name, _| self.changed.contains_key(name));
        let told = self.changed.iter().filter_map(|(name, (action, _))| {
            let shown = self.seen.get(name).or_else(|| self.gone.get(name))?;
            Some((shown.clone(), *action))
        });
        told.collect()
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
        let told = changes.at(all.to_vec(), now);
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
}
