//! Signals: HUP reloads, USR1 opens the logs anew, INT, TERM and QUIT stop, a
//! second one at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{control::Control, telemetry::AccessLog};

/// The signal that ended the run, and those that may follow it.
pub(super) struct Told {
    name: &'static str,
    stops: Option<Stops>,
}

struct Stops {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
}

impl Stops {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

impl Told {
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Waits for another one.
    pub(super) async fn again(self) {
        match self.stops {
            Some(mut stops) => {
                stops.next().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// A file that may not grow any more (RLIMIT_FSIZE) is to be an error of that
/// one write, and not the end of the process, which is what SIGXFSZ does by
/// default.
pub(super) async fn survive_file_size_limit() {
    /// The same number on every Linux but MIPS.
    const SIGXFSZ: i32 = 25;
    // The handler stays when what it tells is not listened to.
    if let Err(error) = signal(SignalKind::from_raw(SIGXFSZ)) {
        tracing::warn!(%error, "a file that may not grow will end this process");
    }
}

/// Waits until a signal says to stop; carries out the others meanwhile.
pub(super) async fn until_told(control: &Control, access_log: &AccessLog) -> Told {
    let handlers = || -> std::io::Result<(Stops, Signal, Signal)> {
        let stops = Stops {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
        };
        Ok((stops, signal(SignalKind::hangup())?, signal(SignalKind::user_defined1())?))
    };
    let (mut stops, mut hangup, mut reopen) = match handlers() {
        Ok(handlers) => handlers,
        Err(error) => {
            tracing::error!(%error, "signals cannot be handled; the default actions apply");
            std::future::pending().await
        }
    };
    loop {
        tokio::select! {
            name = stops.next() => return Told { name, stops: Some(stops) },
            _ = hangup.recv() => {
                // On the side, so that a slow one does not keep from stopping.
                let control = control.clone();
                tokio::spawn(async move { control.reload().await });
            }
            _ = reopen.recv() => access_log.reopen(),
        }
    }
}
