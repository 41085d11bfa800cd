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
