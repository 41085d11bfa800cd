//! What is registered, and what an operation makes of it.
//!
//! Pure and without a clock. The writer thread owns the only ledger; it applies
//! a batch of operations in order, writes what changed, and then either keeps
//! the batch or undoes it. So each operation is checked against exactly what
//! the ones before it left, and nothing is believed that is not on disk.

use std::collections::HashMap;

use super::{
    Caller, Registration, RegistryError, RegistrySettings, Removal,
    judge::{self, Verdict},
};
use crate::model::{Instance, InstanceKey, ServiceName};

/// Something to do to one instance.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Register {
        instance: Box<Instance>,
        caller: Caller,
    },
    /// Of `generation`, or of whichever there is.
    Drain {
        key: InstanceKey,
        generation: Option<u64>,
        caller: Caller,
    },
    /// As [`Self::Drain`].
    Deregister {
        key: InstanceKey,
        generation: Option<u64>,
        caller: Caller,
    },
    /// Asked for by the proxy itself; only if that generation is still there.
    Remove {
        key: InstanceKey,
        generation: u64,
        why: Removal,
    },
}

impl Operation {
    /// What it is about.
    pub(super) fn key(&self) -> InstanceKey {
        match self {
            Self::Register { instance, .. } => instance.key(),
            Self::Drain { key, .. } | Self::Deregister { key, .. } | Self::Remove { key, .. } => {
                key.clone()
            }
        }
    }
}

/// What an operation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    /// The same process, described anew.
    Updated,
    /// A new process under an old id.
    Replaced,
    Draining,
    Removed(Removal),
}

/// What an operation came to: the registration it was about, as it now is or
/// last was, and what changed, if anything.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) registration: Registration,
    pub(super) change: Option<Change>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    registrations: HashMap<InstanceKey, Registration>,
    services: HashMap<ServiceName, u32>,
    last_generation: u64,
    max_services: u32,
    max_instances: u32,
    undo: Vec<(InstanceKey, Option<Registration>)>,
}

impl Ledger {
    /// A ledger that holds what the store held. Limits do not apply to that.
    pub(super) fn restore(
        registrations: &[Registration],
        last_generation: u64,
        settings: &RegistrySettings,
    ) -> Self {
        let mut ledger = Self {
            registrations: HashMap::with_capacity(registrations.len()),
            services: HashMap::new(),
            last_generation,
            max_services: settings.max_services.into(),
            max_instances: settings.max_instances_per_service.into(),
            undo: Vec::new(),
        };
        for registration in registrations {
            ledger.set(registration.instance.key(), Some(registration.clone()));
        }
        ledger.keep();
        ledger
    }

    /// The highest generation given so far. It does not go back on an undo:
    /// a gap is harmless, a number used twice is not.
    pub(super) fn last_generation(&self) -> u64 {
        self.last_generation
    }

    /// How many instances are registered.
    pub(super) fn len(&self) -> usize {
        self.registrations.len()
    }

    /// Applies `operation`, until [`Self::undo`] or for good with
    /// [`Self::keep`].
    pub(super) fn apply(&mut self, operation: &Operation) -> Result<Outcome, RegistryError> {
        match operation {
            Operation::Register { instance, caller } => self.register(instance, caller),
            Operation::Drain { key, generation, caller } => {
                let mut registration = self.meant(key, *generation, caller)?.clone();
                let change = (!registration.draining).then_some(Change::Draining);
                if change.is_some() {
                    registration.draining = true;
                    self.set(key.clone(), Some(registration.clone()));
                }
                Ok(Outcome { registration, change })
            }
            Operation::Deregister { key, generation, caller } => {
                self.meant(key, *generation, caller)?;
                self.remove(key, Removal::Deregistered)
            }
            Operation::Remove { key, generation, why } => match self.registrations.get(key) {
                Some(registration) if registration.generation == *generation => {
                    self.remove(key, *why)
                }
                _ => Err(RegistryError::NotFound { key: key.clone() }),
            },
        }
    }

    /// Makes what was applied since the last call final.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes back what was applied since the last [`Self::keep`].
    pub(super) fn undo(&mut self) {
        let mut undo = std::mem::take(&mut self.undo);
        while let Some((key, before)) = undo.pop() {
            self.set(key, before);
        }
        self.undo.clear();
    }

    fn register(&mut self, new: &Instance, caller: &Caller) -> Result<Outcome, RegistryError> {
        let key = new.key();
        let old = self.registrations.get(&key);
        let verdict = judge::register(old, new, caller)?;
        match (verdict, old) {
            (Verdict::Entered { owner, generation, change }, _) => {
                if change == Change::Created {
                    self.check_room(&new.service)?;
                }
                Ok(self.enter(new, owner, generation, change))
            }
            (Verdict::Unchanged, Some(old)) => {
                Ok(Outcome { registration: old.clone(), change: None })
            }
            (Verdict::Unchanged, None) => Err(RegistryError::NotFound { key }),
        }
    }

    fn enter(
        &mut self,
        instance: &Instance,
        owner: Option<String>,
        generation: Option<u64>,
        change: Change,
    ) -> Outcome {
        let generation = generation.unwrap_or_else(|| {
            self.last_generation += 1;
            self.last_generation
        });
        let registration =
            Registration { instance: instance.clone(), generation, draining: false, owner };
        self.set(instance.key(), Some(registration.clone()));
        Outcome { registration, change: Some(change) }
    }

    fn remove(&mut self, key: &InstanceKey, why: Removal) -> Result<Outcome, RegistryError> {
        match self.set(key.clone(), None) {
            Some(registration) => Ok(Outcome { registration, change: Some(Change::Removed(why)) }),
            None => Err(RegistryError::NotFound { key: key.clone() }),
        }
    }

    /// The registration of `key`, if it is the caller's and of `generation`.
    fn meant(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
    ) -> Result<&Registration, RegistryError> {
        judge::meant(self.registrations.get(key), key, generation, caller)
    }

    fn check_room(&self, service: &ServiceName) -> Result<(), RegistryError> {
        let limit = self.max_instances;
        match self.services.get(service) {
            Some(count) if *count >= limit => {
                Err(RegistryError::TooManyInstances { service: service.clone(), limit })
            }
            None if self.services.len() >= self.max_services as usize => {
                Err(RegistryError::TooManyServices { limit: self.max_services })
            }
            _ => Ok(()),
        }
    }

    /// The only place where the maps change; remembers how to undo it.
    fn set(&mut self, key: InstanceKey, now: Option<Registration>) -> Option<Registration> {
        let is_there = now.is_some();
        let before = match now {
            Some(registration) => self.registrations.insert(key.clone(), registration),
            None => self.registrations.remove(&key),
        };
        match (before.is_some(), is_there) {
            (false, true) => *self.services.entry(key.service.clone()).or_default() += 1,
            (true, false) => {
                if let Some(count) = self.services.get_mut(&key.service) {
                    *count -= 1;
                    if *count == 0 {
                        self.services.remove(&key.service);
                    }
                }
            }
            _ => {}
        }
        self.undo.push((key, before.clone()));
        before
    }
}

#[cfg(test)]
mod tests;
