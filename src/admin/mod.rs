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
pub(crate) mod same_origin;
mod serve;
mod services;
mod settings;
mod sources;
mod state;
mod succession;
#[cfg(test)]
mod tests;

pub(crate) use attempts::FailedAttempts;
pub(crate) use audit::AuditEntry;
pub use audit::AuditLog;
pub(crate) use auth::{Identity, Reach, Unknown, bearer, identify};
pub use probes::{ChecksView, ReadyView};
pub use problem::{FaultView, ProblemView, TYPE_PREFIX};
pub(crate) use problem::{Kind, Problem};
pub use registration::RegistrationBody;
pub(crate) use request::{MAX_BODY, read};
pub(crate) use serve::Desk;
pub use serve::serve;
pub use settings::{AdminSettings, Scope, TokenSettings};
pub use state::AdminState;
pub(crate) use state::Connection;
pub use succession::{Pause, Relay, RelayedCall, Succession};
pub(crate) use succession::{Place, pass_on};
