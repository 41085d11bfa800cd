//! The admin address: native API, authorisation, metrics and probes of our own.
//!
//! A request goes through `router`'s gate (is it meant for us, who asks, may
//! they), then to the handler that `calls` names, which puts the question to
//! the control plane and answers with a view of it. Changes go on when the
//! caller hangs up, and each leaves a line in the `audit` log.

mod attempts;
mod audit;
mod auth;
mod calls;
mod change;
mod configuration;
mod etag;
mod events;
mod explain;
mod index;
mod instances;
mod openapi;
mod probes;
mod problem;
mod registration;
mod request;
mod router;
mod same_origin;
mod serve;
mod services;
mod settings;
mod sources;
mod state;
mod succession;
#[cfg(test)]
mod tests;

pub use audit::AuditLog;
pub use probes::{ChecksView, ReadyView};
pub use problem::{FaultView, ProblemView, TYPE_PREFIX};
pub use registration::RegistrationBody;
pub use serve::serve;
pub use settings::{AdminSettings, Scope, TokenSettings};
pub use state::AdminState;
pub use succession::{Pause, Relay, RelayedCall, Succession};
