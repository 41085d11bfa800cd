//! Who shares the registry, what they ask each other and what they answer, as
//! this proxy has heard it.
//!
//! `replicas/ID` is put by a proxy before it reads what is registered, and is
//! deleted when it leaves; `alive/ID` goes with its lease. Who has the one and
//! not the other is missing, and may still be routing. `asks/NUMBER` and
//! `answers/NUMBER/ID` go with the lease of the proxy that asks. Revisions
//! order all of it: who hears an ask has heard what it is about.
//!
//! Pure.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::schema::{FORM, Keys};
use crate::{
    etcd::{
        Listing,
        messages::{Event, EventType, KeyValue},
    },
    registry::fellows::{Answer, Answers, Ask, FellowReport},
};

/// Proxies, and open asks of each, that are taken note of.
const MOST: usize = 1000;
const MOST_ASKS: usize = 20_000;

/// Bytes of a sentence of another proxy that are kept.
const MOST_WORDS: usize = 300;

/// The others, and what goes on between them and this one.
#[derive(Debug)]
pub(super) struct Fleet {
    keys: Keys,
    own: String,
    /// How long who is missing is waited for.
    missing_for: Duration,
    /// With this one, if it is heard back.
    fellows: BTreeMap<String, Fellow>,
    alive: HashSet<String>,
    asks: BTreeMap<String, Open>,
    answers: HashMap<String, BTreeMap<String, Answer>>,
}

/// A proxy.
#[derive(Clone, Debug)]
struct Fellow {
    presence: Presence,
    /// The revision of its key.
    seen: i64,
    missing: Option<Instant>,
}

/// An ask that is not answered by all yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) ask: Ask,
    pub(super) from: String,
    /// That of who asks.
    pub(super) lease: i64,
}

/// The value of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Presence {
    pub(super) v: u32,
    pub(super) program: String,
    pub(super) pid: u32,
}

/// The value of an ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asking {
    pub(super) v: u32,
    pub(super) from: String,
    pub(super) ask: Ask,
}

/// The value of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answering {
    pub(super) v: u32,
    pub(super) answer: Answer,
}

impl Keys {
    pub(super) fn replica(&self, id: &str) -> Bytes {
        self.below(&format!("replicas/{id}"))
    }

    pub(super) fn alive(&self, id: &str) -> Bytes {
        self.below(&format!("alive/{id}"))
    }

    pub(super) fn ask(&self, number: &str) -> Bytes {
        self.below(&format!("asks/{number}"))
    }

    /// What the keys of all answers to `number` begin with.
    pub(super) fn answers(&self, number: &str) -> Bytes {
        self.below(&format!("answers/{number}/"))
    }

    pub(super) fn answer(&self, number: &str, id: &str) -> Bytes {
        self.below(&format!("answers/{number}/{id}"))
    }
}

impl Fleet {
    pub(super) fn new(keys: Keys, own: String, missing_for: Duration) -> Self {
        Self {
            keys,
            own,
            missing_for,
            fellows: BTreeMap::new(),
            alive: HashSet::new(),
            asks: BTreeMap::new(),
            answers: HashMap::new(),
        }
    }

    /// What this one is called.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// Takes over everything that there is.
    pub(super) fn list(&mut self, listing: &Listing, now: Instant) {
        let before = std::mem::take(&mut self.fellows);
        self.alive.clear();
        self.asks.clear();
        self.answers.clear();
        let is_answer = |entry: &&KeyValue| {
            self.keys.place(&entry.key).is_some_and(|place| place.0 == "answers")
        };
        // Answers after what they are about, which their order is not.
        let (answers, rest): (Vec<_>, Vec<_>) = listing.entries.iter().partition(is_answer);
        for entry in rest.into_iter().chain(answers) {
            self.put(entry, now);
        }
        for (id, fellow) in &mut self.fellows {
            let since = before.get(id).and_then(|before| before.missing);
            fellow.missing = fellow.missing.map(|now| since.unwrap_or(now));
        }
    }

