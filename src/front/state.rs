//! What every call of one front has at hand, and how its address is served.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    net::SocketAddr,
    sync::{Arc, PoisonError},
};

use tokio::{
    net::TcpListener,
    sync::{Mutex, MutexGuard, mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    FrontSettings,
    consul::{Answers, Index},
    eureka::Changes,
    router,
};
use crate::{
    admin::{AuditLog, Desk, FailedAttempts, Reach, RelayedCall, Succession},
    control::Control,
    model::InstanceKey,
    tls::SharedServerTls,
};

/// Changes of instances that may be under way at once; two of one instance
/// never are.
const LOCKS: usize = 256;

/// What every call of one front has at hand. All clones are one.
#[derive(Clone, Debug)]
pub struct FrontState {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    control: Control,
    settings: watch::Receiver<Arc<FrontSettings>>,
    reach: Reach,
    audit: AuditLog,
    attempts: FailedAttempts,
    succession: Succession,
    locks: Box<[Mutex<()>]>,
    changes: std::sync::Mutex<Changes>,
    index: std::sync::Mutex<Index>,
    answers: std::sync::Mutex<Answers>,
    closing: CancellationToken,
}

impl FrontState {
    /// `bound` is the address that the listener really has. `settings` are
    /// read at each request.
    #[must_use]
    pub fn new(
        control: Control,
        settings: watch::Receiver<Arc<FrontSettings>>,
        bound: SocketAddr,
        audit: AuditLog,
        succession: Succession,
    ) -> Self {
        let shared = Shared {
            control,
            settings,
            reach: Reach::of(bound.ip()),
            audit,
            attempts: FailedAttempts::default(),
            succession,
            changes: std::sync::Mutex::default(),
            index: std::sync::Mutex::default(),
            answers: std::sync::Mutex::default(),
            locks: (0..LOCKS).map(|_| Mutex::default()).collect(),
            closing: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Serves the front until `shutdown`, then answers what has been asked and
    /// returns. Drop the future to cut off what waits.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: SharedServerTls,
        relayed: mpsc::Receiver<RelayedCall>,
        shutdown: impl Future<Output = ()>,
    ) {
        let succession = self.shared.succession.clone();
        let closing = self.shared.closing.clone();
        let desk = Desk { name: "a front", router: router::router(self), succession, closing };
        desk.serve(listener, tls, relayed, shutdown).await;
    }

    pub(super) fn control(&self) -> &Control {
        &self.shared.control
    }

    /// The settings as they are now.
    pub(super) fn settings(&self) -> Arc<FrontSettings> {
        Arc::clone(&self.shared.settings.borrow())
    }

    pub(super) fn reach(&self) -> Reach {
        self.shared.reach
    }

    pub(super) fn audit(&self) -> &AuditLog {
        &self.shared.audit
    }

    pub(super) fn attempts(&self) -> &FailedAttempts {
        &self.shared.attempts
    }

    pub(super) fn succession(&self) -> &Succession {
        &self.shared.succession
    }

    /// What Eureka's clients have been told.
    pub(super) fn changes(&self) -> std::sync::MutexGuard<'_, Changes> {
        // Nothing in it is left half done by a panic.
        self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which instance has an id of Consul's.
    pub(super) fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.shared.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Consul's clients have been told.
    pub(super) fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when the front closes; what would go on for long ends then.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.shared.closing
    }

    /// Held while an instance is read, changed and written.
    pub(super) async fn lock(&self, key: &InstanceKey) -> MutexGuard<'_, ()> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let hash = hasher.hash_one((key.service.as_str(), key.id.as_str()));
        let place = usize::try_from(hash % LOCKS as u64).unwrap_or_default();
        self.shared.locks[place].lock().await
    }
}
