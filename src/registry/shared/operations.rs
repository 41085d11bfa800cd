//! What is asked for, as transactions of etcd.
//!
//! Pure. Each transaction holds only if the key is as it was when it was
//! judged, so that whoever comes second is judged anew, by what is there then:
//! an old process cannot take out its successor, and one id has one owner.

use crate::{
    etcd::messages::{
        Compare, CompareResult, Compared, DeleteRangeRequest, Operation as Do, PutRequest,
        TxnRequest,
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
                        0 => Write::Put(Box::new(Record::of(&registration, entry.renewed))),
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
            let renewed = there.is_some_and(|entry| entry.renewed);
            let write = match change {
                Some(_) => Write::Put(Box::new(Record::of(&registration, renewed))),
                None => Write::Nothing,
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

/// The transaction of a `write` under `key` that was judged on revision
/// `seen`. What is put goes with `lease`.
pub(super) fn transaction(
    keys: &Keys,
    key: &InstanceKey,
    seen: i64,
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
            vec![put(path.clone(), serde_json::to_vec(record)?), delete(gone)]
        }
        // In this order: who watches hears the farewell first.
        Write::Farewell(farewell) => {
            vec![put(gone, serde_json::to_vec(farewell)?), delete(path.clone())]
        }
    };
    let compare = vec![Compare::new(path, CompareResult::Equal, Compared::Mod(seen))];
    Ok(TxnRequest { compare, success, failure: Vec::new() })
}

/// The transaction that tells etcd of an entry what this proxy knows: that a
/// heartbeat has come, or all of it if etcd has lost it. Not if it has left.
pub(super) fn rewrite(
    keys: &Keys,
    entry: &Entry,
    lease: i64,
) -> Result<TxnRequest, serde_json::Error> {
    let key = entry.registration.instance.key();
    let record = Record::of(&entry.registration, entry.renewed);
    let write = Write::Put(Box::new(record));
    let mut transaction = transaction(keys, &key, entry.seen, &write, lease)?;
    let gone = Compare::new(keys.gone(&key), CompareResult::Equal, Compared::Create(0));
    transaction.compare.push(gone);
    transaction.success.truncate(1);
    Ok(transaction)
}
