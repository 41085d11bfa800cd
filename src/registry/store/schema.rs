//! What makes a database a store of this version: how a new one is built, and
//! what is checked before anything in one is believed.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::{Contents, row};
use crate::registry::{OpenError, folder::Folder};

/// "Port", in the header of the file; `file` and SQLite tools show it.
const APPLICATION_ID: i64 = 0x506f_7274;
const FORMAT: i64 = 2;

/// `sum` is a checksum over the rest of its row: SQLite notices a damaged
/// structure, not a damaged value.
const SCHEMA: &str = "
    CREATE TABLE instance (
        service    TEXT NOT NULL,
        id         TEXT NOT NULL,
        generation INTEGER NOT NULL,
        draining   INTEGER NOT NULL CHECK (draining IN (0, 1)),
        owner      TEXT,
        body       TEXT NOT NULL, -- the instance as JSON
        sum        INTEGER NOT NULL,
        PRIMARY KEY (service, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE state ( -- one row
        last_generation INTEGER NOT NULL,
        commits         INTEGER NOT NULL,
        instances       INTEGER NOT NULL,
        sum             INTEGER NOT NULL
    ) STRICT;
";

/// How thoroughly the structure is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// Not at all: whoever writes has looked at the start.
    Identity,
    /// Every page.
    Quick,
    /// Every page, and whether indexes and tables agree.
    Full,
}

/// Builds a whole store that holds `contents`, under the name `unfinished`.
pub(super) fn build(
    folder: &Folder,
    unfinished: &str,
    contents: &Contents,
) -> Result<PathBuf, OpenError> {
    let path = folder.create(unfinished)?;
    let build = || -> rusqlite::Result<String> {
        let mut connection = Connection::open_with_flags(&path, flags())?;
        connection.execute_batch("PRAGMA journal_mode = MEMORY")?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(&format!(
            "{SCHEMA} INSERT INTO state VALUES (0, 0, 0, 0);
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}"
        ))?;
        for registration in &contents.registrations {
            row::put(&transaction, registration)?;
        }
        row::put_state(&transaction, &contents.state())?;
        transaction.commit()?;
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        // Takes its log with it: there is one file to rename.
        connection.close().map_err(|(_, error)| error)?;
        Ok(mode)
    };
    // A flush that failed there is told by the mode alone.
    let mode = build().map_err(|error| unusable("create", &path, error))?;
    if mode == "wal" { Ok(path) } else { Err(OpenError::NoLog { path, mode }) }
}

/// Looks at the file as bytes, before SQLite does, which takes an empty
/// database for a new one and removes its log. Not to be called while this
/// process has the store open: closing a file gives up SQLite's locks on it.
pub(super) fn check_file(path: &Path) -> Result<(), OpenError> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    read.map_err(|source| OpenError::File { doing: "open", path: path.to_owned(), source })?;
    let damaged = |found: &str| OpenError::Damaged { path: path.to_owned(), found: found.into() };
    match head.as_slice() {
        [] => Err(damaged("the file is empty")),
        b"SQLite format 3\0" => Ok(()),
        _ => Err(damaged("the file is not a database")),
    }
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Opens the database at `path`. Until it is found to be whole, closing it
/// must not copy its log into it.
pub(super) fn connect(path: &Path, writes: bool) -> rusqlite::Result<Connection> {
    let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, if writes { flags() } else { read_only })?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")?;
    Ok(connection)
}

/// Makes sure that this is our file, of a format we know, and whole.
pub(super) fn check(connection: &Connection, path: &Path, how: Check) -> Result<(), OpenError> {
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
    let sql = match how {
        Check::Identity => return Ok(()),
        Check::Quick => "PRAGMA quick_check(1)",
        Check::Full => "PRAGMA integrity_check(1)",
    };
    let found: String = connection.query_row(sql, [], |row| row.get(0)).map_err(sqlite)?;
    if found == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: owned(), found }) }
}

/// Makes the settings that the promise rests on those of `connection`.
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |error| unusable("prepare", path, error);
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    // It is in that mode already, unless somebody changed it. The change can
    // fail without an error, so what counts is what it is afterwards.
    text("PRAGMA journal_mode = WAL").map_err(sqlite)?;
    let mode = text("PRAGMA journal_mode").map_err(sqlite)?;
    if mode != "wal" {
        return Err(OpenError::NoLog { path: path.to_owned(), mode });
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;
             PRAGMA wal_autocheckpoint = 0; PRAGMA temp_store = MEMORY",
        )
        .map_err(sqlite)
}

pub(super) fn unusable(doing: &'static str, path: &Path, source: rusqlite::Error) -> OpenError {
    let path = PathBuf::from(path);
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, found: source.to_string() }
        }
        _ => OpenError::Sqlite { doing, path, source },
    }
}
