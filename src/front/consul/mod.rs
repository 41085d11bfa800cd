//! The API of a Consul agent, as far as services need it that register there.

use http::Method;

use super::{
    call::Call,
    refusal::{Answer, Refusal},
};
use crate::telemetry::FrontCall;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Leader,
}

impl Asked {
    pub(super) fn of(_: &Method, _: &[&str]) -> Result<Self, Refusal> {
        Err(Refusal::elsewhere("not here"))
    }

    pub(super) const fn call(&self) -> FrontCall {
        FrontCall::Read
    }
}

pub(super) async fn answer(_: Asked, _: &Call, _: &[u8]) -> Answer {
    Err(Refusal::elsewhere("not here"))
}
