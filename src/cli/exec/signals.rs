//! The signals that are caught, and what each of them is for.
//!
//! Those that were ignored when this process began stay ignored, here and in
//! the command, as `nohup` wants it.

use std::{fs, io};

use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Passed on after the drain.
const STOPPING: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::QUIT];

/// Passed on as they come. Servers give them meanings of their own: read the
/// config again, open the logs again, one worker more.
const PASSED_ON: [Signal; 4] = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::ALARM];

/// Passed on where the command is in a process group of its own; a terminal
/// sends them to the whole group.
const OF_THE_GROUP: [Signal; 4] = [Signal::WINCH, Signal::CONT, Signal::TTIN, Signal::TTOU];

/// Whether `signal` asks to stop.
pub(super) fn stops(signal: Signal) -> bool {
    STOPPING.contains(&signal)
}

/// What `signal` is called.
pub(super) const fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::TERM => "SIGTERM",
        Signal::INT => "SIGINT",
        Signal::QUIT => "SIGQUIT",
        _ => "a signal",
    }
}

/// What arrives. Several of one kind at once may be one.
#[derive(Debug)]
pub(super) struct Signals {
    arriving: mpsc::UnboundedReceiver<Signal>,
    /// So that the queue stays open, whatever is listened to.
    _sender: mpsc::UnboundedSender<Signal>,
}

impl Signals {
    /// Catches them from here on. `terminal`: the command shares the process
    /// group of this process, and a terminal.
    pub(super) fn listen(terminal: bool) -> io::Result<Self> {
        let (sender, arriving) = mpsc::unbounded_channel();
        let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
        let group = if terminal { &[][..] } else { &OF_THE_GROUP };
        for caught in STOPPING.iter().chain(&PASSED_ON).chain(group).copied() {
            if ignored & (1 << (caught.as_raw() - 1)) != 0 {
                continue;
            }
            let mut stream = signal(SignalKind::from_raw(caught.as_raw()))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && sender.send(caught).is_ok() {}
            });
        }
        Ok(Self { arriving, _sender: sender })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        match self.arriving.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// The next one that asks to stop; what comes before it is dropped.
    pub(super) async fn stop(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if stops(signal) {
                return signal;
            }
        }
    }
}

/// The ignored signals in the text of `/proc/PID/status`: bit 0 is signal 1.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t00000000ffffffff\n";
        assert_eq!(ignored(status), 1 << (Signal::HUP.as_raw() - 1) | 1 << 12);
        assert_eq!(ignored(""), 0);
    }
}
