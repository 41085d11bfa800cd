//! Which instance has an id of Consul's: clients name services and checks by
//! ids of their own, and the registry knows instances by service and id.
//!
//! A shadow of the registry: what it tells is looked at again before it is
//! believed, and it is made anew when something has happened since and an id
//! is not found.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::record::Record;
use crate::{
    control::{Extent, Resident},
    front::call::Call,
    model::InstanceKey,
};

/// For how long an index is good enough for who asks after an id that is new.
const FRESH: Duration = Duration::from_secs(1);

/// Which instances have which id.
#[derive(Debug, Default)]
pub(in crate::front) struct Index {
    /// The number of the last event when it was made.
    made_at: Option<u64>,
    /// And when that was.
    made: Option<Instant>,
    services: HashMap<String, Vec<InstanceKey>>,
    checks: HashMap<String, Vec<InstanceKey>>,
}

/// What an id is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of<'a> {
    Service(&'a str),
    Check(&'a str),
}

impl Of<'_> {
    fn has(self, record: &Record) -> bool {
        match self {
            Self::Service(id) => record.id == id,
            Self::Check(id) => record.checks.iter().any(|check| check.id == id),
        }
    }
}

impl Index {
    fn keys(&self, of: Of<'_>) -> Vec<InstanceKey> {
        let keys = match of {
            Of::Service(id) => self.services.get(id),
            Of::Check(id) => self.checks.get(id),
        };
        keys.cloned().unwrap_or_default()
    }

    /// Notes what a record says.
    pub(super) fn add(&mut self, key: &InstanceKey, record: &Record) {
        let note = |keys: &mut HashMap<String, Vec<InstanceKey>>, id: &String| {
            let keys = keys.entry(id.clone()).or_default();
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        };
        note(&mut self.services, &record.id);
        for check in &record.checks {
            note(&mut self.checks, &check.id);
        }
    }
}

/// What is kept of a resident that registered in this language.
pub(super) fn record(resident: &Resident) -> Option<Record> {
    Record::of(resident.instance.foreign.as_ref())
}

/// Every instance that has the id of one that registers now. What has
/// registered elsewhere within a moment may be missed: most ids are of nobody,
/// and to look through all for each would make many that come at once wait.
pub(super) fn before(call: &Call, of: Of<'_>) -> Vec<(Resident, Record)> {
    if call.front.index().made.is_some_and(|made| made.elapsed() < FRESH) {
        return believed(call, call.front.index().keys(of), of);
    }
    all(call, of)
}

/// Every instance that has the id, with what is kept of it.
fn all(call: &Call, of: Of<'_>) -> Vec<(Resident, Record)> {
    let found = believed(call, call.front.index().keys(of), of);
    let last = call.control().last_event();
    if !found.is_empty() || call.front.index().made_at == Some(last) {
        return found;
    }
    let made = Some(Instant::now());
    let mut index = Index { made_at: Some(last), made, ..Index::default() };
    for resident in call.control().residents(Extent::Registered) {
        if let Some(record) = record(&resident) {
            index.add(&resident.instance.key(), &record);
        }
    }
    let keys = index.keys(of);
    *call.front.index() = index;
    believed(call, keys, of)
}

/// The instance that the caller means: its own, else the only one.
pub(super) fn one(call: &Call, of: Of<'_>) -> Option<(Resident, Record)> {
    let mut found = all(call, of);
    let node = call.node();
    let own = found.iter().position(|(_, record)| record.node == node);
    match (own, found.len()) {
        (Some(own), _) => Some(found.swap_remove(own)),
        (None, 1) => found.pop(),
        _ => None,
    }
}

fn believed(call: &Call, keys: Vec<InstanceKey>, of: Of<'_>) -> Vec<(Resident, Record)> {
    let found = keys.iter().filter_map(|key| {
        let resident = call.registered(key)?;
        let record = record(&resident).filter(|record| of.has(record))?;
        Some((resident, record))
    });
    found.collect()
}