    /// Takes over one event of the watch.
    pub(super) fn hear(&mut self, event: &Event, now: Instant) {
        let Some(entry) = &event.kv else { return };
        if event.r#type == i32::from(EventType::Delete) {
            self.delete(&entry.key, now);
        } else {
            self.put(entry, now);
        }
    }

    fn put(&mut self, entry: &KeyValue, now: Instant) {
        let Some(place) = self.keys.place(&entry.key) else { return };
        match place {
            ("replicas", id, None) if self.fellows.len() < MOST => {
                // It is there, whatever else it says.
                let presence = read::<Presence>(entry).unwrap_or_default();
                let missing = (!self.alive.contains(id)).then_some(now);
                let fellow = Fellow { presence, seen: entry.mod_revision, missing };
                self.fellows.insert(id.to_owned(), fellow);
            }
            ("alive", id, None) => {
                self.alive.insert(id.to_owned());
                if let Some(fellow) = self.fellows.get_mut(id) {
                    fellow.missing = None;
                }
            }
            ("asks", number, None) if self.asks.len() < MOST_ASKS => {
                let Some(Asking { from, ask, .. }) = read(entry) else { return };
                let open = Open { ask, from, lease: entry.lease };
                self.asks.insert(number.to_owned(), open);
            }
            ("answers", number, Some(id)) if self.asks.contains_key(number) => {
                let Some(Answering { mut answer, .. }) = read(entry) else { return };
                let end = answer.why.floor_char_boundary(MOST_WORDS);
                answer.why.truncate(end);
                self.answers.entry(number.to_owned()).or_default().insert(id.to_owned(), answer);
            }
            _ => {}
        }
    }

    fn delete(&mut self, key: &[u8], now: Instant) {
        match self.keys.place(key) {
            Some(("replicas", id, None)) => drop(self.fellows.remove(id)),
            Some(("alive", id, None)) => {
                self.alive.remove(id);
                if let Some(fellow) = self.fellows.get_mut(id) {
                    fellow.missing = Some(now);
                }
            }
            Some(("asks", number, None)) => {
                self.asks.remove(number);
                self.answers.remove(number);
            }
            _ => {}
        }
    }

    /// Whether all others can know of this one.
    pub(super) fn is_announced(&self) -> bool {
        self.fellows.contains_key(&self.own) && self.alive.contains(&self.own)
    }

    fn is_waited_for(&self, fellow: &Fellow, now: Instant) -> bool {
        fellow.missing.is_none_or(|since| now.saturating_duration_since(since) < self.missing_for)
    }

    fn others(&self, now: Instant) -> impl Iterator<Item = (&String, &Fellow)> {
        self.fellows
            .iter()
            .filter(move |(id, fellow)| **id != self.own && self.is_waited_for(fellow, now))
    }

    /// Those that nobody waits for any more, each with the revision of its key.
    pub(super) fn given_up(&self, now: Instant) -> Vec<(String, i64)> {
        let gone = self.fellows.iter().filter(|(_, fellow)| !self.is_waited_for(fellow, now));
        gone.map(|(id, fellow)| (id.clone(), fellow.seen)).collect()
    }

    pub(super) fn report(&self, now: Instant) -> Vec<FellowReport> {
        let report = |(id, fellow): (&String, &Fellow)| FellowReport {
            id: id.clone(),
            program: fellow.presence.program.clone(),
            pid: fellow.presence.pid,
            missing: fellow.missing.map(|since| now.saturating_duration_since(since)),
        };
        self.others(now).map(report).collect()
    }

    /// What others ask, by number.
    pub(super) fn asked_by_others(&self) -> BTreeMap<String, Ask> {
        let theirs = self.asks.iter().filter(|(_, open)| open.from != self.own);
        theirs.map(|(number, open)| (number.clone(), open.ask.clone())).collect()
    }

    pub(super) fn ask(&self, number: &str) -> Option<&Open> {
        self.asks.get(number)
    }

    /// What the others say to the ask `number` of this one.
    pub(super) fn answers(&self, number: &str, now: Instant) -> Answers {
        let mut all = Answers::default();
        let none = BTreeMap::new();
        let given = self.answers.get(number).unwrap_or(&none);
        for answer in given.values() {
            all.in_flight = all.in_flight.saturating_add(answer.in_flight);
            all.ended = all.ended.and(answer.ended);
        }
        for (id, fellow) in self.others(now) {
            all.silent += usize::from(!given.contains_key(id));
            let why = match (given.get(id), fellow.missing) {
                (Some(answer), _) if answer.done => {
                    all.confirmed += 1;
                    continue;
                }
                (_, Some(_)) => "it is missing, and may still be routing".to_owned(),
                (None, None) => "it has not answered".to_owned(),
                (Some(answer), None) => answer.why.clone(),
            };
            all.unconfirmed.push((id.clone(), why));
        }
        all
    }
}

fn read<T: DeserializeOwned>(entry: &KeyValue) -> Option<T> {
    #[derive(Deserialize)]
    struct Form {
        v: u32,
    }
    let Form { v } = serde_json::from_slice(&entry.value).ok()?;
    (v == FORM).then(|| serde_json::from_slice(&entry.value).ok()).flatten()
}

#[cfg(test)]
mod tests;
