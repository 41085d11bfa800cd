//! The store: one SQLite database that holds every registration.
//!
//! WAL with `synchronous=FULL`: when a write returns, an fsync has returned. A
//! new database is built under another name and renamed, so that an empty or
//! half-made one under the real name is always damage and is never taken for a
//! fresh start; nor is a folder that had one. What is read back is not
//! trusted. Anybody may look at it while the proxy runs:
//! `sqlite3 registry.db "SELECT * FROM instance"`.

mod fault;
mod reader;
mod row;
mod schema;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, config::DbConfig};

use self::{fault::fault, row::State, schema::Check};
use super::{
    OpenError, Registration, StoreFault,
    folder::Folder,
    ledger::{Change, Outcome},
    mark::Mark,
    snapshot,
};

pub(super) use reader::Reader;

const FILE: &str = "registry.db";
const LOG: &str = "registry.db-wal";
const INDEX: &str = "registry.db-shm";
const MARK: &str = "mark";
const UNFINISHED: &str = "registry.db.new";

/// Where damaged stores are kept.
const ASIDE: &str = "damaged";

/// Written rows after which the log is copied into the database: keeps the
/// log, and the time to read it at a start, at a few MiB.
const CHECKPOINT_AFTER: usize = 1000;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// In the order of service and id.
    pub(super) registrations: Vec<Registration>,
    pub(super) last_generation: u64,
    /// Transactions committed since the store was made.
    pub(super) commits: u64,
}

impl Contents {
    fn state(&self) -> State {
        State {
            last_generation: self.last_generation,
            commits: self.commits,
            instances: self.registrations.len() as u64,
        }
    }
}

