//! The admin address: native API, authorisation, metrics and probes of our own.

mod settings;

pub use settings::{AdminSettings, Scope, TokenSettings};
