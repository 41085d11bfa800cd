//! The store: one SQLite database that holds every registration.
//!
//! WAL with `synchronous=FULL`: when a write returns, an fsync has returned. A
//! new database is built under another name and renamed, so that an empty or
//! half-made one under the real name is always damage and is never taken for a
//! fresh start. What is read back is not trusted. Anybody may look at it while
//! the proxy runs: `sqlite3 registry.db "SELECT * FROM instance"`.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, Row, config::DbConfig, ffi};

use super::{
    OpenError, Registration, StoreFault,
    folder::Folder,
    ledger::{Change, Outcome},
};
use crate::model::Instance;

const FILE: &str = "registry.db";
const UNFINISHED: &str = "registry.db.new";

/// "Port", in the header of the file; `file` and SQLite tools show it.
const APPLICATION_ID: i64 = 0x506f_7274;
const FORMAT: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE instance (
        service    TEXT NOT NULL,
        id         TEXT NOT NULL,
        generation INTEGER NOT NULL,
        draining   INTEGER NOT NULL CHECK (draining IN (0, 1)),
        owner      TEXT,
        body       TEXT NOT NULL, -- the instance as JSON
        PRIMARY KEY (service, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE last_generation (value INTEGER NOT NULL) STRICT;
    INSERT INTO last_generation VALUES (0);
";

/// Written rows after which the log is copied into the database: keeps the
/// log, and the time to read it at a start, at a few MiB.
const CHECKPOINT_AFTER: usize = 1000;

/// What a store held when it was opened.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// In the order of service and id.
    pub(super) registrations: Vec<Registration>,
    pub(super) last_generation: u64,
}

/// The open store. There is one, and it has the only writing connection.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    uncopied: usize,
    /// Closed after the connection.
    folder: Folder,
    #[cfg(test)]
    pub(super) fail_next: Option<StoreFault>,
}

impl Store {
    /// Locks `data_dir`, makes a store if there is none, and reads it.
    pub(super) fn open(data_dir: &Path) -> Result<(Self, Contents), OpenError> {
        let folder = Folder::open(data_dir)?;
        let path = folder.file(FILE);
        let log = folder.file(&format!("{FILE}-wal"));
        match (path.try_exists(), log.exists()) {
            (Ok(true), _) => {}
            (Ok(false), true) => return Err(OpenError::LogWithoutStore { path: log }),
            (Ok(false), false) => create(&folder, &path)?,
            (Err(source), _) => return Err(OpenError::File { doing: "open", path, source }),
        }
        let connection = connect(&path).map_err(|error| unusable("open", &path, error))?;
        check(&connection, &path)?;
        let contents = read(&connection, &path)?;
        let store = Self {
            connection,
            uncopied: 0,
            folder,
            #[cfg(test)]
            fail_next: None,
        };
        Ok((store, contents))
    }

    /// Writes a batch in one transaction. On an error nothing of it is
    /// written, but after a failed fsync a restart may find it.
    pub(super) fn write<'a>(
        &mut self,
        outcomes: impl Iterator<Item = &'a Outcome> + Clone,
        last_generation: u64,
    ) -> Result<(), StoreFault> {
        #[cfg(test)]
        if let Some(fault) = self.fail_next.take() {
            return Err(fault);
        }
        let mut written = self.transact(outcomes.clone(), last_generation).map_err(fault);
        if written == Err(StoreFault::Full) {
            // The log itself may hold all the room that is needed.
            self.copy_log()?;
            written = self.transact(outcomes, last_generation).map_err(fault);
        }
        if written.is_err() && !self.connection.is_autocommit() {
            // The rollback failed too: the connection is in no known state.
            return Err(StoreFault::Damaged { text: "a transaction cannot be ended".to_owned() });
        }
        self.uncopied += written?;
        Ok(())
    }

    fn transact<'a>(
        &mut self,
        outcomes: impl Iterator<Item = &'a Outcome>,
        last_generation: u64,
    ) -> rusqlite::Result<usize> {
        let transaction = self.connection.transaction()?;
        let mut rows = 0;
        for Outcome { registration, change } in outcomes {
            let Registration { instance, generation, draining, owner } = registration;
            let (service, id) = (instance.service.as_str(), instance.id.as_str());
            match change {
                None => continue,
                Some(Change::Removed(_)) => transaction
                    .prepare_cached("DELETE FROM instance WHERE service = ?1 AND id = ?2")?
                    .execute((service, id))?,
                Some(_) => {
                    let body = serde_json::to_string(instance)
                        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                    transaction
                        .prepare_cached(
                            "INSERT OR REPLACE INTO instance VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        )?
                        .execute((service, id, generation.cast_signed(), draining, owner, body))?
                }
            };
            rows += 1;
        }
        transaction
            .prepare_cached("UPDATE last_generation SET value = ?1 WHERE value <> ?1")?
            .execute([last_generation.cast_signed()])?;
        transaction.commit()?;
        Ok(rows)
    }

    /// Copies the log into the database once it has grown. SQLite would do it
    /// by itself inside a commit, but would not tell whether it failed.
    pub(super) fn tidy(&mut self) -> Result<(), StoreFault> {
        if self.uncopied < CHECKPOINT_AFTER { Ok(()) } else { self.copy_log() }
    }

    /// Copies the log into the database and so gives its room back to it.
    pub(super) fn copy_log(&mut self) -> Result<(), StoreFault> {
        // Even if it fails: the log holds everything, and a disk that is full
        // need not be asked again at every write.
        self.uncopied = 0;
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(fault)
    }

    /// The folder it is in.
    pub(super) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the files as they are when the store is closed: after a failed
    /// fsync, closing must not try another.
    pub(super) fn leave_as_is(&self) {
        let set = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        if let Err(error) = set {
            tracing::error!(%error, "cannot keep the registry from being tidied at the end");
        }
    }

    /// Lets tests reach the settings of the connection.
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

fn create(folder: &Folder, path: &Path) -> Result<(), OpenError> {
    let unfinished = folder.create(UNFINISHED)?;
    let build = || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(&unfinished, flags())?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = MEMORY; BEGIN; {SCHEMA}
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;
             PRAGMA journal_mode = WAL"
        ))?;
        // Takes its log with it: there is one file to rename.
        connection.close().map_err(|(_, error)| error)
    };
    build().map_err(|error| unusable("create", &unfinished, error))?;
    folder.publish(&unfinished, path)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags())?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    Ok(connection)
}

