//! What becomes of one registration when somebody asks for something: the
//! rules that hold whoever keeps the registrations.
//!
//! Pure. Whether there is room for a new one is asked elsewhere.

use super::{Caller, Registration, RegistryError, ledger::Change};
use crate::model::{Instance, InstanceKey};

/// What a registration comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It says what was said before.
    Unchanged,
    /// It is to be entered.
    Entered {
        owner: Option<String>,
        /// That of the same process; none for a new one.
        generation: Option<u64>,
        change: Change,
    },
}

/// Judges the registration of `new` where `old` is registered.
pub(super) fn register(
    old: Option<&Registration>,
    new: &Instance,
    caller: &Caller,
) -> Result<Verdict, RegistryError> {
    let Some(old) = old else {
        let owner = caller.name().map(str::to_owned);
        return Ok(Verdict::Entered { owner, generation: None, change: Change::Created });
    };
    if !caller.may_touch(old.owner.as_deref()) {
        return Err(RegistryError::Owned { key: new.key() });
    }
    if !old.draining && old.instance == *new {
        return Ok(Verdict::Unchanged);
    }
    let same = !old.draining && old.instance.origin == new.origin;
    let (generation, change) = match same {
        true => (Some(old.generation), Change::Updated),
        false => (None, Change::Replaced),
    };
    Ok(Verdict::Entered { owner: old.owner.clone(), generation, change })
}

/// `found` under `key`, if it is the caller's and of `generation`.
pub(super) fn meant<'a>(
    found: Option<&'a Registration>,
    key: &InstanceKey,
    generation: Option<u64>,
    caller: &Caller,
) -> Result<&'a Registration, RegistryError> {
    let found = found.ok_or_else(|| RegistryError::NotFound { key: key.clone() })?;
    if !caller.may_touch(found.owner.as_deref()) {
        return Err(RegistryError::Owned { key: key.clone() });
    }
    match generation {
        Some(meant) if meant != found.generation => {
            Err(RegistryError::Replaced { key: key.clone(), generation: found.generation })
        }
        _ => Ok(found),
    }
}
