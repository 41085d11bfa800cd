//! Certificates from a CA that speaks ACME (RFC 8555): an account, an order
//! for each name of a listener, and its renewal in time.
//!
//! Certificates end up as files, which listeners take over like any other that
//! changes; a name whose order fails keeps the certificate that it has. What
//! proves a name is answered by the data plane, from `tls::Proofs`.

mod account;
mod keeper;
mod name;
mod order;
mod problem;
mod schedule;
mod settings;
mod sole;
mod standing;

pub use keeper::{Wanted, keep};
pub use settings::{AcmeSettings, Challenge, ExternalAccount};
pub use sole::{Sole, SoleIssuer, Turn};
pub use standing::{News, Standing};
