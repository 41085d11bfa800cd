//! The embedded registry: who registered, until when, and the store that
//! remembers it.
//!
//! Two halves with one owner each. The *ledger* (what is registered) belongs
//! to the writer thread, which decides, commits and publishes in one order,
//! so that what an operation was checked against is what it was written on.
//! The *leases* (until when) are in memory only and are shared with whoever
//! brings a heartbeat; they never touch the disk.
//!
//! The promise: what was answered with `Ok` is on disk, and an event is sent
//! only for what is. Nothing here knows of probes, routes or HTTP.

mod awake;
mod error;
mod event;
mod expiry;
mod folder;
mod handle;
mod lease;
mod ledger;
mod limits;
mod live;
mod registration;
mod settings;
mod store;
mod suspended;
mod writer;

pub use error::{OpenError, RegistryError, StoreFault, StoreState};
pub use event::{RegistryEvent, Removal};
pub use handle::{Opened, Registry};
pub use lease::{InheritedLease, Standing};
pub use registration::{Caller, Registered, Registration, Renewed};
pub use settings::RegistrySettings;
pub use suspended::Suspended;

#[cfg(test)]
mod tests;
