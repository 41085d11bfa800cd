//! A second look at the store, beside whoever writes it: for snapshots,
//! exports and checks. It changes nothing, and holds up nobody.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{
    Contents, FILE, LOG,
    row::{self, State},
    schema::{self, Check},
};
use crate::registry::{OpenError, Registration};

/// A reading connection. What it reads is of one moment.
#[derive(Debug)]
pub(in crate::registry) struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Reads the store in `data_dir`, which this process may have open.
    pub(in crate::registry) fn beside(data_dir: &Path) -> Result<Self, OpenError> {
        Self::open(&data_dir.join(FILE), Check::Identity)
    }

    /// Reads the store in `data_dir`, which another process may have open,
    /// and looks at all of it first.
    pub(in crate::registry) fn careful(data_dir: &Path) -> Result<Self, OpenError> {
        super::check_presence(data_dir)?;
        Self::open(&data_dir.join(FILE), Check::Full)
    }

    /// Reads a store that may be damaged, as far as that goes.
    pub(in crate::registry) fn of_damaged(data_dir: &Path) -> Result<Self, OpenError> {
        schema::check_file(&data_dir.join(FILE))?;
        Self::open(&data_dir.join(FILE), Check::Identity)
    }

    fn open(path: &Path, how: Check) -> Result<Self, OpenError> {
        let connect = || {
            let connection = schema::connect(path, false)?;
            // For good: what is read is of the moment of the first read.
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection = connect().map_err(|error| schema::unusable("open", path, error))?;
        schema::check(&connection, path, how)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// Everything.
    pub(in crate::registry) fn read(&self) -> Result<Contents, OpenError> {
        row::read(&self.connection, &self.path)
    }

    /// The state of the store alone.
    pub(in crate::registry) fn state(&self) -> Result<State, OpenError> {
        row::read_state(&self.connection, &self.path)
    }

    /// What can be read, and what is wrong with the rest.
    pub(in crate::registry) fn salvage(&self) -> (Vec<Registration>, Vec<OpenError>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        let read = row::each(&self.connection, &self.path, |row| {
            match row {
                Ok(registration) => good.push(registration),
                Err(error) => bad.push(error),
            }
            Ok(())
        });
        bad.extend(read.err());
        (good, bad)
    }

    /// Bytes of the database and its log.
    pub(in crate::registry) fn size(&self) -> u64 {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        size(&self.path) + size(&self.path.with_file_name(LOG))
    }
}
