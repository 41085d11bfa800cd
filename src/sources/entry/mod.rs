//! Entries of a tree of keys: what etcd and ZooKeeper have, and what is made
//! of it.
//!
//! Where an entry stands says of which service it is ([`Template`]), what it
//! holds says where the instance listens ([`Fields`] for those whose form is
//! their own), and [`Held`] tells which instances a change of one entry
//! changes. All of it is pure; reading is the business of the drivers.

mod fields;
mod held;
mod template;

pub use self::{
    fields::{Fields, Pointer},
    template::{ParseTemplateError, Template},
};
pub(super) use self::{held::Held, template::Place};

/// Bytes of one entry that are read.
pub(super) const LARGEST: usize = 64 << 10;

/// What `value` is as JSON.
pub(super) fn json(value: &[u8]) -> Result<serde_json::Value, String> {
    serde_json::from_slice(value).map_err(|error| format!("it is not JSON: {error}"))
}
