//! What the service manager is told (`sd_notify`): ready, reloading, stopping,
//! one line of status, that everything turns, and which process is the main
//! one.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{
    control::Control,
    worker::{Command, Worker},
};

/// How often readiness and status are looked at, without a watchdog.
const LOOK: Duration = Duration::from_millis(500);

/// How often the status line is made: that looks at every instance.
const STATUS: Duration = Duration::from_secs(2);

/// The way to the service manager. Without one nothing is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notifier {
    on: bool,
}

impl Notifier {
    /// To the service manager that started this process, if it wants to know.
    pub(super) fn from_environment() -> Self {
        Self { on: std::env::var_os("NOTIFY_SOCKET").is_some() }
    }

    /// To nobody.
    pub(super) const fn none() -> Self {
        Self { on: false }
    }

    fn tell(self, states: &[NotifyState<'_>]) {
        if self.on
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }

    /// The config file is being read again.
    pub(super) fn reloading(self) {
        if !self.on {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "there is no monotonic clock"),
        }
    }

    /// It has been read, or requests can be routed for the first time.
    pub(super) fn ready(self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The process drains and then ends.
    pub(super) fn stopping(self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    }

    /// Another process is the main one from now on.
    pub(super) fn main_process(self, id: u32) {
        self.tell(&[NotifyState::MainPid(id)]);
    }

    /// Tells of readiness and status, and that everything turns, for ever.
    pub(super) async fn keep(self, control: Control, workers: Arc<[Worker]>) {
        if !self.on {
            return;
        }
        let watchdog = sd_notify::watchdog_enabled();
        // Twice as often as asked for, as sd_notify(3) advises.
        let beat = watchdog.map_or(LOOK, |within| LOOK.min(within / 2));
        let mut looks = interval(beat);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ready, mut status, mut made) = (false, String::new(), None);
        loop {
            looks.tick().await;
            if !ready && control.waiting_for().is_empty() {
                ready = true;
                self.ready();
            }
            if made.is_none_or(|made: Instant| made.elapsed() >= STATUS) {
                made = Some(Instant::now());
                let now = control.summary();
                if now != status {
                    self.tell(&[NotifyState::Status(&now)]);
                    status = now;
                }
            }
            if watchdog.is_some() && turns(&control, &workers, beat).await {
                self.tell(&[NotifyState::Watchdog]);
            }
        }
    }
}

/// Whether the control loop and every worker answer within `patience`.
async fn turns(control: &Control, workers: &[Worker], patience: Duration) -> bool {
    let ask = |worker: &Worker| {
        let (turned, told) = oneshot::channel();
        worker.tell(Command::Turn(turned));
        told
    };
    let asked: Vec<_> = workers.iter().map(ask).collect();
    let all = async {
        control.turn().await;
        for told in asked {
            // A worker that is ending turns too, and does not answer.
            let _ = told.await;
        }
    };
    timeout(patience, all).await.is_ok()
}
