//! Accepts registrations while etcd is away, with `on_outage = "accept"`: on
//! the disk of this proxy first, in etcd once it answers.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Inner, mirror::Deferred, schema::FORM};
use crate::{
    model::{Instance, InstanceKey},
    registry::{
        Caller, OpenError, RegistryError, Removal, StoreFault,
        ledger::{Change, Operation, Outcome},
        write_whole,
    },
};

/// In `data_dir`.
const FILE: &str = "deferred-registrations.json";

/// Generations of deferred registrations begin here, far beyond every revision,
/// and are drawn at random: no two proxies give the same one. They stay below
/// 2^53, where JSON numbers are exact everywhere (RFC 8259 §6).
const FRESH: std::ops::Range<u64> = (1 << 52)..(1 << 52) + (1 << 51);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u32,
    deferred: Vec<Deferred>,
}

/// What was accepted and not told when the process before ended.
pub(super) async fn read(data_dir: &Path) -> Result<Vec<Deferred>, OpenError> {
    let path = data_dir.join(FILE);
    let shown = path.clone();
    let read = tokio::task::spawn_blocking(move || std::fs::read(&path));
    let failed = |source| OpenError::File { doing: "read", path: shown.clone(), source };
    let text = match read.await.map_err(|error| OpenError::Thread(error.into()))? {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(failed)?,
    };
    // They were promised, so they are not passed over.
    let file: File = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
    if file.v != FORM {
        let text = format!("it has version {} of its form; version {FORM} is read", file.v);
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, text)));
    }
    Ok(file.deferred)
}

fn write(data_dir: &Path, deferred: Vec<Deferred>) -> io::Result<()> {
    let path: PathBuf = data_dir.join(FILE);
    if deferred.is_empty() {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    std::fs::create_dir_all(data_dir)?;
    write_whole(&path, &serde_json::to_vec(&File { v: FORM, deferred })?)
}

impl Inner {
    /// Carries out `operation`, in etcd if it can be.
    pub(super) async fn apply(&self, operation: Operation) -> Result<Outcome, RegistryError> {
        let key = operation.key();
        if !self.announced().mirror.is_deferred(&key) {
            return match self.carry_out(operation.clone()).await {
                Err(RegistryError::StoreFailed { .. }) if self.accepts_deferred(&operation) => {
                    self.defer(operation).await
                }
                done => done,
            };
        }
        match &operation {
            // It is told with the next attempt.
            Operation::Register { .. } => self.defer(operation).await,
            Operation::Deregister { generation, caller, .. } if !self.is_connected() => {
                self.withdraw(&key, *generation, caller).await
            }
            _ => {
                self.settled(&key).await?;
                self.carry_out(operation).await
            }
        }
    }

    fn accepts_deferred(&self, operation: &Operation) -> bool {
        self.accepts_in_outage && matches!(operation, Operation::Register { .. })
    }

    async fn defer(&self, operation: Operation) -> Result<Outcome, RegistryError> {
        let Operation::Register { instance, caller } = operation else {
            return Err(RegistryError::Closed);
        };
        let _one_at_a_time = self.deferring.lock().await;
        let (outcome, deferred) = self.judged(&instance, &caller)?;
        let Some(deferred) = deferred else { return Ok(outcome) };
        if outcome.change == Some(Change::Created) {
            self.check_room(&instance.service)?;
        }
        self.keep(Some(&deferred)).await?;
        self.change(|mirror, out| mirror.defer(deferred, false, out));
        Ok(outcome)
    }

    fn judged(
        &self,
        instance: &Instance,
        caller: &Caller,
    ) -> Result<(Outcome, Option<Deferred>), RegistryError> {
        self.announced().mirror.judge(instance, caller, fastrand::u64(FRESH))
    }

    /// Takes back what no other proxy has heard of.
    async fn withdraw(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<Outcome, RegistryError> {
        let _one_at_a_time = self.deferring.lock().await;
        let mut withdrawn = Ok(None);
        self.change(|mirror, out| {
            withdrawn = mirror.withdraw(key, generation, caller, out);
        });
        let Some(registration) = withdrawn? else {
            let fault = self.state.borrow().fault.clone();
            let away = || StoreFault::Away { text: "it was not told yet".to_owned() };
            return Err(fault.map_or_else(away, |(fault, _)| fault).into());
        };
        // If this fails, it comes back with the next start, and goes again
        // with its lease.
        self.keep(None).await?;
        Ok(Outcome { registration, change: Some(Change::Removed(Removal::Deregistered)) })
    }

    /// Waits until what is deferred of `key` was told or given up.
    async fn settled(&self, key: &InstanceKey) -> Result<(), RegistryError> {
        let deadline = Instant::now() + super::writing::PATIENCE;
        self.until(deadline, |inner, _| !inner.announced().mirror.is_deferred(key)).await
    }

    /// Has on disk what is deferred, and `new` in the place of what is of its
    /// key.
    async fn keep(&self, new: Option<&Deferred>) -> Result<(), RegistryError> {
        let mut all = self.announced().mirror.deferred();
        if let Some(new) = new {
            all.retain(|it| it.key() != new.key());
            all.push(new.clone());
        }
        let folder = self.data_dir.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, all)).await;
        written
            .map_err(|_| RegistryError::Closed)?
            .map_err(|error| StoreFault::Write { text: format!("{FILE}: {error}") }.into())
    }

    /// Takes off the disk what is not deferred any more.
    pub(super) async fn forget_told(&self) {
        let _one_at_a_time = self.deferring.lock().await;
        let all = self.announced().mirror.deferred();
        let folder = self.data_dir.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, all)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "{FILE} cannot be written: it tells of what is in etcd by now");
        }
    }
}
