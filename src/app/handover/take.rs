//! The side of the new process, up to the word to serve.

use std::{
    env, io,
    net::{SocketAddr, TcpListener},
    os::{fd::AsFd, unix::net::UnixStream},
};

use super::{FromNew, FromOld, PROTOCOL, Wire};
use crate::{
    app::{Error, inherited::InheritedSocket, program::HANDOVER},
    control::Inheritance,
};

/// The process that started this one, until it says that this one serves.
#[derive(Debug)]
pub(in crate::app) struct Arrival {
    wire: Wire,
}

impl Arrival {
    /// The socket to the process that started this one, if it was started to
    /// take over. Standard input, which it came as, is empty from then on.
    pub(in crate::app) fn socket() -> io::Result<Option<UnixStream>> {
        if env::var_os(HANDOVER).is_none() {
            return Ok(None);
        }
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // Fails if it is not one.
        socket.local_addr()?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(Some(socket))
    }

    /// Begins to speak over `socket`, and receives the listening sockets.
    pub(in crate::app) async fn begin(
        socket: UnixStream,
    ) -> io::Result<(Self, Vec<InheritedSocket>)> {
        let wire = Wire::new(socket)?;
        let mut sockets = Vec::new();
        loop {
            match wire.receive().await? {
                Some((FromOld::Socket { configured, role }, Some(socket))) => {
                    let socket = TcpListener::from(socket);
                    let (configured, role) = (Some(configured), Some(role));
                    sockets.push(InheritedSocket { configured, role, socket });
                }
                Some((FromOld::Offered { protocol: PROTOCOL }, None)) => {
                    return Ok((Self { wire }, sockets));
                }
                Some((FromOld::Offered { protocol }, None)) => {
                    return Err(io::Error::other(format!(
                        "the process before hands over by protocol {protocol}, and this program \
                         by {PROTOCOL}: stop it and start this one"
                    )));
                }
                _ => return Err(io::Error::other("the process before did not say what it has")),
            }
        }
    }

    /// Says why this process cannot take over.
    pub(in crate::app) async fn refuse(self, error: &Error) {
        let problems = match error {
            Error::Config(report) => report.render(false),
            _ => String::new(),
        };
        // Whoever does not hear it sees this process end.
        let _ = self.wire.send(&FromNew::Refused { why: error.to_string(), problems }, None).await;
    }

    /// Says that this process can take over, without the listeners `dropped`,
    /// and waits for the store. If the process before has died, the store is
    /// free too, and there is nothing to inherit.
    pub(in crate::app) async fn ready(&self, dropped: Vec<SocketAddr>) -> io::Result<Inheritance> {
        let said = self.wire.send(&FromNew::Ready { dropped }, None).await;
        let heard = match said {
            Ok(()) => self.wire.receive().await,
            Err(_) => Ok(None),
        };
        match heard {
            Ok(Some((FromOld::Inheritance(inheritance), _))) => Ok(inheritance),
            Ok(Some(_)) => Err(io::Error::other("the process before spoke out of turn")),
            // It opens the store again when this process ends.
            Err(error) if !is_death(&error) => Err(error),
            Ok(None) | Err(_) => {
                tracing::warn!("the process before has died; going on without what it knew");
                Ok(Inheritance::default())
            }
        }
    }

    /// Says that this process has the store and a table, and waits for the
    /// word to serve. None if the process before has died meanwhile: then
    /// there is nobody to wait for.
    pub(in crate::app) async fn prepared(self) -> io::Result<Option<Wire>> {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        if self.wire.send(&FromNew::Prepared { program }, None).await.is_err() {
            return Ok(None);
        }
        match self.wire.receive().await {
            Ok(Some((FromOld::Serve, _))) => Ok(Some(self.wire)),
            Ok(Some(_)) => Err(io::Error::other("the process before spoke out of turn")),
            Err(error) if !is_death(&error) => Err(error),
            Ok(None) | Err(_) => Ok(None),
        }
    }
}

/// Whether `error` is what is read of a process that is gone.
fn is_death(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
