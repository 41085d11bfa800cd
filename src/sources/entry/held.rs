//! What the entries of a tree hold, and which instances a change of one entry
//! changes.
//!
//! Several entries may claim one instance; the one whose key comes first has
//! it, whatever the order in which they were read. An entry that is there and
//! cannot be understood any more holds what it held before: only one that is
//! gone says that its instances are.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Found, News};
use crate::model::InstanceKey;

/// What is known of the entries of a source.
#[derive(Debug, Default)]
pub(in crate::sources) struct Held {
    by_entry: BTreeMap<String, Vec<Found>>,
    /// Who claims an instance.
    claims: BTreeMap<InstanceKey, BTreeSet<String>>,
}

impl Held {
    /// Replaces everything: these are all entries that there are, each with
    /// what it holds or why that is not known. Answers with what is to be told.
    pub(in crate::sources) fn replace(
        &mut self,
        entries: impl IntoIterator<Item = (String, Result<Vec<Found>, String>)>,
    ) -> Vec<News> {
        let mut before = std::mem::take(self);
        let mut news = Vec::new();
        for (entry, held) in entries {
            let held = held.unwrap_or_else(|why| {
                news.push(News::Rejected { what: entry.clone(), why });
                before.by_entry.remove(&entry).unwrap_or_default()
            });
            self.insert(entry, held);
        }
        news.push(News::List(self.all()));
        news
    }

    /// All instances.
    pub(in crate::sources) fn all(&self) -> Vec<Found> {
        self.claims.keys().filter_map(|key| self.current(key).cloned()).collect()
    }

    /// The entry `path`, and those that stand below it.
    pub(in crate::sources) fn below(&self, path: &str) -> impl Iterator<Item = &str> {
        let from = self.by_entry.range(path.to_owned()..).map(|(entry, _)| entry.as_str());
        let below = move |entry: &&str| {
            let rest = entry.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // Others with the same beginning stand in between: `a-b` before `a/b`.
        from.take_while(move |entry| entry.starts_with(path)).filter(below)
    }

    /// One entry is new or has changed. Answers with what is to be told.
    pub(in crate::sources) fn put(
        &mut self,
        entry: &str,
        held: Result<Vec<Found>, String>,
    ) -> Vec<News> {
        match held {
            Ok(held) => self.change(entry, held),
            Err(why) => vec![News::Rejected { what: entry.to_owned(), why }],
        }
    }

    /// One entry is gone. Answers with what is to be told.
    pub(in crate::sources) fn remove(&mut self, entry: &str) -> Vec<News> {
        self.change(entry, Vec::new())
    }

    fn change(&mut self, entry: &str, held: Vec<Found>) -> Vec<News> {
        let old = self.by_entry.get(entry).into_iter().flatten();
        let touched: BTreeSet<_> = old.chain(&held).map(|found| found.instance.key()).collect();
        let before: Vec<_> = touched.iter().map(|key| self.current(key).cloned()).collect();
        self.forget(entry);
        self.insert(entry.to_owned(), held);
        let mut news = Vec::new();
        for (key, before) in touched.into_iter().zip(before) {
            match self.current(&key) {
                None if before.is_some() => news.push(News::Removed(key)),
                None => {}
                now if now == before.as_ref() => {}
                Some(now) => news.push(News::Upserted(Box::new(now.clone()))),
            }
        }
        news
    }

    fn insert(&mut self, entry: String, held: Vec<Found>) {
        if held.is_empty() {
            return;
        }
        for found in &held {
            self.claims.entry(found.instance.key()).or_default().insert(entry.clone());
        }
        self.by_entry.insert(entry, held);
    }

    fn forget(&mut self, entry: &str) {
        for found in self.by_entry.remove(entry).into_iter().flatten() {
            let key = found.instance.key();
            if let Some(claims) = self.claims.get_mut(&key) {
                claims.remove(entry);
                if claims.is_empty() {
                    self.claims.remove(&key);
                }
            }
        }
    }

    fn current(&self, key: &InstanceKey) -> Option<&Found> {
        let entry = self.claims.get(key)?.first()?;
        self.by_entry.get(entry)?.iter().find(|found| found.instance.key() == *key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{model::Scheme, sources::draft::Draft};

    fn found(id: u8, port: i64) -> Found {
        let id = format!("i{id}");
        Draft::new("s", Some(&id)).at(Scheme::Http, "h", port).expect("an instance")
    }

    /// What one who believes all news has.
    #[derive(Default)]
    struct Listener(BTreeMap<InstanceKey, Found>);

    impl Listener {
        fn hear(&mut self, news: Vec<News>) {
            for one in news {
                match one {
                    News::List(all) => {
                        self.0 = all.into_iter().map(|f| (f.instance.key(), f)).collect();
                    }
                    News::Upserted(found) => {
                        let key = found.instance.key();
                        assert_ne!(self.0.insert(key, (*found).clone()), Some(*found), "no news");
                    }
                    News::Removed(key) => assert!(self.0.remove(&key).is_some(), "no news"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_understood_any_more_holds_what_it_held() {
        let mut held = Held::default();
        held.put("a", Ok(vec![found(1, 1)]));
        assert!(matches!(&held.put("a", Err("bad".into()))[..], [News::Rejected { .. }]));
        let news =
            held.replace([("a".to_owned(), Err("bad".into())), ("b".into(), Err("x".into()))]);
        assert_eq!(news.last(), Some(&News::List(vec![found(1, 1)])));
        assert_eq!(news.len(), 3);
        assert_eq!(held.remove("a").len(), 1);
    }

    proptest! {
        /// News of changes lead to what a list would have said.
        #[test]
        fn changes_add_up_to_the_list(
            steps in prop::collection::vec((0u8..4, prop::collection::vec((0u8..4, 1i64..3), 0..3)), 0..40)
        ) {
            let mut held = Held::default();
            let mut listener = Listener::default();
            let mut entries = BTreeMap::new();
            for (entry, instances) in steps {
                let entry = format!("e{entry}");
                let mut all: Vec<Found> = Vec::new();
                for (id, port) in instances {
                    let one = found(id, port);
                    if all.iter().all(|f| f.instance.key() != one.instance.key()) {
                        all.push(one);
                    }
                }
                let news = match all.is_empty() {
                    true => held.remove(&entry),
                    false => held.put(&entry, Ok(all.clone())),
                };
                listener.hear(news);
                entries.insert(entry, all);
                let mut anew = Held::default();
                let mut list = Listener::default();
                let complete = entries.clone().into_iter().map(|(entry, all)| (entry, Ok(all)));
                list.hear(anew.replace(complete));
                prop_assert_eq!(&list.0, &listener.0);
            }
        }
    }
}
