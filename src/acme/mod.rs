//! Certificates from a CA that speaks ACME (RFC 8555): an account, an order
//! for each name of a listener, and its renewal in time.
//!
//! Certificates end up as files, which listeners take over like any other that
//! changes; a name whose order fails keeps the certificate that it has. What
//! proves a name is answered by the data plane, from `tls::Proofs`.
//!
//! Proxies that share a registry share all of it, through what `storage.rs`
//! asks for: `record.rs` is what stands there, `sharing.rs` what is taken from
//! there and put there, `showing.rs` how all of them show a proof.

mod account;
mod keeper;
mod name;
mod order;
mod problem;
mod record;
mod schedule;
mod settings;
mod sharing;
mod showing;
mod standing;
mod storage;

pub use keeper::{Wanted, keep};
pub use settings::{AcmeSettings, Challenge, ExternalAccount};
pub use standing::{News, Standing};
pub use storage::{Soon, Storage, Turn};
