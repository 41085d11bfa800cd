//! What is asked for, as transactions of etcd.
//!
//! Pure. Each transaction holds only if the key is as it was when it was
//! judged, so that whoever comes second is judged anew, by what is there then:
//! an old process cannot take out its successor, and one id has one owner.
//! A transaction may also come late, long after another attempt at the same:
//! whoever has left meanwhile is not brought back by it.

use bytes::Bytes;

use crate::{
    etcd::messages::{
        Answer, Compare, CompareResult, Compared, DeleteRangeRequest, Operation as Do, PutRequest,
        RangeRequest, TxnRequest, TxnResponse,
    },
    model::InstanceKey,
    registry::{
        Registration, RegistryError, Removal,
        judge::{self, Verdict},
        ledger::{Change, Operation, Outcome},
    },
};

use super::{
    entry::Entry,
    schema::{FORM, Farewell, Keys, Record},
};

/// What an operation comes to.
#[derive(Debug)]
pub(super) struct Plan {
    /// If it can be carried out. A new registration has generation 0 until
    /// then.
    pub(super) outcome: Outcome,
    pub(super) write: Write,
}

/// What is to be written.
#[derive(Debug)]
pub(super) enum Write {
    /// Nothing, if it is still as it was.
    Nothing,
    Put(Box<Record>),
    Farewell(Farewell),
}

/// Judges `operation` on what is there.
pub(super) fn plan(there: Option<&Entry>, operation: &Operation) -> Result<Plan, RegistryError> {
    let old = there.map(|entry| &entry.registration);
    match operation {
        Operation::Register { instance, caller } => {
            let verdict = judge::register(old, instance, caller)?;
            match (verdict, there) {
                (Verdict::Unchanged, Some(entry)) => {
                    let registration = entry.registration.clone();
                    let write = match entry.seen {
                        // Not there any more: the same again.
                        0 => Write::Put(Box::new(entry.record())),
                        _ => Write::Nothing,
                    };
                    Ok(Plan { outcome: Outcome { registration, change: None }, write })
                }
                (Verdict::Unchanged, None) => Err(RegistryError::NotFound { key: instance.key() }),
                (Verdict::Entered { owner, generation, change }, there) => {
                    let same = there.filter(|_| generation.is_some());
                    let record = Record {
                        v: FORM,
                        generation,
                        draining: false,
                        renewed: same.is_some_and(|entry| {
                            let had = entry.registration.instance.ttl.is_some();
                            entry.renewed && had == instance.ttl.is_some()
                        }),
                        owner: owner.clone(),
                        instance: (**instance).clone(),
                        newer: None,
                    };
                    let registration = Registration {
                        instance: (**instance).clone(),
                        generation: generation.unwrap_or_default(),
                        draining: false,
                        owner,
                    };
                    let outcome = Outcome { registration, change: Some(change) };
                    Ok(Plan { outcome, write: Write::Put(Box::new(record)) })
                }
            }
        }
        Operation::Drain { key, generation, caller } => {
            let mut registration = judge::meant(old, key, *generation, caller)?.clone();
            let change = (!registration.draining).then_some(Change::Draining);
            registration.draining = true;
            let write = match (change, there) {
                (Some(_), Some(entry)) => {
                    Write::Put(Box::new(Record { draining: true, ..entry.record() }))
                }
                _ => Write::Nothing,
            };
            Ok(Plan { outcome: Outcome { registration, change }, write })
        }
        Operation::Deregister { key, generation, caller } => {
            let registration = judge::meant(old, key, *generation, caller)?.clone();
            Ok(removal(key, registration, Removal::Deregistered))
        }
        Operation::Remove { key, generation, why } => match old {
            Some(old) if old.generation == *generation => Ok(removal(key, old.clone(), *why)),
            _ => Err(RegistryError::NotFound { key: key.clone() }),
        },
    }
}

fn removal(key: &InstanceKey, registration: Registration, why: Removal) -> Plan {
    let farewell = Farewell {
        v: FORM,
        key: key.clone(),
        generation: registration.generation,
        given_up: why == Removal::GaveUp,
    };
    let outcome = Outcome { registration, change: Some(Change::Removed(why)) };
    Plan { outcome, write: Write::Farewell(farewell) }
}

