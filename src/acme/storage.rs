//! What proxies that share their names have in common: values that all of them
//! hear of, and turns.
//!
//! A proxy alone has no such thing, and does without.

use std::{pin::Pin, time::Duration};

use tokio::sync::watch;

use crate::registry::{Shelved, StoreFault, Swap};

/// What comes later.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Values by key, the same for all proxies. What stands there may have been put
/// there by anybody.
pub trait Storage: Send + Sync {
    /// How long it has been out of reach; none if what is known is current.
    fn lost(&self) -> Option<Duration>;

    /// Changes whenever a value may have, and when it is lost and found.
    fn changes(&self) -> watch::Receiver<()>;

    /// What this proxy is called.
    fn own(&self) -> &str;

    /// What stands under `key`.
    fn value(&self, key: &str) -> Option<Shelved>;

    /// Everything that there is, by key.
    fn values(&self) -> Vec<(String, Shelved)>;

    /// Carries out all of `swaps`, or none if one is of another version than
    /// there is: then the answer is false.
    fn swap(&self, swaps: Vec<Swap>) -> Soon<'_, Result<bool, StoreFault>>;

    /// Takes the turn of `key`, if nobody has it: then something stands there.
    /// What others did while they had it is known by then.
    fn turn<'a>(&'a self, key: &'a str) -> Soon<'a, Result<Option<Box<dyn Turn>>, StoreFault>>;

    /// Says that this `version` of what stands under `key` is done here too.
    fn confirm<'a>(&'a self, key: &'a str, version: i64) -> Soon<'a, Result<(), StoreFault>>;

    /// The other proxies that are there and have not said so.
    fn unconfirmed(&self, key: &str, version: i64) -> Vec<String>;
}

/// A turn: whoever holds it is the only one, until it is dropped or does not
/// live any more.
pub trait Turn: Send + Sync {
    /// Puts `value` under `key` for as long as the turn lasts. Answers with its
    /// version.
    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>) -> Soon<'a, Result<i64, StoreFault>>;
}

#[cfg(test)]
pub(super) mod fake;
