//! The lease task: finds out what has come due and says so.

use std::sync::Arc;

use tokio::{
    sync::mpsc::WeakUnboundedSender,
    time::{Instant, sleep},
};

use super::{
    RegistryEvent, Removal,
    awake::BEAT,
    lease::Due,
    ledger::Operation,
    live::Live,
    writer::{Command, Work},
};

/// Leases looked at under one lock: bounds how long a heartbeat waits when
/// very many come due at once.
const AT_ONCE: usize = 256;

/// Runs until the registry is closed.
pub(super) async fn run(live: Arc<Live>, queue: WeakUnboundedSender<Command>) {
    loop {
        let next = live.leases().leases.next_due(Instant::now());
        // The beat is kept even if nothing is due: its absence is how a stop
        // of the process is noticed.
        sleep(next.unwrap_or(BEAT).min(BEAT)).await;
        loop {
            let (forget, more) = expire(&live);
            let Some(queue) = queue.upgrade() else { return };
            for operation in forget {
                let work = Work { operation, answer: None, _place: None };
                if queue.send(Command::Apply(work)).is_err() {
                    return;
                }
            }
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Announces what has expired, and returns what is to be forgotten and
/// whether there is more to do.
fn expire(live: &Live) -> (Vec<Operation>, bool) {
    let mut live = live.leases();
    let (due, more) = live.leases.take_due(Instant::now(), AT_ONCE);
    let mut forget = Vec::new();
    for due in due {
        match due {
            Due::Expired { key, generation } => {
                live.announce(RegistryEvent::LeaseExpired { key, generation });
            }
            Due::Forget { key, generation } => {
                forget.push(Operation::Remove { key, generation, why: Removal::Forgotten });
            }
        }
    }
    let stopped = live.leases.take_stopped();
    if !stopped.is_zero() {
        tracing::warn!(?stopped, "this process was stopped; every lease got that time on top");
    }
    (forget, more)
}
