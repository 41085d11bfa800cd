//! What stands in etcd: keys and values.
//!
//! Below one prefix: `services/SERVICE/ID` is a registration, with a lease if
//! it has a TTL; `gone/SERVICE/ID` is put by the transaction that takes one
//! out, so that what has left can be told from what is lost, which a deletion
//! does not say; `schema` says that there is a registry, and of which form.
//! `/` and `%` in a part are percent-encoded. What proxies have to do with each
//! other is in `fleet.rs`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::newer;
use crate::{
    etcd::messages::KeyValue,
    model::{Instance, InstanceKey},
    registry::{Registration, Removal, limits},
};

/// The form of keys and values.
pub(super) const FORM: u32 = 1;

const PART: &AsciiSet = &CONTROLS.add(b'/').add(b'%').add(b' ');

/// The keys of one registry.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Schema,
    Instance,
    Gone,
    /// Of a replica that knows more, or of somebody else.
    Other,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{}/", prefix.trim_end_matches('/')) }
    }

    pub(super) fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    pub(super) fn schema(&self) -> Bytes {
        format!("{}schema", self.prefix).into()
    }

    pub(super) fn instance(&self, key: &InstanceKey) -> Bytes {
        self.of("services", key)
    }

    pub(super) fn gone(&self, key: &InstanceKey) -> Bytes {
        self.of("gone", key)
    }

    pub(super) fn kind(&self, key: &[u8]) -> Kind {
        match key.strip_prefix(self.prefix()) {
            Some(b"schema") => Kind::Schema,
            Some(rest) if rest.starts_with(b"services/") => Kind::Instance,
            Some(rest) if rest.starts_with(b"gone/") => Kind::Gone,
            _ => Kind::Other,
        }
    }

    /// The key `rest` of this registry.
    pub(super) fn below(&self, rest: &str) -> Bytes {
        format!("{}{rest}", self.prefix).into()
    }

    /// The parts of a key with two or three of them.
    pub(super) fn place<'a>(&self, key: &'a [u8]) -> Option<(&'a str, &'a str, Option<&'a str>)> {
        let rest = std::str::from_utf8(key.strip_prefix(self.prefix())?).ok()?;
        let mut parts = rest.splitn(3, '/');
        Some((parts.next()?, parts.next()?, parts.next()))
    }

    fn of(&self, folder: &str, key: &InstanceKey) -> Bytes {
        let part = |text| utf8_percent_encode(text, PART);
        let (service, id) = (part(key.service.as_str()), part(key.id.as_str()));
        format!("{}{folder}/{service}/{id}", self.prefix).into()
    }
}

/// The value of a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) v: u32,
    /// That of the process it is of; if absent, the revision of this put,
    /// which etcd never gives twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) draining: bool,
    /// Whether a heartbeat has come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) renewed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    pub(super) instance: Instance,
    /// What was read beside it, and is written back as it was: that of a newer
    /// version, which must not lose it because this one told of a heartbeat.
    #[serde(skip)]
    pub(super) newer: Option<Arc<Value>>,
}

/// What is read in etcd of one registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) registration: Registration,
    /// Whether a heartbeat has come.
    pub(super) renewed: bool,
    pub(super) newer: Option<Arc<Value>>,
}

impl Record {
    pub(super) fn ttl(&self) -> Option<Duration> {
        self.instance.ttl.map(Duration::from)
    }

    /// As it is written.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        match &self.newer {
            None => serde_json::to_vec(self),
            Some(newer) => {
                let mut value = serde_json::to_value(self)?;
                newer::fill(&mut value, newer);
                serde_json::to_vec(&value)
            }
        }
    }

    /// Of a registration that has its generation.
    pub(super) fn of(registration: &Registration, renewed: bool) -> Self {
        Self {
            v: FORM,
            generation: Some(registration.generation),
            draining: registration.draining,
            renewed,
            owner: registration.owner.clone(),
            instance: registration.instance.clone(),
            newer: None,
        }
    }

    /// What is read in etcd.
    pub(super) fn read(keys: &Keys, entry: &KeyValue) -> Result<Read, String> {
        let record: Self = read(&entry.value)?;
        limits::check(&record.instance).map_err(|error| error.to_string())?;
        if keys.instance(&record.instance.key()) != entry.key {
            return Err(format!("it is about {}", record.instance.key()));
        }
        let newer = newer::beside(&record, &entry.value).map(Arc::new);
        let Self { generation, draining, renewed, owner, instance, .. } = record;
        let generation = generation.unwrap_or_else(|| revision(entry.mod_revision));
        let registration = Registration { instance, generation, draining, owner };
        Ok(Read { registration, renewed, newer })
    }
}

/// What is put when a registration is taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Farewell {
    pub(super) v: u32,
    pub(super) key: InstanceKey,
    pub(super) generation: u64,
    /// Whether it was given up, and not asked to leave.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) given_up: bool,
}

impl Farewell {
    pub(super) fn read(keys: &Keys, entry: &KeyValue) -> Result<Self, String> {
        let farewell: Self = read(&entry.value)?;
        match keys.gone(&farewell.key) == entry.key {
            true => Ok(farewell),
            false => Err(format!("it is about {}", farewell.key)),
        }
    }

    pub(super) const fn why(&self) -> Removal {
        if self.given_up { Removal::GaveUp } else { Removal::Deregistered }
    }
}

fn read<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Form {
        v: u32,
    }
    let Form { v } = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if v != FORM {
        return Err(format!("it has version {v} of its form; version {FORM} is read"));
    }
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

/// A revision as a generation.
pub(super) fn revision(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or_default()
}
