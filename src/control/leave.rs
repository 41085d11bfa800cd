//! Leaving: an instance gets nothing new, finishes what it has, and whoever
//! asked learns when it is safe to exit, and how what was in flight ended.

use std::time::Duration;

use tokio::sync::SemaphorePermit;

use super::{Control, ControlError, departing::Departing, fellows, view::LeavingView};
use crate::{
    model::{Ended, InstanceKey},
    registry::{Caller, RegistryError, Until},
};

/// An instance that has begun to leave, on disk too. What is left is to wait.
#[derive(Debug)]
#[must_use]
pub struct Leave<'a> {
    control: &'a Control,
    key: InstanceKey,
    /// Which registration of it; of any, if none.
    generation: Option<u64>,
    /// Whether it was there.
    found: bool,
    wait: Option<Duration>,
    _place: Option<SemaphorePermit<'a>>,
}

impl Control {
    /// Lets an instance, of `generation` or of whichever there is, finish what
    /// it has and gives it nothing new. One whose place another has taken is
    /// leaving already.
    ///
    /// # Errors
    ///
    /// Says why it was not.
    pub async fn drain(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
        wait: Option<Duration>,
    ) -> Result<Leave<'_>, ControlError> {
        let place = self.place_to_wait(wait)?;
        let drained = match self.registry.drain(key, generation, caller).await {
            Err(RegistryError::Replaced { .. }) => generation,
            drained => Some(drained?),
        };
        Ok(self.leave(key, drained, true, wait, place))
    }

    /// Removes an instance, of `generation` or of whichever there is; it
    /// finishes what it has. Repeating it is fine, and waits for what the first
    /// one left behind.
    ///
    /// # Errors
    ///
    /// Says why it was not.
    pub async fn deregister(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        caller: &Caller,
        wait: Option<Duration>,
    ) -> Result<Leave<'_>, ControlError> {
        let place = self.place_to_wait(wait)?;
        let removed = self.registry.deregister(key, generation, caller).await?;
        Ok(self.leave(key, removed.or(generation), removed.is_some(), wait, place))
    }

    fn leave<'a>(
        &'a self,
        key: &InstanceKey,
        generation: Option<u64>,
        found: bool,
        wait: Option<Duration>,
        place: Option<SemaphorePermit<'a>>,
    ) -> Leave<'a> {
        Leave { control: self, key: key.clone(), generation, found, wait, _place: place }
    }
}

impl Leave<'_> {
    /// Waits, for as long as was asked for, until no worker can pick the
    /// instance any more, then until nothing is in flight on it; here and in
    /// all other proxies that share the registry.
    pub async fn end(self) -> LeavingView {
        let Self { control, key, generation, found, wait, .. } = self;
        let departing = Departing::begin(control, &key, generation).await;
        let others = control.everywhere(&key, generation, Until::Drained);
        let waited = match wait {
            // Nobody is asked.
            None => control.patiently(Duration::ZERO, departing.gone(control)).await.is_some(),
            Some(patience) => {
                let both = async { tokio::join!(departing.gone(control), others.confirmed()) };
                control.patiently(patience, both).await.is_some()
            }
        };
        if waited {
            // Its departure can be read by the time that this is.
            control.settle().await;
        }
        let there = others.answers();
        let (unconfirmed, _) = fellows::unconfirmed(&there);
        let here = if waited { 0 } else { departing.in_flight(control) };
        let Ended { completed, client_gone, moved, lost } =
            departing.ended(control).and(there.ended);
        LeavingView {
            drained: waited && unconfirmed.is_empty(),
            in_flight: here.saturating_add(there.in_flight),
            completed,
            client_gone,
            retried: moved,
            cut: lost,
            version: departing.version,
            found,
            unconfirmed,
        }
    }
}
