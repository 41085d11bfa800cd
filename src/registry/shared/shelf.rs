//! What proxies keep in common beside registrations, as this one has heard it:
//! values below `acme/`, each known by the revision of its last put.
//!
//! `confirmed/ID/KEY` is put by the proxy `ID` when it has done what the value
//! under `KEY` wants of all, with that value's revision and its lease. What the
//! values mean is known to those who put them. They are of whoever may write to
//! etcd: one that is too large counts as empty, and what is too much as absent.
//!
//! Pure.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::schema::Keys;
use crate::etcd::{
    Listing,
    messages::{Event, EventType, KeyValue},
};

/// Values that are taken note of, bytes of a key, and bytes of a value.
const MOST: usize = 20_000;
const MOST_KEY: usize = 1024;
const MOST_VALUE: usize = 64 << 10;

/// Confirmations that are taken note of.
const MOST_CONFIRMED: usize = 100_000;

/// A value that stands in etcd for all proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// What was put.
    pub value: Bytes,
    /// The revision of that put: no two have the same.
    pub version: i64,
    /// The lease that it goes with; 0 if it stays.
    pub lease: i64,
}

/// All that there is, by key.
#[derive(Debug)]
pub(super) struct Shelf {
    keys: Keys,
    values: BTreeMap<String, Shelved>,
    /// By the key that is confirmed and who does: of which revision.
    confirmed: HashMap<(String, String), i64>,
}

/// What a key of etcd is to a shelf.
enum Place {
    Value(String),
    Confirmed { id: String, key: String },
}

impl Keys {
    pub(super) fn shelved(&self, key: &str) -> Bytes {
        self.below(&format!("acme/{key}"))
    }

    pub(super) fn confirmed(&self, id: &str, key: &str) -> Bytes {
        self.below(&format!("confirmed/{id}/{key}"))
    }
}

