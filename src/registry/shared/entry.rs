//! One registration as this proxy has heard of it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::schema::Record;
use crate::{model::InstanceKey, registry::Registration};

/// One registration.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) registration: Registration,
    /// The revision in which it was last written; 0 if it is not in etcd.
    pub(super) seen: i64,
    /// Its lease in etcd; 0 if it has none.
    pub(super) lease: i64,
    /// Whether a heartbeat has come, to any proxy.
    pub(super) renewed: bool,
    /// Whether etcd says so.
    pub(super) noted: bool,
    /// The last heartbeat that came here.
    pub(super) heard: Option<Instant>,
    /// The last one that etcd was told of.
    pub(super) passed: Option<Instant>,
    pub(super) standing: Standing,
    /// What a newer version has said of it, see [`Record`].
    pub(super) newer: Option<Arc<Value>>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Held,
    /// Not in etcd any more, and not given up: it comes back, or it has until
    /// then to send a heartbeat.
    Missing {
        until: Instant,
    },
    /// Its lease is over; the record is kept until then.
    Expired {
        until: Instant,
    },
}

impl Entry {
    /// What is to be written of it.
    pub(super) fn record(&self) -> Record {
        Record { newer: self.newer.clone(), ..Record::of(&self.registration, self.renewed) }
    }

    pub(super) fn ttl(&self) -> Option<Duration> {
        self.registration.instance.ttl.map(Duration::from)
    }

    /// Whether a heartbeat came here that still counts.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        let ttl = self.ttl();
        self.heard.zip(ttl).is_some_and(|(heard, ttl)| now.saturating_duration_since(heard) < ttl)
    }
}

/// What etcd is to be told.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// That a lease goes on.
    Renew { key: InstanceKey, lease: i64 },
    /// That a heartbeat has come, where it is not known yet, or all of a
    /// registration that it has lost.
    Write(Box<Entry>),
    /// All of a registration that was accepted without it.
    Replay(Box<Entry>),
}
