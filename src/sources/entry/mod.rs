//! Entries of a tree of keys: what etcd and ZooKeeper have, and what is made
//! of it.
//!
//! Where an entry stands says of which service it is ([`Template`]), what it
//! holds says where the instance listens ([`Fields`] for those whose form is
//! their own), [`Held`] knows which instances a change of one entry changes,
//! and [`Telling`] tells it. Reading is the business of the drivers.

mod fields;
mod held;
mod telling;
mod template;

use self::held::Held;
pub use self::{
    fields::{Fields, Pointer},
    template::{ParseTemplateError, Template},
};
pub(super) use self::{telling::Telling, template::Place};

/// Bytes of one entry that are read.
pub(super) const LARGEST: usize = 64 << 10;

/// What `value` is as JSON.
pub(super) fn json(value: &[u8]) -> Result<serde_json::Value, String> {
    serde_json::from_slice(value).map_err(|error| format!("it is not JSON: {error}"))
}
