//! Leaving: an instance gets nothing new, finishes what it has, and whoever
//! asked learns when it is safe to exit, and how what was in flight ended.

use std::time::Duration;

use tokio::{sync::SemaphorePermit, time::sleep};

use super::{Control, ControlError, catalog::Leaving, view::LeavingView};
use crate::{
    model::{Ended, InstanceKey},
    registry::{Caller, RegistryError},
};

/// How often a drain looks whether anything is still in flight.
const DRAIN_POLL: Duration = Duration::from_millis(10);

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
    /// instance any more, then until nothing is in flight on it.
    pub async fn end(self) -> LeavingView {
        let Self { control, key, generation, found, wait, .. } = self;
        let version = control.settle().await;
        let (leaving, past) = {
            let catalog = control.shared.catalog();
            (catalog.leaving(&key, generation), catalog.departures.ended(&key, generation))
        };
        let before = &control.shared.predecessor;
        let told = before.tell(&key, generation);
        let in_flight = || {
            let here = leaving.iter().map(|leaving| leaving.endpoint.in_flight()).sum::<u32>();
            here + before.in_flight(&key, generation)
        };
        let drained = async {
            // Only now is a count of zero the last word: see `routing::publish`.
            control.watcher.wait_for(version).await;
            before.seen(told).await;
            while in_flight() > 0 {
                sleep(DRAIN_POLL).await;
            }
        };
        let drained = control.patiently(wait.unwrap_or_default(), drained).await.is_some();
        if drained {
            // Its departure can be read by the time that this is.
            control.settle().await;
        }
        let in_flight = if drained { 0 } else { in_flight() };
        // What is not on the list any more has left and has nothing in flight.
        let ended = match leaving[..] {
            [] => past.unwrap_or_default(),
            _ => leaving.iter().map(Leaving::ended).fold(Ended::default(), Ended::and),
        };
        let Ended { completed, client_gone, moved, lost } =
            ended.and(before.ended(&key, generation));
        LeavingView {
            drained,
            in_flight,
            completed,
            client_gone,
            retried: moved,
            cut: lost,
            version,
            found,
        }
    }
}
