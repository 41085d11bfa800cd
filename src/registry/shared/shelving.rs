//! Putting on the shelf that all proxies share, and taking turns: who holds the
//! turn of a key is the only one, for as long as its lease is renewed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{Instant, interval},
};

use super::{Inner, SharedRegistry, away, presence, shelf::Shelved, writing::PATIENCE};
use crate::{
    etcd::messages::{
        Compare, CompareResult, Compared, DeleteRangeRequest, Operation, RequestOp, TxnRequest,
    },
    registry::{RegistryError, StoreFault},
};

/// Seconds of the lease of a turn: whoever holds it and is killed is waited for
/// that long. Etcd prolongs it by the time of an election.
const LEASE: i64 = 15;

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(4);

/// What proxies that share a registry keep in common beside registrations. Its
/// copies are the same one.
#[derive(Clone)]
pub struct SharedShelf {
    inner: Arc<Inner>,
}

/// One change of what stands on the shelf.
#[derive(Clone, Debug)]
pub struct Swap {
    /// What it stands under.
    pub key: String,
    /// What is to stand there; nothing, to have it taken away.
    pub value: Option<Vec<u8>>,
    /// The version that it takes the place of; 0 if there is to be none.
    pub of: i64,
}

/// The turn of a key. It ends when dropped, and with it what was put with it.
#[must_use]
pub struct ShelfTurn {
    inner: Arc<Inner>,
    lease: i64,
    renewal: AbortHandle,
}

impl SharedRegistry {
    pub(in crate::registry) fn shelf(&self) -> SharedShelf {
        SharedShelf { inner: Arc::clone(&self.inner) }
    }
}

impl SharedShelf {
    /// How long etcd has been out of reach; none if what is known is current.
    #[must_use]
    pub fn lost(&self) -> Option<Duration> {
        let state = self.inner.state.borrow();
        if state.connected {
            return None;
        }
        // Before the first attempt has failed, it has only just begun.
        Some(state.fault.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed()))
    }

    /// Changes whenever anything else that is asked for here may have.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.inner.stocked.subscribe()
    }

    /// What this proxy is called.
    #[must_use]
    pub fn own(&self) -> &str {
        self.inner.presence.id()
    }

    /// What stands under `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Shelved> {
        self.inner.announced().shelf.value(key).cloned()
    }

    /// Everything that stands there, by key.
    #[must_use]
    pub fn values(&self) -> Vec<(String, Shelved)> {
        let announced = self.inner.announced();
        let all = announced.shelf.values();
        all.map(|(key, shelved)| (key.clone(), shelved.clone())).collect()
    }

    /// Carries out all of `swaps`, or none if one is of another version than
    /// there is: then the answer is false. What was done is known here by then.
    ///
    /// # Errors
    ///
    /// When etcd does not say that it was done. It may have been.
    pub async fn swap(&self, swaps: Vec<Swap>) -> Result<bool, StoreFault> {
        let inner = &self.inner;
        let is_of = |swap: &Swap| {
            let key = inner.keys.shelved(&swap.key);
            Compare::new(key, CompareResult::Equal, Compared::Mod(swap.of))
        };
        let compare = swaps.iter().map(is_of).collect();
        let done = |swap: Swap| match (inner.keys.shelved(&swap.key), swap.value) {
            (key, Some(value)) => presence::put(key, value, 0),
            (key, None) => delete(key),
        };
        let success = swaps.into_iter().map(done).collect();
        inner
            .shelve(TxnRequest { compare, success, failure: Vec::new() })
            .await
            .map(|it| it.is_some())
    }

    /// Takes the turn of `key`, if nobody has it. What others did while they
    /// had it is known here by then.
    ///
    /// # Errors
    ///
    /// When etcd does not say that it is ours.
    pub async fn turn(&self, key: &str) -> Result<Option<ShelfTurn>, StoreFault> {
        let inner = Arc::clone(&self.inner);
        let lease = inner.client.grant(LEASE).await.map_err(|error| away(&error))?.id;
        let renewal = tokio::spawn(renew(Arc::clone(&inner), lease)).abort_handle();
        // Before it is tried: however that ends, nothing is left of it.
        let turn = ShelfTurn { inner, lease, renewal };
        let key = self.inner.keys.shelved(key);
        let request = TxnRequest {
            compare: vec![Compare::new(key.clone(), CompareResult::Equal, Compared::Create(0))],
            success: vec![presence::put(key, self.own().as_bytes().to_vec(), lease)],
            failure: Vec::new(),
        };
        Ok(self.inner.shelve(request).await?.map(|_| turn))
    }

    /// Says that what stands under `key` is done here too, in this `version`.
    ///
    /// # Errors
    ///
    /// When etcd does not say that it was told.
    pub async fn confirm(&self, key: &str, version: i64) -> Result<(), StoreFault> {
        let inner = &self.inner;
        let there = inner.announced().shelf.value(key).cloned();
        let Some(there) = there.filter(|there| there.version == version) else { return Ok(()) };
        let same = Compared::Mod(version);
        let said = presence::put(
            inner.keys.confirmed(self.own(), key),
            version.to_string().into_bytes(),
            there.lease,
        );
        let request = TxnRequest {
            compare: vec![Compare::new(inner.keys.shelved(key), CompareResult::Equal, same)],
            success: vec![said],
            failure: Vec::new(),
        };
        inner.client.txn(request).await.map(drop).map_err(|error| away(&error))
    }

    /// The other proxies that are there and have not confirmed this `version`
    /// of what stands under `key`. Those that are missing cannot.
    #[must_use]
    pub fn unconfirmed(&self, key: &str, version: i64) -> Vec<String> {
        let announced = self.inner.announced();
        let fellows = announced.fleet.report(Instant::now()).into_iter();
        let is_waited_for = |id: &String| !announced.shelf.is_confirmed(id, key, version);
        let alive = fellows.filter(|fellow| fellow.missing.is_none()).map(|fellow| fellow.id);
        alive.filter(is_waited_for).collect()
    }
}

