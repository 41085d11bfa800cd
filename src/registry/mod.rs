//! The embedded registry: leases and the durable store.

mod settings;

pub use settings::RegistrySettings;
