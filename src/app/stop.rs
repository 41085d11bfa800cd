//! The end: readiness goes first, then new connections, then what is in flight,
//! each in its time. A second signal cuts it short.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Ended, Running, handover::Heir, signals::Signals};
use crate::worker::{Command, Worker};

/// How often it is looked whether the workers have ended.
const POLL: Duration = Duration::from_millis(20);

/// How long what is left of the admin address and of fronts may take.
const ADMIN: Duration = Duration::from_secs(1);

/// When what is in flight is cut.
struct Deadline {
    at: Instant,
    /// What the first signal that comes leaves of it; at the second, or if
    /// this is none, nothing is left.
    after_signal: Option<Duration>,
}

impl Running {
    /// Lets requests in flight finish, for as long as the config allows, then
    /// ends. Blocks.
    pub fn stop(self) {
        self.drain(Signals::none());
    }

    /// As [`Self::stop`], until one of `signals` says to stop at once.
    pub(super) fn drain(mut self, mut signals: Signals) -> Ended {
        let ended = self.in_context(async |running| {
            running.control.begin_shutdown();
            running.notifier.stopping();
            running.keeping.abort();
            let loaded = running.control.loaded();
            let delay = loaded.config.shutdown_delay.into();
            tokio::select! {
                () = sleep(delay) => {}
                signal = signals.stop() => {
                    running.abort().await;
                    return Ended::Cut(signal);
                }
            }
            // With it go the copies of the sockets, which would keep them open.
            if !running.changes.is_finished() {
                running.changes.abort();
                let _ = (&mut running.changes).await;
            }
            running.tell_all(|| Command::Stop);
            let patience: Duration = loaded.config.shutdown_timeout.into();
            let deadline = Deadline { at: Instant::now() + patience, after_signal: None };
            running.until_ended(deadline, &mut signals).await
        });
        self.end(ADMIN);
        ended
    }

    /// Lets what is in flight finish while another process serves.
    pub(super) fn leave_to(mut self, heir: Heir, mut signals: Signals) -> Ended {
        self.notifications.abort();
        // Names are the heir's from here on.
        self.keeping.abort();
        self.admin_stop.cancel();
        let config = self.control.loaded();
        let patience: Duration = config.config.upgrade_timeout.into();
        let at = Instant::from_std(std::time::Instant::now() + patience);
        let ended = self.in_context(async |running| {
            let after_signal = Some(config.config.shutdown_timeout.into());
            let mut deadline = Deadline { at, after_signal };
            if heir.stops() {
                deadline.signalled();
            }
            // The one before may still pass on connections; they only pass
            // through here.
            if let Some(before) = &mut running.predecessor {
                tokio::select! {
                    _ = timeout_at(deadline.at, before) => {}
                    _ = signals.stop() => deadline.signalled(),
                }
            }
            running.tell_all(|| Command::Stop);
            let ended = running.until_ended(deadline, &mut signals).await;
            heir.all_moved(ADMIN).await;
            ended
        });
        let left = at.saturating_duration_since(Instant::now());
        self.end(if ended == Ended::Drained { left.max(ADMIN) } else { ADMIN });
        ended
    }

    fn in_context<T>(&mut self, work: impl AsyncFnOnce(&mut Self) -> T) -> T {
        let handle = self.runtime.handle().clone();
        handle.block_on(work(self))
    }

    async fn until_ended(&self, mut deadline: Deadline, signals: &mut Signals) -> Ended {
        while !self.have_ended() {
            if Instant::now() >= deadline.at {
                let in_flight = self.control.status().ledger.in_flight;
                tracing::warn!(in_flight, "cutting what is still in flight");
                self.abort().await;
                break;
            }
            tokio::select! {
                () = sleep(POLL) => {}
                signal = signals.stop() => {
                    if deadline.after_signal.is_none() {
                        tracing::warn!("told again: cutting what is still in flight");
                        self.abort().await;
                        return Ended::Cut(signal);
                    }
                    deadline.signalled();
                }
            }
        }
        Ended::Drained
    }

    async fn abort(&self) {
        self.tell_all(|| Command::Abort);
        while !self.have_ended() {
            sleep(POLL).await;
        }
    }

    fn have_ended(&self) -> bool {
        self.workers.iter().all(Worker::is_finished)
    }

    /// Ends what is left once the workers have; calls under way have `patience`.
    fn end(self, patience: Duration) {
        self.admin_stop.cancel();
        self.runtime.block_on(async {
            self.front_tasks.close();
            let ended = async { tokio::join!(self.admin_task, self.front_tasks.wait()) };
            let _ = timeout(patience, ended).await;
            self.registry.close().await;
        });
        self.access_log.flush(Duration::from_secs(2));
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        tracing::info!("stopped");
    }

    fn tell_all(&self, command: impl Fn() -> Command) {
        for worker in &*self.workers {
            worker.tell(command());
        }
    }
}

impl Deadline {
    fn signalled(&mut self) {
        let left = self.after_signal.take().unwrap_or_default();
        self.at = self.at.min(Instant::now() + left);
    }
}