impl ShelfTurn {
    /// Puts `value` under `key`, for as long as the turn lasts. Answers with
    /// its version.
    ///
    /// # Errors
    ///
    /// When etcd does not say that it is there.
    pub async fn put(&self, key: &str, value: Vec<u8>) -> Result<i64, StoreFault> {
        let put = presence::put(self.inner.keys.shelved(key), value, self.lease);
        let request = TxnRequest { compare: Vec::new(), success: vec![put], failure: Vec::new() };
        Ok(self.inner.shelve(request).await?.unwrap_or_default())
    }
}

impl Inner {
    /// Carries out `request` and waits until what it did is heard. Answers with
    /// its revision, if it was carried out.
    async fn shelve(&self, request: TxnRequest) -> Result<Option<i64>, StoreFault> {
        let deadline = Instant::now() + PATIENCE;
        let answer = self.client.txn(request).await.map_err(|error| away(&error))?;
        let revision = answer.header.map_or(0, |header| header.revision);
        if !answer.succeeded {
            return Ok(None);
        }
        match self.until(deadline, |_, heard| heard >= revision).await {
            Ok(()) => Ok(Some(revision)),
            Err(RegistryError::StoreFailed { reason }) => Err(reason),
            Err(error) => Err(StoreFault::Away { text: error.to_string() }),
        }
    }
}

/// Renews `lease` until it is stopped. One that is over stays over: what was
/// begun goes on, and others may take the turn.
async fn renew(inner: Arc<Inner>, lease: i64) {
    let mut tick = interval(RENEWAL);
    loop {
        tick.tick().await;
        if let Err(error) = inner.client.keep_alive(&[lease]).await {
            tracing::debug!(%error, "a turn was not renewed");
        }
    }
}

impl Drop for ShelfTurn {
    fn drop(&mut self) {
        self.renewal.abort();
        let Ok(runtime) = Handle::try_current() else { return };
        let (inner, lease) = (Arc::clone(&self.inner), self.lease);
        // Else it ends by itself.
        runtime.spawn(async move { inner.client.revoke(lease).await });
    }
}

impl std::fmt::Debug for SharedShelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SharedShelf").field(&self.own()).finish()
    }
}

impl std::fmt::Debug for ShelfTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ShelfTurn").field(&self.lease).finish()
    }
}

fn delete(key: Bytes) -> RequestOp {
    Operation::DeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() }).into()
}
