//! What SQLite's errors mean for whoever writes.

use rusqlite::{ErrorCode, ffi};

use crate::registry::StoreFault;

/// Tells apart what ends by itself and what does not. A refused write is
/// safe to repeat: it is written again from the start, and flushed. A flush
/// that failed is not.
pub(super) fn fault(error: rusqlite::Error) -> StoreFault {
    let text = error.to_string();
    let Some(sqlite) = error.sqlite_error() else { return StoreFault::Other { text } };
    match (sqlite.code, sqlite.extended_code) {
        (ErrorCode::DiskFull, _) => StoreFault::Full,
        // The index of the log could not grow. It is rebuilt from the log and
        // never flushed, so unlike its siblings this says nothing about what
        // is on disk; on a full disk it comes instead of `DiskFull`.
        (_, ffi::SQLITE_IOERR_SHMSIZE) => StoreFault::Full,
        (_, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_TRUNCATE) => StoreFault::Write { text },
        (ErrorCode::SystemIoFailure, code) => StoreFault::Disk { code, text },
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => StoreFault::Damaged { text },
        (ErrorCode::ReadOnly, _) => StoreFault::ReadOnly,
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreFault::Busy,
        _ => StoreFault::Other { text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_apart() {
        let of = |code| fault(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert_eq!(of(ffi::SQLITE_FULL), StoreFault::Full);
        assert_eq!(of(ffi::SQLITE_IOERR_SHMSIZE), StoreFault::Full);
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_READ, ffi::SQLITE_CORRUPT] {
            assert!(of(code).is_final(), "{code}");
        }
        for code in [
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_TRUNCATE,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(!of(code).is_final(), "{code}");
        }
    }
}
