//! Whether etcd is followed.

use tokio::time::Instant;

use super::Inner;
use crate::{etcd::Error, registry::StoreFault};

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) connected: bool,
    /// Whether anything was ever read.
    pub(super) listed: bool,
    /// Since when it is away, and why.
    pub(super) fault: Option<(StoreFault, Instant)>,
}

impl Inner {
    pub(super) fn is_connected(&self) -> bool {
        self.state.borrow().connected
    }

    /// Whether something may have been missed, and whether nothing was read
    /// yet.
    pub(super) fn is_behind(&self) -> (bool, bool) {
        let state = self.state.borrow();
        (!state.connected, !state.listed)
    }

    /// etcd is followed.
    pub(super) fn found(&self) {
        let before = self.state.send_replace(State { connected: true, listed: true, fault: None });
        if let Some((_, since)) = before.fault {
            tracing::info!(after = ?since.elapsed(), "the registry in etcd is back");
        }
        self.pulse.send_replace(());
        self.stocked.send_replace(());
    }

    pub(super) fn lost(&self, fault: StoreFault) {
        self.state.send_modify(|state| {
            let since = match &state.fault {
                Some((_, since)) => *since,
                None => {
                    tracing::warn!(%fault, "the registry in etcd is out of reach");
                    Instant::now()
                }
            };
            if std::mem::replace(&mut state.connected, false) {
                self.stocked.send_replace(());
            }
            state.fault = Some((fault, since));
        });
        self.pulse.send_replace(());
    }
}

pub(super) fn away(error: &Error) -> StoreFault {
    StoreFault::Away { text: error.to_string() }
}