impl Shelf {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, values: BTreeMap::new(), confirmed: HashMap::new() }
    }

    pub(super) fn value(&self, key: &str) -> Option<&Shelved> {
        self.values.get(key)
    }

    /// Everything that stands there, by key.
    pub(super) fn values(&self) -> impl Iterator<Item = (&String, &Shelved)> {
        self.values.iter()
    }

    /// Whether the proxy `id` has confirmed what stands under `key` since
    /// `version`.
    pub(super) fn is_confirmed(&self, id: &str, key: &str, version: i64) -> bool {
        self.confirmed.get(&(key.to_owned(), id.to_owned())).is_some_and(|it| *it == version)
    }

    /// Takes over everything that there is. Whether anything is as it was not.
    pub(super) fn list(&mut self, listing: &Listing) -> bool {
        let values = std::mem::take(&mut self.values);
        let confirmed = std::mem::take(&mut self.confirmed);
        for entry in &listing.entries {
            self.put(entry);
        }
        values != self.values || confirmed != self.confirmed
    }

    /// Takes over one event of the watch. Whether it is of anything here.
    pub(super) fn hear(&mut self, event: &Event) -> bool {
        let Some(entry) = &event.kv else { return false };
        if event.r#type != i32::from(EventType::Delete) {
            return self.put(entry);
        }
        match self.place(&entry.key) {
            Some(Place::Value(key)) => self.values.remove(&key).is_some(),
            Some(Place::Confirmed { id, key }) => self.confirmed.remove(&(key, id)).is_some(),
            None => false,
        }
    }

    fn put(&mut self, entry: &KeyValue) -> bool {
        match self.place(&entry.key) {
            Some(Place::Value(key)) => {
                if self.values.len() >= MOST && !self.values.contains_key(&key) {
                    return false;
                }
                let fits = entry.value.len() <= MOST_VALUE;
                // A copy: a slice of it would keep all of a page of a list.
                let value = if fits { Bytes::copy_from_slice(&entry.value) } else { Bytes::new() };
                let shelved = Shelved { value, version: entry.mod_revision, lease: entry.lease };
                self.values.insert(key, shelved);
                true
            }
            Some(Place::Confirmed { id, key }) => {
                let version = std::str::from_utf8(&entry.value).ok().and_then(|it| it.parse().ok());
                let (Some(version), true) = (version, self.confirmed.len() < MOST_CONFIRMED) else {
                    return false;
                };
                self.confirmed.insert((key, id), version);
                true
            }
            None => false,
        }
    }

    fn place(&self, key: &[u8]) -> Option<Place> {
        let rest = key.strip_prefix(self.keys.prefix()).filter(|rest| rest.len() <= MOST_KEY)?;
        let rest = std::str::from_utf8(rest).ok()?;
        if let Some(key) = rest.strip_prefix("acme/") {
            return Some(Place::Value(key.to_owned()));
        }
        let (id, key) = rest.strip_prefix("confirmed/")?.split_once('/')?;
        Some(Place::Confirmed { id: id.to_owned(), key: key.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &[u8], version: i64) -> KeyValue {
        KeyValue {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(value),
            mod_revision: version,
            ..KeyValue::default()
        }
    }

    fn put(shelf: &mut Shelf, key: &str, value: &[u8], version: i64) -> bool {
        let kv = Some(entry(key, value, version));
        shelf.hear(&Event { kv, ..Event::default() })
    }

    fn delete(shelf: &mut Shelf, key: &str) -> bool {
        let kv = Some(entry(key, b"", 9));
        shelf.hear(&Event { r#type: EventType::Delete.into(), kv, ..Event::default() })
    }

    #[test]
    fn what_is_put_is_there_until_it_is_deleted() {
        let mut shelf = Shelf::new(Keys::new("/p/"));
        assert!(put(&mut shelf, "/p/acme/ca/proofs/a.example", b"one", 5));
        assert!(put(&mut shelf, "/p/acme/ca/proofs/b.example", b"two", 6));
        assert!(put(&mut shelf, "/p/acme/ca/turns/a.example", b"me", 7));
        // Not here: registrations, and what is below another prefix.
        assert!(!put(&mut shelf, "/p/services/a/1", b"{}", 8));
        assert!(!put(&mut shelf, "/q/acme/ca/account", b"{}", 8));
        let there = shelf.value("ca/proofs/a.example").expect("a value");
        assert_eq!((&there.value[..], there.version), (&b"one"[..], 5));
        let all: Vec<_> = shelf.values().map(|(key, _)| key.as_str()).collect();
        assert_eq!(all, ["ca/proofs/a.example", "ca/proofs/b.example", "ca/turns/a.example"]);
        assert!(delete(&mut shelf, "/p/acme/ca/proofs/a.example"));
        assert!(!delete(&mut shelf, "/p/acme/ca/proofs/a.example"));
        assert!(shelf.value("ca/proofs/a.example").is_none());
    }

    #[test]
    fn a_list_is_all_that_there_is() {
        let mut shelf = Shelf::new(Keys::new("/p"));
        put(&mut shelf, "/p/acme/ca/account", b"old", 5);
        let entries = vec![entry("/p/acme/ca/certificates/a", b"new", 6)];
        let listing = Listing { revision: 7, entries };
        assert!(shelf.list(&listing) && !shelf.list(&listing));
        assert!(shelf.value("ca/account").is_none());
        assert_eq!(shelf.value("ca/certificates/a").map(|it| it.version), Some(6));
    }

    #[test]
    fn a_confirmation_is_of_one_version() {
        let mut shelf = Shelf::new(Keys::new("/p"));
        put(&mut shelf, "/p/acme/ca/proofs/a", b"one", 5);
        put(&mut shelf, "/p/confirmed/proxy-1/ca/proofs/a", b"5", 6);
        assert!(shelf.is_confirmed("proxy-1", "ca/proofs/a", 5));
        assert!(!shelf.is_confirmed("proxy-1", "ca/proofs/a", 7));
        assert!(!shelf.is_confirmed("proxy-2", "ca/proofs/a", 5));
        delete(&mut shelf, "/p/confirmed/proxy-1/ca/proofs/a");
        assert!(!shelf.is_confirmed("proxy-1", "ca/proofs/a", 5));
        for value in [&b"\xff"[..], b"", b"five", b"99999999999999999999"] {
            assert!(!put(&mut shelf, "/p/confirmed/proxy-1/ca/proofs/a", value, 8));
        }
    }

    #[test]
    fn what_is_too_large_is_empty_and_what_is_too_much_is_not_there() {
        let mut shelf = Shelf::new(Keys::new("/p"));
        put(&mut shelf, "/p/acme/large", &vec![b'x'; MOST_VALUE + 1], 5);
        // Its version is known all the same, so that another can replace it.
        let there = shelf.value("large").expect("a value");
        assert_eq!((there.value.len(), there.version), (0, 5));
        assert!(!put(&mut shelf, &format!("/p/acme/{}", "k".repeat(MOST_KEY)), b"", 6));
        for number in 0..MOST {
            put(&mut shelf, &format!("/p/acme/{number}"), b"", 7);
        }
        assert_eq!(shelf.values.len(), MOST);
        assert!(put(&mut shelf, "/p/acme/large", b"fits", 8));
    }
}
