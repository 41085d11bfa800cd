//! What is known of the registry, and what a list of everything or of changes
//! makes of it. Pure but for what it tells.
//!
//! Every instance is counted, also those that are not taken: the server's hash
//! code is over all of them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    time::Duration,
};

use super::{
    EurekaSettings,
    document::{Applications, Entry},
};
use crate::sources::{Feed, Found, News, loose::Maybe, pattern::is_meant, told::Told};

/// What is known of the registry of a server.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// The status of each instance, by its application and its id.
    statuses: HashMap<(String, String), String>,
    told: Told,
}

impl Registry {
    /// Goes on from what the source had before.
    pub(super) fn after(settings: &EurekaSettings, feed: &Feed) -> Self {
        let meant = |found: &Found| {
            let service = found.instance.service.as_str();
            is_meant(&settings.services, &settings.exclude, service)
        };
        Self { statuses: HashMap::new(), told: Told::after(feed, meant) }
    }

    /// The instances that were told so far, as they are kept and let go.
    pub(super) const fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    /// Takes over a list of everything, and tells it. What it lacks is kept
    /// for `keep`, if that is to be.
    pub(super) fn replace(
        &mut self,
        all: &Applications,
        keep: Option<Duration>,
        settings: &EurekaSettings,
        feed: &Feed,
    ) {
        self.statuses.clear();
        let mut found = Vec::new();
        each(all, feed, |app, entry| {
            let id = (app.to_owned(), entry.id().to_owned());
            self.statuses.insert(id, entry.status().to_owned());
            found.extend(take(app, entry, settings, feed));
        });
        self.told.list(found, keep, feed);
    }

    /// Takes over a list of changes, and tells those that are new: a server
    /// repeats each for three minutes.
    pub(super) fn change(&mut self, delta: &Applications, settings: &EurekaSettings, feed: &Feed) {
        let mut found = HashMap::new();
        let mut gone = Vec::new();
        each(delta, feed, |app, entry| {
            let id = (app.to_owned(), entry.id().to_owned());
            if entry.is_deleted() {
                self.statuses.remove(&id);
                found.remove(&id);
                gone.extend(entry.key(app));
            } else {
                found.extend(take(app, entry, settings, feed).map(|found| (id.clone(), found)));
                self.statuses.insert(id, entry.status().to_owned());
            }
        });
        self.told.change(found.into_values(), gone, feed);
    }

    /// Whether the instances that are known are those of a server with this
    /// hash code; one that gives none is believed.
    pub(super) fn agrees_with(&self, answer: &Applications) -> bool {
        let code = answer.hash_code.as_ref();
        code.is_none_or(|code| code.as_str() == hash_code(self.statuses.values()))
    }
}

/// How many instances have which status, as a server sums it up:
/// `DOWN_1_UP_2_`.
pub(super) fn hash_code<'a>(statuses: impl Iterator<Item = &'a String>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for status in statuses {
        *counts.entry(status).or_default() += 1;
    }
    counts.into_iter().fold(String::new(), |mut code, (status, count)| {
        let _ = write!(code, "{status}_{count}_");
        code
    })
}

/// Calls `visit` with each instance and the name of its application.
fn each(all: &Applications, feed: &Feed, mut visit: impl FnMut(&str, &Entry)) {
    let odd = |what: &str| {
        let why = "it is not of the form of an instance".to_owned();
        feed.tell(News::Rejected { what: what.to_owned(), why });
    };
    for app in all.application.iter().flat_map(|list| &list.0) {
        let Some(app) = app.wanted() else {
            odd("an application");
            continue;
        };
        for entry in &app.instance.0 {
            match entry {
                Maybe::Wanted(entry) => {
                    let name = app.name.text().unwrap_or_else(|| entry.app());
                    visit(&name.to_ascii_uppercase(), entry);
                }
                Maybe::Other(_) => odd(app.name.as_str()),
            }
        }
    }
}

/// The instance, if it is meant and can be one.
fn take(app: &str, entry: &Entry, settings: &EurekaSettings, feed: &Feed) -> Option<Found> {
    if !is_meant(&settings.services, &settings.exclude, app) {
        return None;
    }
    let reject = |why| feed.tell(News::Rejected { what: format!("{app}/{}", entry.id()), why });
    entry.found(app, settings.reached()).map_err(reject).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{Notify, mpsc};

    use super::*;

    fn answer(code: &str, instances: &[(&str, &str, &str)]) -> Applications {
        let all: Vec<_> = instances
            .iter()
            .map(|(id, status, action)| {
                serde_json::json!({
                    "instanceId": id, "ipAddr": "10.0.0.1", "status": status, "actionType": action,
                    "port": {"$": 80, "@enabled": "true"},
                })
            })
            .collect();
        let apps = serde_json::json!({
            "apps__hashcode": code, "application": [{"name": "WEB", "instance": all}],
        });
        serde_json::from_value(apps).expect("an answer")
    }

    #[test]
    fn changes_are_taken_over_once_and_the_hash_code_shows_what_was_missed() {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let feed = Feed::new("test".parse().expect("a name"), sender, Arc::new(Notify::new()));
        let text = r#"{"urls": ["http://a"], "exclude": ["nobody"]}"#;
        let settings: EurekaSettings = serde_json::from_str(text).expect("settings");
        let mut said = || {
            std::iter::from_fn(|| heard.try_recv().ok())
                .map(|(_, news)| match news {
                    News::List(list) => format!("L{}", list.len()),
                    News::Upserted(found) => format!("+{}", found.instance.id),
                    News::Removed(key) => format!("-{}", key.id),
                    other => format!("{other:?}"),
                })
                .collect::<Vec<_>>()
                .join(" ")
        };

        let mut registry = Registry::default();
        let all = answer("UP_2_", &[("a", "UP", "ADDED"), ("b", "UP", "ADDED")]);
        registry.replace(&all, None, &settings, &feed);
        assert!(registry.agrees_with(&all));
        assert_eq!(said(), "L2");
        let delta = answer(
            "DOWN_1_UP_1_",
            &[("a", "DOWN", "MODIFIED"), ("c", "UP", "ADDED"), ("b", "UP", "DELETED")],
        );
        registry.change(&delta, &settings, &feed);
        assert!(registry.agrees_with(&delta));
        let mut words: Vec<_> = said().split(' ').map(str::to_owned).collect();
        words.sort_unstable();
        assert_eq!(words, ["+a", "+c", "-b"]);
        registry.change(&delta, &settings, &feed);
        assert_eq!(said(), "Unchanged");
        // It left and came back.
        let delta = answer("DOWN_2_UP_1_", &[("b", "UP", "DELETED"), ("b", "DOWN", "ADDED")]);
        registry.change(&delta, &settings, &feed);
        assert_eq!(said(), "+b");
        assert!(registry.agrees_with(&delta));
        assert!(!registry.agrees_with(&answer("UP_3_", &[])));
    }

    #[test]
    fn statuses_are_summed_up_in_the_order_of_their_names() {
        let statuses = ["UP", "DOWN", "UP", "STARTING"].map(str::to_owned);
        assert_eq!(hash_code(statuses.iter()), "DOWN_1_STARTING_1_UP_2_");
        assert_eq!(hash_code([].iter()), "");
    }
}
