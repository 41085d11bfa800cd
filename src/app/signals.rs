//! Signals: HUP reloads, USR1 opens the logs anew, USR2 starts the program anew
//! and hands over to it, INT, TERM and QUIT stop, a second one at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{control::Control, telemetry::AccessLog};

/// A signal that says to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM, or SIGQUIT, which means the same here.
    Terminate,
}

/// The signals that this process takes, from the moment this is made.
#[derive(Debug)]
pub(super) struct Signals {
    handlers: Option<Handlers>,
}

#[derive(Debug)]
struct Handlers {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hangup: Signal,
    reopen: Signal,
    upgrade: Signal,
}

/// A file that may not grow any more (RLIMIT_FSIZE) is to be an error of that
/// one write, and not the end of the process, which is what SIGXFSZ does by
/// default. On a runtime only.
pub(super) fn survive_file_size_limit() {
    /// The same number on every Linux but MIPS.
    const SIGXFSZ: i32 = 25;
    // The handler stays when what it tells is not listened to.
    if let Err(error) = signal(SignalKind::from_raw(SIGXFSZ)) {
        tracing::warn!(%error, "a file that may not grow will end this process");
    }
}

impl Signals {
    /// Takes signals from now on. On a runtime only.
    pub(super) fn taken() -> Self {
        let handlers = || -> std::io::Result<Handlers> {
            Ok(Handlers {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                quit: signal(SignalKind::quit())?,
                hangup: signal(SignalKind::hangup())?,
                reopen: signal(SignalKind::user_defined1())?,
                upgrade: signal(SignalKind::user_defined2())?,
            })
        };
        let handlers = handlers().inspect_err(|error| {
            tracing::error!(%error, "signals cannot be handled; the default actions apply");
        });
        Self { handlers: handlers.ok() }
    }

    /// Takes none.
    pub(super) const fn none() -> Self {
        Self { handlers: None }
    }

    /// Waits for a signal that says to stop. What the others ask for is not
    /// done any more.
    pub(super) async fn stop(&mut self) -> StopSignal {
        let Some(handlers) = &mut self.handlers else { return std::future::pending().await };
        tokio::select! {
            _ = handlers.interrupt.recv() => StopSignal::Interrupt,
            _ = handlers.terminate.recv() => StopSignal::Terminate,
            _ = handlers.quit.recv() => StopSignal::Terminate,
        }
    }

    /// Waits for a signal that says to stop; carries out the others meanwhile.
    pub(super) async fn serve(&mut self, control: &Control, access_log: &AccessLog) -> StopSignal {
        let Some(handlers) = &mut self.handlers else { return std::future::pending().await };
        loop {
            tokio::select! {
                _ = handlers.interrupt.recv() => return StopSignal::Interrupt,
                _ = handlers.terminate.recv() => return StopSignal::Terminate,
                _ = handlers.quit.recv() => return StopSignal::Terminate,
                // On the side, so that a slow one does not keep from stopping.
                _ = handlers.hangup.recv() => {
                    let control = control.clone();
                    tokio::spawn(async move { control.reload().await });
                }
                _ = handlers.upgrade.recv() => {
                    let control = control.clone();
                    tokio::spawn(async move { control.upgrade().await });
                }
                _ = handlers.reopen.recv() => access_log.reopen(),
            }
        }
    }
}
