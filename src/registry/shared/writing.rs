//! Writes to etcd what is asked for: judged on what was heard, carried out only
//! if that still holds, judged anew if it does not, and answered when it is
//! heard back.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::Code;

use super::{
    FAREWELL, Inner, away,
    entry::Entry,
    operations::{self, Judged, Write},
    schema,
};
use crate::{
    etcd::{Error, messages::RangeRequest},
    model::{InstanceKey, ServiceName},
    registry::{
        RegistryError, StoreFault,
        ledger::{Change, Operation, Outcome},
    },
};

/// How long it is tried to write something. An election takes less.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long one attempt may take: what a leader that dies had accepted is
/// never answered.
const ATTEMPT: Duration = Duration::from_millis(1500);

impl Inner {
    fn entry(&self, key: &InstanceKey) -> Option<Entry> {
        self.announced().mirror.entry(key).cloned()
    }

    pub(super) fn check_room(&self, service: &ServiceName) -> Result<(), RegistryError> {
        let (services, instances) = self.announced().mirror.count(service);
        let limit = self.max_instances;
        match instances {
            0 if services >= self.max_services as usize => {
                Err(RegistryError::TooManyServices { limit: self.max_services })
            }
            count if count >= limit => {
                Err(RegistryError::TooManyInstances { service: service.clone(), limit })
            }
            _ => Ok(()),
        }
    }

    /// Waits until etcd is followed.
    async fn connected(&self, deadline: Instant) -> Result<(), RegistryError> {
        let mut state = self.state.subscribe();
        loop {
            let now = state.borrow_and_update().clone();
            if now.connected {
                return Ok(());
            }
            let reason = match now.fault {
                // Those who ask are not kept waiting in vain.
                Some((reason, since)) if since.elapsed() > PATIENCE => return Err(reason.into()),
                Some((reason, _)) => reason,
                None => StoreFault::Away { text: "it was not read yet".to_owned() },
            };
            match timeout_at(deadline, state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(RegistryError::Closed),
                Err(_) => return Err(reason.into()),
            }
        }
    }

    /// Waits until the mirror says what `wanted` wants to hear.
    pub(super) async fn until(
        &self,
        deadline: Instant,
        mut wanted: impl FnMut(&Self, i64) -> bool,
    ) -> Result<(), RegistryError> {
        let mut heard = self.heard.subscribe();
        loop {
            let revision = *heard.borrow_and_update();
            if wanted(self, revision) {
                return Ok(());
            }
            match timeout_at(deadline, heard.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(RegistryError::Closed),
                Err(_) => {
                    let text = "what was written is not heard back".to_owned();
                    return Err(StoreFault::Away { text }.into());
                }
            }
        }
    }

    /// The lease of farewells: several have one.
    async fn farewell_lease(&self) -> Result<i64, Error> {
        let mut farewell = self.farewell.lock().await;
        match *farewell {
            Some((lease, since)) if since.elapsed() < FAREWELL / 2 => Ok(lease),
            _ => {
                let granted = self.brisk.grant(seconds(self.farewell_ttl)).await?;
                *farewell = Some((granted.id, Instant::now()));
                Ok(granted.id)
            }
        }
    }

    /// Asks etcd itself what stands under `key`. Whether that is something else
    /// than what was `judged`, which was heard at that revision; it is known by
    /// then.
    async fn catches_up(
        &self,
        key: &InstanceKey,
        judged: i64,
        deadline: Instant,
    ) -> Result<bool, RegistryError> {
        self.connected(deadline).await?;
        let request = RangeRequest { key: self.keys.instance(key), ..RangeRequest::default() };
        let there = match timeout_at(deadline, self.brisk.range(request)).await {
            Ok(answer) => answer.map_err(|error| away(&error))?,
            Err(_) => return Err(silent().into()),
        };
        if let Some(there) = there.kvs.first()
            && there.mod_revision > judged
        {
            self.until(deadline, |_, heard| heard >= there.mod_revision).await?;
        }
        // It may have been heard of while etcd was asked.
        Ok(self.entry(key).map_or(0, |entry| entry.seen) != judged)
    }

