//! That this proxy is there: its keys in etcd, the lease that they go with, and
//! what it is called.
//!
//! Each run has a name of its own, so that an answer is of one process. The
//! folder of the data is locked and keeps the name: who finds another one
//! there knows that the process of that name has ended, and says so for it.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{Inner, fleet::Presence as Value, schema::FORM};
use crate::{
    etcd::{
        Error,
        messages::{
            Compare, CompareResult, Compared, DeleteRangeRequest, Operation, PutRequest,
            RangeRequest, RequestOp, TxnRequest,
        },
    },
    registry::{OpenError, folder::Folder, write_whole},
};

/// Seconds of the lease: who is silent for longer is missing.
const LEASE: i64 = 10;

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(2);

/// How long leaving may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// In the folder of the data.
const FILE: &str = "replica";

/// What this proxy is called, and what it holds.
#[derive(Debug)]
pub(super) struct Presence {
    id: String,
    data_dir: PathBuf,
    folder: Mutex<Option<Folder>>,
    /// The process that was here before and has ended without leaving.
    before: Mutex<Option<String>>,
    /// 0 if there is none.
    lease: AsyncMutex<i64>,
}

impl Presence {
    /// Locks `data_dir`.
    pub(super) async fn new(data_dir: PathBuf) -> Result<Arc<Self>, OpenError> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String =
            host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let host = if host.is_empty() { "proxy" } else { host.get(..48).unwrap_or(&host) };
        let presence = Arc::new(Self {
            id: format!("{host}-{:08x}", fastrand::u32(..)),
            data_dir,
            folder: Mutex::new(None),
            before: Mutex::new(None),
            lease: AsyncMutex::new(0),
        });
        presence.settle_in().await?;
        Ok(presence)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Locks the folder and keeps the name there.
    pub(super) async fn settle_in(self: &Arc<Self>) -> Result<(), OpenError> {
        let presence = Arc::clone(self);
        let settled = tokio::task::spawn_blocking(move || presence.lock());
        settled.await.map_err(|error| OpenError::Thread(error.into()))?
    }

    fn lock(&self) -> Result<(), OpenError> {
        let folder = Folder::open(&self.data_dir)?;
        let path = folder.file(FILE);
        let failed = |doing| {
            let path = path.clone();
            move |source| OpenError::File { doing, path, source }
        };
        let before = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read.map_err(failed("read"))?),
        };
        write_whole(&path, self.id.as_bytes()).map_err(failed("write"))?;
        let is_name = |id: &String| !id.is_empty() && id.len() < 100 && !id.contains('/');
        let before = before.filter(|id| *id != self.id && is_name(id));
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = before;
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
        Ok(())
    }

    /// Leaves the folder to another process, which learns nothing of this one:
    /// it does not end yet, or it has left.
    pub(super) fn move_out(&self) {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(folder) = folder {
            drop(fs::remove_file(folder.file(FILE)));
        }
    }

    /// Gives the folder up, and leaves the name in it.
    fn give_up(&self) {
        self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn before(&self) -> Option<String> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    /// Makes sure that others can know of this proxy. Only then may it read
    /// what it will route by.
    pub(super) async fn announce(&self) -> Result<(), Error> {
        let mut lease = self.presence.lease.lock().await;
        if *lease != 0 && self.brisk.keep_alive(&[*lease]).await?.first().is_none_or(|it| *it == 0)
        {
            *lease = 0;
        }
        if *lease == 0 {
            *lease = self.brisk.grant(LEASE).await?.id;
        }
        let id = self.presence.id();
        let program = env!("CARGO_PKG_VERSION").to_owned();
        let value = Value { v: FORM, program, pid: std::process::id() };
        let value = serde_json::to_vec(&value).unwrap_or_default();
        let mut success = vec![
            put(self.keys.alive(id), Vec::new(), *lease),
            put(self.keys.replica(id), value, 0),
        ];
        let before = self.presence.before();
        if let Some(before) = &before {
            success.extend([self.keys.alive(before), self.keys.replica(before)].map(delete));
        }
        let request = TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
        self.brisk.txn(request).await?;
        self.presence.before.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    /// The lease that everything goes with that is this proxy's alone.
    pub(super) async fn own_lease(&self) -> i64 {
        *self.presence.lease.lock().await
    }

    /// Says that this proxy routes no more.
    pub(super) async fn say_goodbye(&self) {
        let id = self.presence.id();
        let success = [self.keys.replica(id), self.keys.alive(id)].map(delete).into();
        let request = TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
        let lease = self.own_lease().await;
        let said = async {
            self.client.txn(request).await?;
            match lease {
                0 => Ok(()),
                lease => self.client.revoke(lease).await.map(drop),
            }
        };
        match timeout(GOODBYE, said).await {
            Ok(Ok(())) => self.presence.move_out(),
            // The next start with this folder says it.
            Ok(Err(_)) | Err(_) => self.presence.give_up(),
        }
    }

    /// Takes the keys of those out that nobody waits for any more.
    async fn tidy(&self) -> Result<(), Error> {
        let given_up = self.announced().fleet.given_up(Instant::now());
        for (id, seen) in given_up {
            let (replica, alive) = (self.keys.replica(&id), self.keys.alive(&id));
            let compare = vec![
                Compare::new(replica.clone(), CompareResult::Equal, Compared::Mod(seen)),
                Compare::new(alive, CompareResult::Equal, Compared::Create(0)),
            ];
            let success = vec![delete(replica)];
            self.client.txn(TxnRequest { compare, success, failure: Vec::new() }).await?;
        }
        Ok(())
    }
}

/// Keeps the lease, for ever.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut tick = interval(RENEWAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pulse = inner.pulse.subscribe();
    loop {
        let is_due = tokio::select! {
            _ = tick.tick() => true,
            _ = pulse.changed() => false,
        };
        if !inner.is_connected() || (!is_due && inner.announced().fleet.is_announced()) {
            continue;
        }
        let kept = async {
            let lease = inner.own_lease().await;
            let is_announced = inner.announced().fleet.is_announced();
            if !is_announced || inner.renewing.keep_alive(&[lease]).await?.first() == Some(&0) {
                inner.announce().await?;
            }
            let request = RangeRequest {
                key: inner.keys.schema(),
                keys_only: true,
                ..RangeRequest::default()
            };
            let there = inner.brisk.range(request).await?;
            inner.is_at(there.header.map_or(0, |header| header.revision));
            inner.tidy().await
        };
        if let Err(error) = kept.await {
            tracing::debug!(%error, "etcd was not told that this proxy is there");
            inner.doubts(&error);
        }
    }
}

pub(super) fn put(key: bytes::Bytes, value: Vec<u8>, lease: i64) -> RequestOp {
    Operation::Put(PutRequest { key, value: value.into(), lease, ..PutRequest::default() }).into()
}

fn delete(key: bytes::Bytes) -> RequestOp {
    Operation::DeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() }).into()
}
