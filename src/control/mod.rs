//! The control plane: the catalog, the reconciler that is its only writer, and
//! what the admin API shows of both.

pub mod handle;
pub mod view;