/// Makes sure that this is our file, of a format we know, and whole; only then
/// is anything about it changed.
fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |error| unusable("check", path, error);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let owned = || path.to_owned();
    let pages = number("PRAGMA page_count").map_err(sqlite)?;
    if pages == 0 {
        return Err(OpenError::Damaged { path: owned(), found: "the file is empty".to_owned() });
    }
    let found = number("PRAGMA application_id").map_err(sqlite)?;
    if found != APPLICATION_ID {
        return Err(OpenError::NotARegistry { path: owned(), found });
    }
    let found = number("PRAGMA user_version").map_err(sqlite)?;
    if found != FORMAT {
        return Err(OpenError::UnknownFormat { path: owned(), found, known: FORMAT });
    }
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    let found = text("PRAGMA quick_check(1)").map_err(sqlite)?;
    if found != "ok" {
        return Err(OpenError::Damaged { path: owned(), found });
    }
    // It is in that mode already, unless somebody changed it. The change can
    // fail without an error, so what counts is what it is afterwards.
    text("PRAGMA journal_mode = WAL").map_err(sqlite)?;
    let mode = text("PRAGMA journal_mode").map_err(sqlite)?;
    if mode != "wal" {
        return Err(OpenError::NoLog { path: owned(), mode });
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
             PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY;
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
        )
        .map_err(sqlite)
}

fn read(connection: &Connection, path: &Path) -> Result<Contents, OpenError> {
    let sqlite = |error| unusable("read", path, error);
    let damaged = |found: String| OpenError::Damaged { path: path.to_owned(), found };
    let last: i64 = connection
        .query_row("SELECT max(value) FROM last_generation", [], |row| row.get(0))
        .map_err(sqlite)?;
    let last_generation =
        u64::try_from(last).map_err(|_| damaged(format!("the last generation is {last}")))?;
    let mut statement = connection
        .prepare(
            "SELECT service, id, generation, draining, owner, body FROM instance
             ORDER BY service, id",
        )
        .map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    let mut registrations = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite)? {
        let registration = registration(row, path)?;
        if registration.generation > last_generation {
            let found = format!(
                "{} has generation {}, the last one given is {last_generation}",
                registration.instance.key(),
                registration.generation
            );
            return Err(damaged(found));
        }
        registrations.push(registration);
    }
    Ok(Contents { registrations, last_generation })
}

fn registration(row: &Row<'_>, path: &Path) -> Result<Registration, OpenError> {
    let sqlite = |error| unusable("read", path, error);
    let (service, id): (String, String) =
        (row.get(0).map_err(sqlite)?, row.get(1).map_err(sqlite)?);
    let generation: i64 = row.get(2).map_err(sqlite)?;
    let bad = |why: String| OpenError::DamagedRow {
        path: path.to_owned(),
        row: format!("{service}/{id}").escape_debug().to_string(),
        generation,
        why,
    };
    let body: String = row.get(5).map_err(sqlite)?;
    let instance: Instance =
        serde_json::from_str(&body).map_err(|error| bad(format!("its body: {error}")))?;
    if instance.service.as_str() != service || instance.id.as_str() != id {
        return Err(bad(format!("its body is that of {}", instance.key())));
    }
    Ok(Registration {
        instance,
        generation: u64::try_from(generation)
            .map_err(|_| bad("its generation is negative".to_owned()))?,
        draining: row.get(3).map_err(sqlite)?,
        owner: row.get(4).map_err(sqlite)?,
    })
}

fn unusable(doing: &'static str, path: &Path, source: rusqlite::Error) -> OpenError {
    let path = PathBuf::from(path);
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, found: source.to_string() }
        }
        _ => OpenError::Sqlite { doing, path, source },
    }
}

fn fault(error: rusqlite::Error) -> StoreFault {
    let text = error.to_string();
    let Some(sqlite) = error.sqlite_error() else { return StoreFault::Other { text } };
    match sqlite.code {
        ErrorCode::DiskFull => StoreFault::Full,
        // The index of the log could not grow. It is rebuilt from the log and
        // never flushed, so unlike its siblings this says nothing about what
        // is on disk; on a full disk it comes instead of `DiskFull`.
        ErrorCode::SystemIoFailure if sqlite.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
            StoreFault::Full
        }
        ErrorCode::SystemIoFailure => StoreFault::Disk { code: sqlite.extended_code, text },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreFault::Damaged { text },
        ErrorCode::ReadOnly => StoreFault::ReadOnly,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreFault::Busy,
        _ => StoreFault::Other { text },
    }
}

#[cfg(test)]
mod tests;
