//! What every call of the admin address has at hand.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{
    attempts::FailedAttempts, audit::AuditLog, auth::Reach, settings::AdminSettings,
    succession::Succession,
};
use crate::control::Control;

/// Event streams open at once; each holds a connection for as long as the
/// client likes.
const MAX_STREAMS: usize = 128;

/// What every call has at hand. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct AdminState {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    control: Control,
    settings: watch::Receiver<Arc<AdminSettings>>,
    reach: Reach,
    audit: AuditLog,
    attempts: FailedAttempts,
    streams: Arc<Semaphore>,
    succession: Succession,
    closing: CancellationToken,
}

impl AdminState {
    /// `bound` is the address that the listener really has. `settings` are
    /// read at each request, so a reload changes tokens and allowed hosts at
    /// once.
    #[must_use]
    pub fn new(
        control: Control,
        settings: watch::Receiver<Arc<AdminSettings>>,
        bound: SocketAddr,
        audit: AuditLog,
    ) -> Self {
        let shared = Shared {
            control,
            settings,
            reach: Reach::of(bound.ip()),
            audit,
            attempts: FailedAttempts::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            succession: Succession::default(),
            closing: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn control(&self) -> &Control {
        &self.shared.control
    }

    /// The settings as they are now.
    pub(super) fn settings(&self) -> Arc<AdminSettings> {
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

    /// Who answers calls.
    #[must_use]
    pub fn succession(&self) -> &Succession {
        &self.shared.succession
    }

    /// Permits for event streams.
    pub(super) fn streams(&self) -> Arc<Semaphore> {
        Arc::clone(&self.shared.streams)
    }

    /// Cancelled when the admin address closes; what would go on for ever
    /// ends then.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.shared.closing
    }
}

/// The two ends of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// Theirs.
    pub(crate) peer: SocketAddr,
    /// Ours.
    pub(crate) local: SocketAddr,
}