/// What something was judged on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// The revision of the key; 0 if it is not there.
    pub(super) seen: i64,
    /// Until when everything was heard.
    pub(super) heard: i64,
}

/// What etcd holds where a transaction did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct There {
    /// The revision of the key; 0 if it is not there.
    pub(super) key: i64,
    /// That of its farewell; 0 if there is none.
    gone: i64,
}

impl There {
    /// Whether it has been put since it was judged.
    pub(super) const fn is_other_than(self, seen: i64) -> bool {
        self.key != 0 && self.key != seen
    }

    /// What has to be heard to judge anew; none if that is a deletion, of which
    /// nothing is left.
    pub(super) fn newest(self) -> Option<i64> {
        Some(self.key.max(self.gone)).filter(|newest| *newest != 0)
    }
}

/// What `answer` to a [`transaction`] says of `key`.
pub(super) fn there(keys: &Keys, key: &InstanceKey, answer: &TxnResponse) -> There {
    let read = answer.responses.iter().filter_map(|it| match &it.response {
        Some(Answer::Range(range)) => range.kvs.first(),
        _ => None,
    });
    let (path, gone) = (keys.instance(key), keys.gone(key));
    let mut there = There { key: 0, gone: 0 };
    for entry in read {
        if entry.key == path {
            there.key = entry.mod_revision;
        } else if entry.key == gone {
            there.gone = entry.mod_revision;
        }
    }
    there
}

/// The transaction of a `write` under `key`, as it was judged. What is put goes
/// with `lease`. If it does not hold, it says what is there.
pub(super) fn transaction(
    keys: &Keys,
    key: &InstanceKey,
    judged: Judged,
    write: &Write,
    lease: i64,
) -> Result<TxnRequest, serde_json::Error> {
    let (path, gone) = (keys.instance(key), keys.gone(key));
    let delete =
        |key| Do::DeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() }).into();
    let put = |key, value: Vec<u8>| {
        Do::Put(PutRequest { key, value: value.into(), lease, ..PutRequest::default() }).into()
    };
    let success = match write {
        Write::Nothing => Vec::new(),
        Write::Put(record) => {
            vec![put(path.clone(), record.to_json()?), delete(gone.clone())]
        }
        // In this order: who watches hears the farewell first.
        Write::Farewell(farewell) => {
            vec![put(gone.clone(), serde_json::to_vec(farewell)?), delete(path.clone())]
        }
    };
    let Judged { seen, heard } = judged;
    let read = |key: Bytes| {
        Do::Range(RangeRequest { key, keys_only: true, ..RangeRequest::default() }).into()
    };
    let failure = vec![read(path.clone()), read(gone.clone())];
    let mut compare = vec![Compare::new(path, CompareResult::Equal, Compared::Mod(seen))];
    // A key that is not there looks the same before it came and after it left.
    if seen == 0 && matches!(write, Write::Put(_)) {
        let until = Compared::Mod(heard.saturating_add(1));
        compare.push(Compare::new(gone, CompareResult::Less, until));
    }
    Ok(TxnRequest { compare, success, failure })
}

/// The transaction that tells etcd of an entry what this proxy knows: that a
/// heartbeat has come, or all of it if etcd has lost it. Not if it has left.
pub(super) fn rewrite(
    keys: &Keys,
    entry: &Entry,
    heard: i64,
    lease: i64,
) -> Result<TxnRequest, serde_json::Error> {
    let key = entry.registration.instance.key();
    let mut transaction = replay(keys, entry, heard, lease)?;
    let gone = Compare::new(keys.gone(&key), CompareResult::Equal, Compared::Create(0));
    transaction.compare.push(gone);
    transaction.success.truncate(1);
    Ok(transaction)
}

/// The transaction that registers what was accepted without etcd, if what it
/// comes after is still there.
pub(super) fn replay(
    keys: &Keys,
    entry: &Entry,
    heard: i64,
    lease: i64,
) -> Result<TxnRequest, serde_json::Error> {
    let key = entry.registration.instance.key();
    let judged = Judged { seen: entry.seen, heard };
    transaction(keys, &key, judged, &Write::Put(Box::new(entry.record())), lease)
}
