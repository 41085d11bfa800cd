//! What the registry tells the control plane.
//!
//! Events come in the order of the store and only for what is durable there.

use super::Registration;
use crate::model::InstanceKey;

/// Something that happened in the registry.
#[expect(
    clippy::large_enum_variant,
    reason = "when many are queued, nearly all of them are the large one"
)]
#[derive(Clone, Debug)]
pub enum RegistryEvent {
    /// An instance was registered, restored or edited. A higher generation
    /// than before replaces its predecessor, which gets no `Removed`.
    Upserted {
        /// As it now stands.
        registration: Registration,
        /// Whether it was read from the store at the start.
        restored: bool,
    },
    /// An instance is leaving.
    Draining {
        /// Which instance.
        key: InstanceKey,
        /// Which registration of it.
        generation: u64,
    },
    /// An instance is gone.
    Removed {
        /// Which instance.
        key: InstanceKey,
        /// Which registration of it.
        generation: u64,
        /// Why.
        why: Removal,
    },
    /// The first heartbeat since the registration or restart, or a sign of
    /// life after the lease expired.
    LeaseRenewed {
        /// Which instance.
        key: InstanceKey,
        /// Which registration of it.
        generation: u64,
    },
    /// The lease ran out. The record stays for `forget_after`.
    LeaseExpired {
        /// Which instance.
        key: InstanceKey,
        /// Which registration of it.
        generation: u64,
    },
}

/// Why an instance was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its registrant, or an admin, said so.
    Deregistered,
    /// Its lease expired and `forget_after` passed.
    Forgotten,
    /// It has no lease and failed its probes longer than `deregister_after`.
    GaveUp,
}
