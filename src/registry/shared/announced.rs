//! What was heard from etcd, and telling it on in the same order.

use std::sync::{MutexGuard, PoisonError};

use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{Inner, fleet::Fleet, mirror::Mirror, progress::Progress, shelf::Shelf};
use crate::{
    etcd::{Error, Listing},
    registry::RegistryEvent,
};

pub(super) struct Announced {
    pub(super) mirror: Mirror,
    pub(super) fleet: Fleet,
    pub(super) shelf: Shelf,
    pub(super) events: UnboundedSender<RegistryEvent>,
}

impl Inner {
    pub(super) fn announced(&self) -> MutexGuard<'_, Announced> {
        // Nothing is left half done by a panic that the next list would not
        // mend.
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the mirror, and tells what comes of it in the same order.
    pub(super) fn change(&self, change: impl FnOnce(&mut Mirror, &mut Vec<RegistryEvent>)) {
        let mut announced = self.announced();
        let mut out = Vec::new();
        change(&mut announced.mirror, &mut out);
        for event in out {
            // Nobody listening is not an error.
            drop(announced.events.send(event));
        }
    }

    /// Changes what is known of other proxies. Only after [`Self::change`]: who
    /// hears an ask must have heard what it is about.
    pub(super) fn meet(&self, change: impl FnOnce(&mut Fleet)) {
        change(&mut self.announced().fleet);
        self.pulse.send_replace(());
    }

    /// Changes what is known of the shelf, if it does.
    pub(super) fn stock(&self, change: impl FnOnce(&mut Shelf) -> bool) {
        if change(&mut self.announced().shelf) {
            self.stocked.send_replace(());
        }
    }

    /// A member that is silent may be silent to the watch too.
    pub(super) fn doubts(&self, error: &Error) {
        if matches!(error, Error::TimedOut { .. }) {
            self.doubt.notify_one();
        }
    }

    pub(super) fn accepts(&self, listing: &Listing) -> bool {
        self.announced().mirror.accepts(listing)
    }

    /// Never back: a watch that is slower than a list says less.
    pub(super) fn advance(&self, revision: i64) {
        self.heard.send_modify(|heard| *heard = revision.max(*heard));
        self.progress().confirm(revision);
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// etcd says that it is at `revision`.
    pub(super) fn is_at(&self, revision: i64) {
        let mut progress = self.progress();
        progress.is_at(revision, Instant::now());
        if progress.behind(Instant::now()).is_some() {
            self.lagging.notify_one();
        }
    }
}
