//! The registry between two processes: everything is written, the store is
//! closed, its lock is free, and nothing has ended yet. One in etcd is not
//! closed: both processes follow it for a while.

use tokio::{sync::oneshot, time::Instant};

use super::{
    OpenError, Registry, RegistryError, handle::Keeper, lease::InheritedLease, writer::Command,
};

/// A registry whose store is closed for another process to open. Operations
/// asked of it meanwhile wait. Dropped, it opens the store again.
#[derive(Debug)]
pub struct Suspended {
    registry: Registry,
    /// None if there is no store.
    resume: Option<oneshot::Sender<Resume>>,
    leases: Vec<InheritedLease>,
}

/// What becomes of a closed store.
#[derive(Debug)]
pub(super) enum Resume {
    /// It is opened again; the writer says how that went.
    Here(oneshot::Sender<Result<(), OpenError>>),
    /// Another process has it.
    Elsewhere,
}

impl Registry {
    /// Writes what is queued, closes the store and gives up its lock.
    ///
    /// # Errors
    ///
    /// When the registry is closed.
    pub async fn suspend(&self) -> Result<Suspended, RegistryError> {
        let shared = match &self.keeper {
            Keeper::Embedded(it) => &it.shared,
            Keeper::Shared(it) => {
                let leases = it.suspend();
                return Ok(Suspended { registry: self.clone(), resume: None, leases });
            }
        };
        let (done, closed) = oneshot::channel();
        let (resume, resumed) = oneshot::channel();
        let command = Command::Suspend { done, resumed };
        shared.queue.send(command).map_err(|_| RegistryError::Closed)?;
        closed.await.map_err(|_| RegistryError::Closed)?;
        let leases = shared.live.leases().leases.standings(Instant::now());
        Ok(Suspended { registry: self.clone(), resume: Some(resume), leases })
    }
}

impl Suspended {
    /// The leases, as they were when the store was closed.
    #[must_use]
    pub fn leases(&self) -> &[InheritedLease] {
        &self.leases
    }

    /// Opens the store again and carries out what waits.
    ///
    /// # Errors
    ///
    /// If it cannot be opened yet. It is tried on; what is asked for meanwhile
    /// is refused.
    pub async fn resume(self) -> Result<(), OpenError> {
        let Some(resume) = self.resume else {
            return match &self.registry.keeper {
                Keeper::Embedded(_) => Ok(()),
                Keeper::Shared(it) => it.resume().await,
            };
        };
        let (answer, answered) = oneshot::channel();
        // Either error means that the writer has ended.
        let ended = || OpenError::Thread(std::io::ErrorKind::BrokenPipe.into());
        resume.send(Resume::Here(answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Leaves everything to the process that has opened the store.
    pub fn leave(self) {
        match &self.registry.keeper {
            Keeper::Embedded(it) => it.shared.end_tasks(),
            Keeper::Shared(it) => it.leave(),
        }
        if let Some(resume) = self.resume {
            // An error means that the writer has ended.
            let _ = resume.send(Resume::Elsewhere);
        }
    }
}
