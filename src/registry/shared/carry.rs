//! All that is registered in an etcd as an export, and an export into an etcd:
//! the way from an embedded registry to a shared one and back.
//!
//! No proxy is needed for either, and those that run may run on: they hear of
//! what changes as of everything else.

use std::{collections::BTreeMap, time::Duration};

use super::{
    client,
    operations::{self, Judged, Write},
    schema::{FORM, Farewell, Keys, Kind, Read, Record, revision},
    writing::lease_seconds,
};
use crate::{
    etcd::{
        Client, Error, Listing,
        messages::{Compare, CompareResult, Compared, TxnRequest},
    },
    model::InstanceKey,
    registry::{
        EtcdBackendSettings, Export, Imported, Registration, limits, limits::Unfit, store::Contents,
    },
};

/// Seconds that who was taken out by an import is remembered.
const FAREWELL: i64 = 720;

/// Why nothing was carried, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarryError {
    /// etcd does not answer, or not as it should.
    #[error("etcd: {0}")]
    Etcd(#[from] Error),
    /// Another form of registry is there.
    #[error("the registry below {prefix} has form {found:?}, and this version knows {FORM}")]
    Form {
        /// What all keys begin with.
        prefix: String,
        /// What it says of itself.
        found: String,
    },
    /// One key cannot be read.
    #[error("{key} cannot be read: {why}")]
    Key {
        /// The key.
        key: String,
        /// Why not.
        why: String,
    },
    /// One instance carries more than one may. Nothing was written.
    #[error("{key}: {why}")]
    Unfit {
        /// Which instance.
        key: InstanceKey,
        /// What is wrong with it.
        why: Unfit,
    },
    /// One instance cannot be written as JSON.
    #[error("{key} cannot be written: {why}")]
    Json {
        /// Which instance.
        key: InstanceKey,
        /// Why not.
        why: serde_json::Error,
    },
}

struct There {
    registration: Registration,
    seen: i64,
}

/// Everything that is registered in `etcd`, as of one revision.
///
/// # Errors
///
/// If it cannot be read in full.
pub async fn export(etcd: &EtcdBackendSettings) -> Result<Export, CarryError> {
    let (client, keys) = (Client::new(client(etcd)), Keys::new(&etcd.prefix));
    let listing = client.list(keys.prefix()).await?;
    let there = read(&keys, &listing)?;
    let mut registrations: Vec<_> = there.into_values().map(|there| there.registration).collect();
    registrations.sort_by_key(|it| it.instance.key());
    let last_generation = revision(listing.revision);
    Ok(Export::of(Contents { registrations, last_generation, commits: 0 }))
}

/// Adds what `export` holds to what is registered in `etcd`, or puts it in the
/// place of that. Each instance by itself: what fails is mended by importing
/// once more. What comes is of a new generation.
///
/// # Errors
///
/// If something in the export does not fit, and then nothing is written; or
/// if etcd fails.
pub async fn import(
    etcd: &EtcdBackendSettings,
    export: &Export,
    replace: bool,
) -> Result<Imported, CarryError> {
    for registration in export.registrations() {
        limits::check(&registration.instance)
            .map_err(|why| CarryError::Unfit { key: registration.instance.key(), why })?;
    }
    let (client, keys) = (Client::new(client(etcd)), Keys::new(&etcd.prefix));
    let listing = client.list(keys.prefix()).await?;
    let (mut there, heard) = (read(&keys, &listing)?, listing.revision);
    mark(&client, &keys).await?;
    let mut imported = Imported::default();
    for registration in export.registrations() {
        let key = registration.instance.key();
        let old = there.remove(&key);
        let is_kept = old.as_ref().is_some_and(|old| {
            let generation = old.registration.generation;
            !replace || old.registration == Registration { generation, ..registration.clone() }
        });
        let seen = old.map_or(0, |old| old.seen);
        let record = Record { generation: None, ..Record::of(registration, false) };
        let write = Write::Put(Box::new(record));
        let ttl = registration.instance.ttl.map(Duration::from);
        let judged = Judged { seen, heard };
        if !is_kept && carry(&client, &keys, &key, judged, &write, ttl.map(lease_seconds)).await? {
            imported.taken += 1;
        } else {
            imported.kept += 1;
        }
        imported.instances += 1;
    }
    for (key, old) in there {
        let generation = old.registration.generation;
        let farewell = Farewell { v: FORM, key: key.clone(), generation, given_up: false };
        let write = Write::Farewell(farewell);
        let judged = Judged { seen: old.seen, heard };
        if replace && carry(&client, &keys, &key, judged, &write, Some(FAREWELL)).await? {
            imported.removed += 1;
        } else {
            imported.instances += 1;
        }
    }
    Ok(imported)
}

/// Writes, unless somebody else has since.
async fn carry(
    client: &Client,
    keys: &Keys,
    key: &InstanceKey,
    judged: Judged,
    write: &Write,
    lease: Option<i64>,
) -> Result<bool, CarryError> {
    let lease = match lease {
        Some(seconds) => client.grant(seconds).await?.id,
        None => 0,
    };
    let request = operations::transaction(keys, key, judged, write, lease)
        .map_err(|why| CarryError::Json { key: key.clone(), why })?;
    Ok(client.txn(request).await?.succeeded)
}

async fn mark(client: &Client, keys: &Keys) -> Result<(), Error> {
    let key = keys.schema();
    let compare = vec![Compare::new(key.clone(), CompareResult::Equal, Compared::Create(0))];
    let success = vec![super::presence::put(key, FORM.to_string().into(), 0)];
    client.txn(TxnRequest { compare, success, failure: Vec::new() }).await.map(drop)
}

fn read(keys: &Keys, listing: &Listing) -> Result<BTreeMap<InstanceKey, There>, CarryError> {
    let mut all = BTreeMap::new();
    for entry in &listing.entries {
        match keys.kind(&entry.key) {
            Kind::Schema if entry.value != FORM.to_string() => {
                let found = String::from_utf8_lossy(&entry.value).into_owned();
                let prefix = String::from_utf8_lossy(keys.prefix()).into_owned();
                return Err(CarryError::Form { prefix, found });
            }
            Kind::Instance => {
                let Read { registration, .. } = Record::read(keys, entry).map_err(|why| {
                    let key = String::from_utf8_lossy(&entry.key).into_owned();
                    CarryError::Key { key, why }
                })?;
                let there = There { registration, seen: entry.mod_revision };
                all.insert(there.registration.instance.key(), there);
            }
            _ => {}
        }
    }
    Ok(all)
}
