//! What the disk alone costs: one row a transaction, written as the registry
//! writes it, and nothing else.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::Connection;

pub(crate) struct Store {
    connection: Connection,
    written: u32,
}

impl Store {
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(folder.join("alone.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE instance (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE last_generation (value INTEGER NOT NULL);
             INSERT INTO last_generation VALUES (0)",
        )?;
        Ok(Self { connection, written: 0 })
    }

    pub(crate) fn write(&mut self, body: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.written += 1;
        let transaction = self.connection.transaction()?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO instance VALUES (?1, ?2)")?
            .execute((format!("fresh-{}/a", self.written % 1000), body))?;
        transaction
            .prepare_cached("UPDATE last_generation SET value = ?1")?
            .execute([self.written])?;
        transaction.commit()?;
        Ok(begun.elapsed())
    }
}
