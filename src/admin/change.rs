//! One change that is asked for, and its line in the audit log.
//!
//! The line is written when the change is made, and says what it came to then:
//! the wait that may follow can be long, and changes nothing. One that is
//! refused has its line with the answer.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{extract::Request, response::Response};
use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::{
    audit::{AuditEntry, AuditLog},
    problem::Kind,
    state::Connection,
};

/// A change that is asked for. All clones are one.
#[derive(Clone, Debug)]
pub(super) struct Change {
    log: AuditLog,
    /// Until it is written.
    entry: Arc<Mutex<Option<AuditEntry>>>,
}

impl Change {
    /// The change called `what` that `who` asks for by `request`.
    pub(super) fn begin(
        log: &AuditLog,
        what: &'static str,
        who: String,
        request: &Request,
    ) -> Self {
        let connection = request.extensions().get::<Connection>();
        // Decoded, as everywhere else that names it; JSON escapes what is odd.
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
        // "/api/v1/services/orders/instances/orders-7/drain"
        let mut segments = path.split('/').skip(3);
        let target = match (segments.next(), segments.next(), segments.next(), segments.next()) {
            (Some("services"), Some(service), Some("instances"), Some(id)) => {
                format!("{service}/{id}")
            }
            _ => "proxy.toml".to_owned(),
        };
        let entry = AuditEntry {
            time: AuditEntry::now(),
            who,
            from: connection.map(|connection| connection.peer.to_string()).unwrap_or_default(),
            what,
            front: None,
            target: AuditEntry::bounded(&target),
            status: 0,
            problem: None,
            before: None,
            after: None,
            lost: 0,
        };
        Self { log: log.clone(), entry: Arc::new(Mutex::new(Some(entry))) }
    }

    /// Writes that it is made: on disk, and nothing takes it back. `before` and
    /// `after` are the generations of the instance.
    pub(super) fn made(&self, status: StatusCode, before: Option<u64>, after: Option<u64>) {
        if let Some(entry) = self.take() {
            self.log.record(AuditEntry { status: status.as_u16(), before, after, ..entry });
        }
    }

    /// Writes how it was answered, unless it is written already.
    pub(super) fn answered(&self, answer: &Response) {
        let Some(entry) = self.take() else { return };
        let problem = answer.extensions().get::<Kind>().copied();
        if problem == Some(Kind::TooManyAttempts) {
            // The failures before are on record; a flood of more is not worth a disk.
            return;
        }
        let (status, problem) = (answer.status().as_u16(), problem.map(Kind::as_str));
        self.log.record(AuditEntry { status, problem, ..entry });
    }

    fn take(&self) -> Option<AuditEntry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
