//! The TCP probe: a connection that can be opened. It says that somebody
//! listens there, not who.

use super::{
    Target,
    dial::{Deadline, Dialer},
    failure::Failure,
};
use crate::model::AddressGuard;

/// Opens a connection and closes it.
pub(super) async fn probe(
    dialer: &Dialer,
    target: &Target,
    guard: &AddressGuard,
    deadline: Deadline,
) -> Result<String, Failure> {
    dialer.dial(target, guard, deadline).await?;
    Ok("connect: accepted".to_owned())
}
