//! Leaving: an instance gets nothing new, finishes what it has, and whoever
//! asked learns when it is safe to exit, and how what was in flight ended.

use std::time::Duration;

use tokio::time::sleep;

use super::{Control, ControlError, catalog::Leaving, view::LeavingView};
use crate::{
    model::{Ended, InstanceKey},
    registry::Caller,
};

/// How often a drain looks whether anything is still in flight.
const DRAIN_POLL: Duration = Duration::from_millis(10);

impl Control {
    /// Lets an instance finish what it has and gives it nothing new.
    ///
    /// # Errors
    ///
    /// Says why it was not.
    pub async fn drain(
        &self,
        key: &InstanceKey,
        caller: &Caller,
        wait: Option<Duration>,
    ) -> Result<LeavingView, ControlError> {
        let _place = self.place_to_wait(wait)?;
        let generation = self.registry.drain(key, caller).await?;
        Ok(self.left(key, Some(generation), wait).await)
    }

    /// Removes an instance; it finishes what it has. Repeating it is fine, and
    /// waits for what the first one left behind.
    ///
    /// # Errors
    ///
    /// Says why it was not.
    pub async fn deregister(
        &self,
        key: &InstanceKey,
        caller: &Caller,
        wait: Option<Duration>,
    ) -> Result<LeavingView, ControlError> {
        let _place = self.place_to_wait(wait)?;
        let generation = self.registry.deregister(key, caller).await?;
        let view = self.left(key, generation, wait).await;
        Ok(LeavingView { found: generation.is_some(), ..view })
    }

    /// Waits until no worker can pick `key` any more, then until nothing is in
    /// flight on it; `generation` alone counts if there is one.
    async fn left(
        &self,
        key: &InstanceKey,
        generation: Option<u64>,
        wait: Option<Duration>,
    ) -> LeavingView {
        let version = self.settle().await;
        let (leaving, past) = {
            let catalog = self.shared.catalog();
            (catalog.leaving(key, generation), catalog.departed(key, generation))
        };
        let before = &self.shared.predecessor;
        let told = before.tell(key, generation);
        let in_flight = || {
            let here = leaving.iter().map(|leaving| leaving.endpoint.in_flight()).sum::<u32>();
            here + before.in_flight(key, generation)
        };
        let drained = async {
            // Only now is a count of zero the last word: see `routing::publish`.
            self.watcher.wait_for(version).await;
            before.seen(told).await;
            while in_flight() > 0 {
                sleep(DRAIN_POLL).await;
            }
        };
        let drained = self.patiently(wait.unwrap_or_default(), drained).await.is_some();
        let in_flight = if drained { 0 } else { in_flight() };
        // What is not on the list any more has left and has nothing in flight.
        let ended = match leaving[..] {
            [] => past.unwrap_or_default(),
            _ => leaving.iter().map(Leaving::ended).fold(Ended::default(), Ended::and),
        };
        let Ended { completed, moved, lost } = ended.and(before.ended(key, generation));
        LeavingView {
            drained,
            in_flight,
            completed,
            retried: moved,
            cut: lost,
            version,
            found: true,
        }
    }
}
