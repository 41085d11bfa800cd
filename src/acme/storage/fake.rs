//! A storage in memory, for tests of those who share one.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::watch;

use super::{Soon, Storage, Turn};
use crate::registry::{Shelved, StoreFault, Swap};

/// What several proxies share.
#[derive(Clone)]
pub(in crate::acme) struct Common(Arc<Inside>);

struct Inside {
    there: Mutex<There>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct There {
    values: BTreeMap<String, Shelved>,
    confirmed: HashSet<(String, String, i64)>,
    proxies: Vec<String>,
    last: i64,
    lost: Option<Duration>,
}

/// What one of them sees of it.
struct Seen {
    own: String,
    common: Common,
}

struct Held {
    lease: i64,
    common: Common,
}

impl Default for Common {
    fn default() -> Self {
        Self(Arc::new(Inside { there: Mutex::default(), changes: watch::Sender::new(()) }))
    }
}

impl Common {
    /// It for the proxy `own`, which the others know of then.
    pub(in crate::acme) fn of(&self, own: &str) -> Arc<dyn Storage> {
        self.there().proxies.push(own.to_owned());
        Arc::new(Seen { own: own.to_owned(), common: self.clone() })
    }

    pub(in crate::acme) fn put(&self, key: &str, value: &[u8]) {
        self.enter(key, value, 0);
    }

    pub(in crate::acme) fn remove(&self, key: &str) {
        self.there().values.remove(key);
        self.0.changes.send_replace(());
    }

    pub(in crate::acme) fn keys(&self) -> Vec<String> {
        self.there().values.keys().cloned().collect()
    }

    pub(in crate::acme) fn lose(&self, since: Option<Duration>) {
        self.there().lost = since;
        self.0.changes.send_replace(());
    }

    fn there(&self) -> MutexGuard<'_, There> {
        self.0.there.lock().expect("no panic")
    }

    fn enter(&self, key: &str, value: &[u8], lease: i64) -> i64 {
        let mut there = self.there();
        there.last += 1;
        let version = there.last;
        let value = value.to_vec().into();
        there.values.insert(key.to_owned(), Shelved { value, version, lease });
        self.0.changes.send_replace(());
        version
    }

    fn reached(&self) -> Result<(), StoreFault> {
        match self.there().lost {
            None => Ok(()),
            Some(_) => Err(StoreFault::Away { text: "lost".to_owned() }),
        }
    }
}

impl Storage for Seen {
    fn lost(&self) -> Option<Duration> {
        self.common.there().lost
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.common.0.changes.subscribe()
    }

    fn own(&self) -> &str {
        &self.own
    }

    fn value(&self, key: &str) -> Option<Shelved> {
        self.common.there().values.get(key).cloned()
    }

    fn values(&self) -> Vec<(String, Shelved)> {
        let there = self.common.there();
        there.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn swap(&self, swaps: Vec<Swap>) -> Soon<'_, Result<bool, StoreFault>> {
        Box::pin(async move {
            self.common.reached()?;
            let is = |swap: &Swap| self.value(&swap.key).map_or(0, |it| it.version) == swap.of;
            if !swaps.iter().all(is) {
                return Ok(false);
            }
            for swap in swaps {
                match swap.value {
                    Some(value) => self.common.put(&swap.key, &value),
                    None => self.common.remove(&swap.key),
                }
            }
            Ok(true)
        })
    }

    fn turn<'a>(&'a self, key: &'a str) -> Soon<'a, Result<Option<Box<dyn Turn>>, StoreFault>> {
        Box::pin(async move {
            self.common.reached()?;
            if self.value(key).is_some() {
                return Ok(None);
            }
            let lease = self.common.there().last + 1;
            self.common.enter(key, self.own.as_bytes(), lease);
            Ok(Some(Box::new(Held { lease, common: self.common.clone() }) as Box<dyn Turn>))
        })
    }

    fn confirm<'a>(&'a self, key: &'a str, version: i64) -> Soon<'a, Result<(), StoreFault>> {
        Box::pin(async move {
            self.common.there().confirmed.insert((self.own.clone(), key.to_owned(), version));
            self.common.0.changes.send_replace(());
            Ok(())
        })
    }

    fn unconfirmed(&self, key: &str, version: i64) -> Vec<String> {
        let there = self.common.there();
        let said = |id: &String| there.confirmed.contains(&(id.clone(), key.to_owned(), version));
        there.proxies.iter().filter(|id| **id != self.own && !said(id)).cloned().collect()
    }
}

impl Turn for Held {
    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>) -> Soon<'a, Result<i64, StoreFault>> {
        Box::pin(async move {
            self.common.reached()?;
            Ok(self.common.enter(key, &value, self.lease))
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.common.there().values.retain(|_, it| it.lease != self.lease);
        self.common.0.changes.send_replace(());
    }
}
