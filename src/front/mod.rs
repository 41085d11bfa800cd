//! Fronts: addresses that answer clients of other registries as their own
//! would, so that services register here without a change to their code.
//!
//! `router` takes a call to the language it is of, `call` finds out who asks
//! and what they may do; each language is a folder that turns what its clients
//! say into registrations of the one registry and back. Nothing is kept here:
//! what a language has and an instance has no place for is written down with
//! the registration ([`crate::model::Foreign`]), so that a restart loses none
//! of it.

mod call;
mod consul;
mod eureka;
mod refusal;
mod router;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use settings::FrontSettings;
pub use state::FrontState;
