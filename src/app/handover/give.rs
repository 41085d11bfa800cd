//! The side of the old process, up to the point of no return.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
    process::Child,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{FromNew, FromOld, PROTOCOL, Wire};
use crate::{
    admin::{Pause, Succession},
    app::{inherited::Role, program::Program},
    control::Control,
    registry::{Registry, Suspended},
};

/// How long the new process may take to say that it is ready: one that says
/// nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to open the store. Meanwhile nobody can register.
const OPENING: Duration = Duration::from_secs(15);

/// How long changes under way may take to end. They take a write to disk.
const PAUSE: Duration = Duration::from_secs(10);

/// How long a process that has closed its socket may take to end.
const EXIT: Duration = Duration::from_secs(5);

/// Why no other process took over.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum Refusal {
    #[error("cannot start {path}: {error}")]
    Start { path: String, error: io::Error },
    #[error("{why}")]
    Refused { why: String, problems: String },
    #[error("the new process ended before it could serve ({0}); its log says why")]
    Ended(String),
    #[error("the new process said nothing for {} s and was ended", .0.as_secs())]
    Silent(Duration),
    #[error("what came from the new process is no answer; it was ended: {0}")]
    Broken(io::Error),
    #[error("changes under way did not end within {} s", PAUSE.as_secs())]
    Busy,
    #[error("the registry is closed")]
    Closed,
}

/// A process that is about to take over. It is ended if this is dropped.
#[derive(Debug)]
struct Candidate {
    child: Option<Child>,
    wire: Arc<Wire>,
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            // It holds the lock of the store until it is gone.
            let _ = child.wait();
        }
    }
}

/// A process that has everything and waits for the word to serve.
#[derive(Debug)]
pub(in crate::app) struct Given {
    candidate: Candidate,
    /// The id of the process.
    pub(in crate::app) pid: u32,
    /// The version of its program.
    pub(in crate::app) program: String,
    /// The listeners that it does not want.
    pub(in crate::app) dropped: Vec<SocketAddr>,
    pub(in crate::app) pause: Pause,
    pub(in crate::app) suspended: Suspended,
}

/// Starts `program` and gives it the `sockets`, each with its address in the
/// config file and what it is for, then the store. When this
/// returns an error, everything here is as it was.
pub(in crate::app) async fn give(
    program: &Program,
    sockets: impl Iterator<Item = (SocketAddr, Role, &TcpListener)>,
    control: &Control,
    registry: &Registry,
    succession: &Succession,
) -> Result<Given, Refusal> {
    let failed = |error| Refusal::Start { path: program.path().display().to_string(), error };
    let (child, socket) = program.start().map_err(failed)?;
    let pid = child.id();
    let wire = Arc::new(Wire::new(socket).map_err(failed)?);
    let mut candidate = Candidate { child: Some(child), wire };
    for (configured, role, socket) in sockets {
        candidate.say(&FromOld::Socket { configured, role }, Some(socket)).await?;
    }
    candidate.say(&FromOld::Offered { protocol: PROTOCOL }, None).await?;
    let FromNew::Ready { dropped } = candidate.hear().await? else {
        return Err(out_of_turn());
    };
    // Whoever waits would keep us waiting.
    control.hurry(true);
    let paused = timeout(PAUSE, succession.pause()).await.map_err(|_| Refusal::Busy);
    let pause = paused.inspect_err(|_| control.hurry(false))?;
    let Ok(suspended) = registry.suspend().await else {
        control.hurry(false);
        return Err(Refusal::Closed);
    };
    match hand_store(&mut candidate, control, &suspended).await {
        Ok(program) => Ok(Given { candidate, pid, program, dropped, pause, suspended }),
        Err(refusal) => {
            take_back(candidate, control, pause, suspended).await;
            Err(refusal)
        }
    }
}

async fn hand_store(
    candidate: &mut Candidate,
    control: &Control,
    suspended: &Suspended,
) -> Result<String, Refusal> {
    let inheritance = control.inheritance(suspended).await;
    candidate.say(&FromOld::Inheritance(inheritance), None).await?;
    match candidate.hear_within(OPENING).await? {
        FromNew::Prepared { program } => Ok(program),
        _ => Err(out_of_turn()),
    }
}

/// Ends the candidate and goes on as before.
async fn take_back(candidate: Candidate, control: &Control, pause: Pause, suspended: Suspended) {
    drop(candidate);
    if let Err(error) = suspended.resume().await {
        tracing::error!(%error, "the registry cannot be opened again");
    }
    control.hurry(false);
    drop(pause);
}

impl Given {
    /// The point of no return. An error means that the process is gone and
    /// everything here is as it was.
    pub(in crate::app) async fn serve(
        mut self,
        control: &Control,
    ) -> Result<(Arc<Wire>, Pause), Refusal> {
        let said = self.candidate.say(&FromOld::Serve, None).await;
        let ended = self.candidate.child.as_mut().is_some_and(|child| {
            // It may be gone although its socket took what we said.
            matches!(child.try_wait(), Ok(Some(_)))
        });
        if said.is_err() || ended {
            let Self { candidate, pause, suspended, .. } = self;
            take_back(candidate, control, pause, suspended).await;
            return Err(Refusal::Ended("after it had the store".to_owned()));
        }
        // From here on it lives on its own.
        self.candidate.child = None;
        self.suspended.leave();
        Ok((Arc::clone(&self.candidate.wire), self.pause))
    }
}

impl Candidate {
    async fn say(
        &mut self,
        message: &FromOld,
        socket: Option<&TcpListener>,
    ) -> Result<(), Refusal> {
        let sent = timeout(PATIENCE, self.wire.send(message, socket.map(AsFd::as_fd))).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            // It may have said why before it went.
            Ok(Err(_)) => Err(match self.hear().await {
                Err(refusal) => refusal,
                Ok(_) => self.ended().await,
            }),
            Err(_) => Err(Refusal::Silent(PATIENCE)),
        }
    }

    async fn hear(&mut self) -> Result<FromNew, Refusal> {
        self.hear_within(PATIENCE).await
    }

    async fn hear_within(&mut self, patience: Duration) -> Result<FromNew, Refusal> {
        match timeout(patience, self.wire.receive()).await {
            Ok(Ok(Some((FromNew::Refused { why, problems }, _)))) => {
                // Let it log what it has to say.
                self.ended().await;
                Err(Refusal::Refused { why, problems })
            }
            Ok(Ok(Some((message, _)))) => Ok(message),
            Ok(Ok(None)) => Err(self.ended().await),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(self.ended().await)
            }
            Ok(Err(error)) => Err(Refusal::Broken(error)),
            Err(_) => Err(Refusal::Silent(patience)),
        }
    }

    /// How the process ended, now that its socket is closed.
    async fn ended(&mut self) -> Refusal {
        let deadline = Instant::now() + EXIT;
        while let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(Some(status)) => return Refusal::Ended(status.to_string()),
                Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(10)).await,
                _ => break,
            }
        }
        Refusal::Ended("it does not speak to the process that started it".to_owned())
    }
}

fn out_of_turn() -> Refusal {
    Refusal::Broken(io::Error::other("it was not its turn"))
}