    /// Carries out `operation` in etcd.
    pub(super) async fn carry_out(&self, operation: Operation) -> Result<Outcome, RegistryError> {
        let deadline = Instant::now() + PATIENCE;
        let key = operation.key();
        let client = &self.brisk;
        // What may have been done by an attempt of which nothing was heard.
        let mut perhaps: Option<Outcome> = None;
        let mut fresh: Option<i64> = None;
        // What was heard and is not known.
        let mut unread = 0;
        loop {
            // Before what is judged, which may be newer and never older.
            let heard = *self.heard.borrow();
            let there = self.entry(&key);
            let seen = there.as_ref().map_or(0, |entry| entry.seen);
            let plan = match operations::plan(there.as_ref(), &operation) {
                Ok(plan) => plan,
                Err(RegistryError::NotFound { .. } | RegistryError::Replaced { .. })
                    if perhaps
                        .as_ref()
                        .is_some_and(|it| matches!(it.change, Some(Change::Removed(_)))) =>
                {
                    return perhaps.ok_or(RegistryError::Closed);
                }
                // It may have come to another proxy a moment ago.
                Err(RegistryError::NotFound { .. } | RegistryError::Replaced { .. })
                    if self.catches_up(&key, seen, deadline).await? =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if plan.outcome.change == Some(Change::Created) {
                self.check_room(&key.service)?;
            }
            let unchanged = matches!(plan.write, Write::Nothing);
            match self.connected(deadline).await {
                Ok(()) => {}
                // It is as a heartbeat: nothing would have to be written.
                Err(RegistryError::StoreFailed { .. }) if unchanged && seen != 0 => {
                    return Ok(plan.outcome);
                }
                Err(error) => return Err(error),
            }
            let held = there.as_ref().map_or(0, |entry| entry.lease);
            let attempt = async {
                let lease = match &plan.write {
                    Write::Farewell(_) => self.farewell_lease().await?,
                    Write::Nothing => 0,
                    // An edit, or that it leaves, does not prolong it.
                    Write::Put(record) => match (record.ttl(), fresh) {
                        (None, _) => 0,
                        (Some(_), _) if held != 0 && record.draining => held,
                        (Some(_), Some(lease)) => lease,
                        (Some(ttl), None) => {
                            let lease = client.grant(lease_seconds(ttl)).await?.id;
                            *fresh.insert(lease)
                        }
                    },
                };
                let judged = Judged { seen, heard };
                let request = operations::transaction(&self.keys, &key, judged, &plan.write, lease);
                let request = request.map_err(|_| Error::NoEndpoint)?;
                client.txn(request).await
            };
            let until = deadline.min(Instant::now() + ATTEMPT);
            match timeout_at(until, attempt).await {
                Ok(Ok(answer)) if answer.succeeded => {
                    let revision = answer.header.map_or(0, |header| header.revision);
                    if unchanged {
                        return Ok(plan.outcome);
                    }
                    if let Some(lease) = superseded(held, fresh) {
                        let client = self.client.clone();
                        tokio::spawn(async move { client.revoke(lease).await });
                    }
                    self.until(deadline, |_, heard| heard >= revision).await?;
                    let mut outcome = plan.outcome;
                    if outcome.registration.generation == 0 {
                        outcome.registration.generation = schema::revision(revision);
                    }
                    return Ok(outcome);
                }
                // It is not as it was judged: as soon as it is known what it
                // is, it is judged anew.
                Ok(Ok(answer)) => {
                    let there = operations::there(&self.keys, &key, &answer);
                    let is_new =
                        |inner: &Self| inner.entry(&key).map_or(0, |entry| entry.seen) != seen;
                    self.until(deadline, |inner, heard| {
                        is_new(inner) || there.newest().is_some_and(|newest| heard >= newest)
                    })
                    .await?;
                    // The first time it may have come and gone meanwhile.
                    if there.is_other_than(seen)
                        && !is_new(self)
                        && std::mem::replace(&mut unread, there.key) == there.key
                    {
                        let text = "what stands under its key cannot be read".to_owned();
                        return Err(StoreFault::Foreign { text }.into());
                    }
                }
                Ok(Err(error)) if is_passing(&error) && Instant::now() < deadline => {
                    self.doubts(&error);
                    if is_lease_gone(&error) {
                        fresh = None;
                        self.farewell.lock().await.take();
                    }
                    if !error.is_without_effect() {
                        perhaps = Some(plan.outcome);
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(Err(error)) => return Err(away(&error).into()),
                // It may have been written all the same.
                Err(_) if until < deadline => perhaps = Some(plan.outcome),
                Err(_) => return Err(silent().into()),
            }
        }
    }
}

fn silent() -> StoreFault {
    StoreFault::Away { text: format!("it has not answered within {PATIENCE:?}") }
}

/// A lease of etcd ends no earlier than the TTL of the instance, also if a
/// heartbeat was passed on late.
pub(super) fn lease_seconds(ttl: Duration) -> i64 {
    seconds(ttl).max(5) + 2
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// The lease `held` that has no key any more, now that there is a `fresh` one. It
/// may be the same: an attempt of which nothing was heard had it.
pub(super) fn superseded(held: i64, fresh: Option<i64>) -> Option<i64> {
    fresh.filter(|fresh| held != 0 && *fresh != held).map(|_| held)
}

fn is_lease_gone(error: &Error) -> bool {
    matches!(error, Error::Answered { code: Code::NotFound, .. })
}

/// Whether another attempt may do better.
fn is_passing(error: &Error) -> bool {
    error.is_of_member() || is_lease_gone(error)
}
