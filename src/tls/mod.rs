//! Certificates, keys and CAs: from the files that settings name to what
//! rustls speaks with. Sockets are the business of those who use it.
//!
//! What cannot be read or does not fit together is an error, and never a
//! reason to do with less.

mod automatic;
mod certificate;
mod client;
mod connectors;
pub mod dev;
mod error;
mod names;
mod proofs;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwapOption;

pub use automatic::{Automatic, examine, inspect};
pub use certificate::{Facts, of_client};
pub use client::{Connector, is_about_certificate, refuses_protocol, words};
pub use connectors::Connectors;
pub use error::TlsError;
pub use proofs::{Proof, Proofs};
pub use server::ServerTls;

/// What a listener speaks TLS with at the moment, if it does.
pub type SharedServerTls = Arc<ArcSwapOption<ServerTls>>;
