//! The registry: who registered, until when, and the store that remembers it,
//! or the etcd cluster that does for several proxies (`shared/`).
//!
//! The embedded one has two halves with one owner each. The *ledger* (what is registered) belongs
//! to the writer thread, which decides, commits and publishes in one order,
//! so that what an operation was checked against is what it was written on.
//! The *leases* (until when) are in memory only and are shared with whoever
//! brings a heartbeat; they never touch the disk.
//!
//! Beside both, snapshots of the store are made for the day when it is damaged,
//! and what a person may do with a store that no proxy runs on.
//!
//! The promise: what was answered with `Ok` is on disk, and an event is sent
//! only for what is. Nothing here knows of probes, routes or HTTP.

mod awake;
mod embedded;
mod error;
mod event;
mod expiry;
mod export;
mod fellows;
mod folder;
mod handle;
mod judge;
mod lease;
mod ledger;
mod limits;
mod live;
mod mark;
mod offline;
mod pace;
mod registration;
mod settings;
mod shared;
mod snapshot;
mod store;
mod suspended;
mod writer;

pub use error::{OpenError, RegistryError, StoreFault, StoreState};
pub use event::{RegistryEvent, Removal};
pub use export::{Export, ExportError};
pub use fellows::{Answer, Answers, Ask, FellowReport, FleetReport, Until};
pub use folder::write_whole;
pub use handle::{Opened, Registry, StoreReport};
pub use lease::{InheritedLease, LeaseStanding};
pub use limits::{Fault, Unfit, check};
pub use offline::{
    Imported, OfflineError, Restored, StoreSummary, Verification, export, export_readable, import,
    restore, verify,
};
pub use pace::CommitTimes;
pub use registration::{Caller, Registered, Registration, Renewed};
pub use settings::{Backend, EtcdBackendSettings, OnOutage, RegistrySettings};
pub use shared::{Asked, Fellows, SharedShelf, ShelfTurn, Shelved, Swap, carry};
pub use snapshot::{SnapshotError, SnapshotReport};
pub use suspended::Suspended;

#[cfg(test)]
mod tests;