/// The open store. There is one, and it has the only writing connection.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    commits: u64,
    mark: Mark,
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
        match check_presence(data_dir) {
            Err(OpenError::NoStore { .. }) => {
                let unfinished = schema::build(&folder, UNFINISHED, &Contents::default())?;
                folder.publish(&unfinished, &path)?;
            }
            present => present?,
        }
        let mark = folder.file(MARK);
        let acknowledged = Mark::read(&mark);
        let connect = schema::connect(&path, true);
        let connection = connect.map_err(|error| schema::unusable("open", &path, error))?;
        schema::check(&connection, &path, Check::Quick)?;
        schema::prepare(&connection, &path)?;
        let contents = row::read(&connection, &path)?;
        check_mark(&path, acknowledged, contents.commits)?;
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
            .map_err(|error| schema::unusable("prepare", &path, error))?;
        let store = Self {
            connection,
            commits: contents.commits,
            mark: Mark::at(mark),
            uncopied: 0,
            folder,
            #[cfg(test)]
            fail_next: None,
        };
        Ok((store, contents))
    }

    /// Puts a store that holds `contents` in the place of the one in
    /// `folder`, whatever state that is in, and gives the folder that what was
    /// there is in now. Broken off anywhere, it leaves a folder that either
    /// has a store or is refused.
    pub(super) fn supplant(folder: &Folder, contents: &Contents) -> Result<PathBuf, OpenError> {
        let unfinished = schema::build(folder, UNFINISHED, contents)?;
        let aside = folder.set_aside(ASIDE, &[FILE, LOG, INDEX, MARK])?;
        folder.publish(&unfinished, &folder.file(FILE))?;
        Ok(aside)
    }

    /// Writes a batch in one transaction; `last_generation` and `instances`
    /// are those of the store with it. On an error nothing of it is written,
    /// but after a failed fsync a restart may find it.
    pub(super) fn write<'a>(
        &mut self,
        outcomes: impl Iterator<Item = &'a Outcome> + Clone,
        last_generation: u64,
        instances: usize,
    ) -> Result<(), StoreFault> {
        let totals = (last_generation, instances);
        self.commit(|connection, commits| {
            let mut rows = 0;
            for Outcome { registration, change } in outcomes.clone() {
                let key =
                    (registration.instance.service.as_str(), registration.instance.id.as_str());
                match change {
                    None => continue,
                    Some(Change::Removed(_)) => connection
                        .prepare_cached("DELETE FROM instance WHERE service = ?1 AND id = ?2")?
                        .execute(key)
                        .map(drop)?,
                    Some(_) => row::put(connection, registration)?,
                }
                rows += 1;
            }
            let (last_generation, instances) = (totals.0, totals.1 as u64);
            row::put_state(connection, &State { last_generation, commits, instances })?;
            Ok(rows)
        })
    }

    /// Writes `contents` in the place of everything, in one transaction. The
    /// number of commits goes on.
    pub(super) fn replace(&mut self, contents: &Contents) -> Result<(), StoreFault> {
        self.commit(|connection, commits| {
            connection.execute("DELETE FROM instance", [])?;
            for registration in &contents.registrations {
                row::put(connection, registration)?;
            }
            row::put_state(connection, &State { commits, ..contents.state() })?;
            Ok(contents.registrations.len())
        })
    }

    fn commit(
        &mut self,
        write: impl Fn(&Connection, u64) -> rusqlite::Result<usize>,
    ) -> Result<(), StoreFault> {
        #[cfg(test)]
        if let Some(fault) = self.fail_next.take() {
            return Err(fault);
        }
        let mut written = self.transact(&write);
        if written == Err(StoreFault::Full) {
            // The log itself may hold all the room that is needed.
            self.copy_log()?;
            written = self.transact(&write);
        }
        if written.is_err() && !self.connection.is_autocommit() {
            // The rollback failed too: the connection is in no known state.
            return Err(StoreFault::Damaged { text: "a transaction cannot be ended".to_owned() });
        }
        self.uncopied += written?;
        self.commits += 1;
        self.mark.advance(self.commits);
        Ok(())
    }

    fn transact(
        &mut self,
        write: impl Fn(&Connection, u64) -> rusqlite::Result<usize>,
    ) -> Result<usize, StoreFault> {
        let commits = self.commits + 1;
        let mut transact = || {
            let transaction = self.connection.transaction()?;
            let rows = write(&transaction, commits)?;
            transaction.commit()?;
            Ok(rows)
        };
        transact().map_err(|error| self.fault(error))
    }

    /// Transactions committed since the store was made.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// Where it is.
    pub(super) fn data_dir(&self) -> &Path {
        self.folder.path()
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
        self.connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(|error| self.fault(error))
    }

    fn fault(&self, error: rusqlite::Error) -> StoreFault {
        match fault(error) {
            StoreFault::Write { text } => {
                self.folder.refusal(&[FILE, LOG]).unwrap_or(StoreFault::Write { text })
            }
            fault => fault,
        }
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

/// Makes sure that there is a store in `data_dir`, as far as names and first
/// bytes tell. [`OpenError::NoStore`] means that there never was one.
pub(super) fn check_presence(data_dir: &Path) -> Result<(), OpenError> {
    let path = data_dir.join(FILE);
    match path.try_exists() {
        Ok(true) => return schema::check_file(&path),
        Ok(false) => {}
        Err(source) => return Err(OpenError::File { doing: "open", path, source }),
    }
    let left = [LOG, MARK, ASIDE, snapshot::FOLDER].map(|name| data_dir.join(name));
    let is_left = |path: &&PathBuf| match path.read_dir() {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    };
    match left.iter().find(is_left) {
        Some(left) => Err(OpenError::StoreGone { path, left: left.clone() }),
        None => Err(OpenError::NoStore { path }),
    }
}

/// Makes sure that a store of `found` commits is not behind what its mark says
/// was acknowledged.
pub(super) fn check_mark(
    path: &Path,
    acknowledged: Option<u64>,
    found: u64,
) -> Result<(), OpenError> {
    match acknowledged {
        Some(acknowledged) if found < acknowledged => {
            let mark = path.with_file_name(MARK);
            Err(OpenError::Behind { path: path.to_owned(), found, acknowledged, mark })
        }
        _ => Ok(()),
    }
}

/// The database of the store in `data_dir`.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// What the mark of the store in `data_dir` says. Read it before the store.
pub(super) fn read_mark(data_dir: &Path) -> Option<u64> {
    Mark::read(&data_dir.join(MARK))
}

#[cfg(test)]
mod tests;
