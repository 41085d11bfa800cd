//! Rows: a registration or the state of the store, written with a checksum,
//! and not believed without it.

use std::path::Path;

use rusqlite::{Connection, Row};
use sha2::{Digest, Sha256};

use super::{Contents, schema::unusable};
use crate::{
    model::Instance,
    registry::{OpenError, Registration},
};

/// The one row of `state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::registry) struct State {
    /// The highest generation given so far.
    pub(in crate::registry) last_generation: u64,
    /// Transactions committed since the store was made.
    pub(in crate::registry) commits: u64,
    /// Rows of `instance`.
    pub(in crate::registry) instances: u64,
}

impl State {
    fn sum(self) -> i64 {
        let numbers = [self.last_generation, self.commits, self.instances];
        sum(numbers.map(u64::to_be_bytes).iter().map(<[u8; 8]>::as_slice))
    }
}

/// The first eight bytes of the SHA-256 of `fields`, each with its length.
fn sum<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> i64 {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | i64::from(*byte))
}

pub(super) fn row_sum(
    key: [&str; 2],
    generation: i64,
    draining: bool,
    owner: Option<&str>,
    body: &str,
) -> i64 {
    sum([
        key[0].as_bytes(),
        key[1].as_bytes(),
        &generation.to_be_bytes(),
        &[draining.into(), owner.is_some().into()],
        owner.unwrap_or_default().as_bytes(),
        body.as_bytes(),
    ])
}

/// Writes `registration` in the place of the one under its key.
pub(super) fn put(connection: &Connection, registration: &Registration) -> rusqlite::Result<()> {
    let Registration { instance, generation, draining, owner } = registration;
    let key = [instance.service.as_str(), instance.id.as_str()];
    let body = serde_json::to_string(instance)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let generation = generation.cast_signed();
    let sum = row_sum(key, generation, *draining, owner.as_deref(), &body);
    connection
        .prepare_cached("INSERT OR REPLACE INTO instance VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute((key[0], key[1], generation, draining, owner, body, sum))?;
    Ok(())
}

/// Writes the state of the store.
pub(super) fn put_state(connection: &Connection, state: &State) -> rusqlite::Result<()> {
    let State { last_generation, commits, instances } = state;
    connection
        .prepare_cached(
            "UPDATE state SET last_generation = ?1, commits = ?2, instances = ?3, sum = ?4",
        )?
        .execute((
            last_generation.cast_signed(),
            commits.cast_signed(),
            instances.cast_signed(),
            state.sum(),
        ))?;
    Ok(())
}

/// Reads everything, and believes nothing that does not fit the rest.
pub(super) fn read(connection: &Connection, path: &Path) -> Result<Contents, OpenError> {
    let damaged = |found: String| OpenError::Damaged { path: path.to_owned(), found };
    let state = read_state(connection, path)?;
    let mut registrations = Vec::new();
    each(connection, path, |row| {
        registrations.push(row?);
        Ok(())
    })?;
    if registrations.len() as u64 != state.instances {
        let found =
            format!("it should hold {} instances, {}", state.instances, registrations.len());
        return Err(damaged(format!("{found} are there")));
    }
    let last = state.last_generation;
    if let Some(beyond) = registrations.iter().find(|it| it.generation > last) {
        let (key, generation) = (beyond.instance.key(), beyond.generation);
        let found = format!("{key} has generation {generation}, the last one given is {last}");
        return Err(damaged(found));
    }
    Ok(Contents { registrations, last_generation: last, commits: state.commits })
}

pub(super) fn read_state(connection: &Connection, path: &Path) -> Result<State, OpenError> {
    let damaged = |found: &str| OpenError::Damaged { path: path.to_owned(), found: found.into() };
    let sql = "SELECT count(*), max(last_generation), max(commits), max(instances), max(sum)
               FROM state";
    let read = |row: &Row<'_>| {
        let number = |index| row.get::<_, Option<i64>>(index).map(Option::unwrap_or_default);
        Ok([number(0)?, number(1)?, number(2)?, number(3)?, number(4)?])
    };
    let [rows, last_generation, commits, instances, sum] =
        connection.query_row(sql, [], read).map_err(|error| unusable("read", path, error))?;
    let state = State {
        last_generation: last_generation.cast_unsigned(),
        commits: commits.cast_unsigned(),
        instances: instances.cast_unsigned(),
    };
    match (rows, state.sum() == sum) {
        (1, true) => Ok(state),
        (1, false) => Err(damaged("the row of its state does not fit its checksum")),
        _ => Err(damaged("it has no one row of state")),
    }
}

/// Gives every row to `take`, in the order of service and id, damaged ones
/// too. Ends early where `take` or the database does.
pub(super) fn each(
    connection: &Connection,
    path: &Path,
    mut take: impl FnMut(Result<Registration, OpenError>) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let sqlite = |error| unusable("read", path, error);
    let mut statement = connection
        .prepare(
            "SELECT service, id, generation, draining, owner, body, sum FROM instance
             ORDER BY service, id",
        )
        .map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        take(registration(row, path))?;
    }
    Ok(())
}

fn registration(row: &Row<'_>, path: &Path) -> Result<Registration, OpenError> {
    let sqlite = |error| unusable("read", path, error);
    let (service, id): (String, String) =
        (row.get(0).map_err(sqlite)?, row.get(1).map_err(sqlite)?);
    let bad = |why: String| OpenError::DamagedRow {
        path: path.to_owned(),
        row: format!("{service}/{id}").escape_debug().to_string(),
        why,
    };
    let generation: i64 = row.get(2).map_err(sqlite)?;
    let draining: bool = row.get(3).map_err(sqlite)?;
    let owner: Option<String> = row.get(4).map_err(sqlite)?;
    let body: String = row.get(5).map_err(sqlite)?;
    let sum: i64 = row.get(6).map_err(sqlite)?;
    if sum != row_sum([&service, &id], generation, draining, owner.as_deref(), &body) {
        return Err(bad("it does not fit its checksum".to_owned()));
    }
    let instance: Instance =
        serde_json::from_str(&body).map_err(|error| bad(format!("its body: {error}")))?;
    if instance.service.as_str() != service || instance.id.as_str() != id {
        return Err(bad(format!("its body is that of {}", instance.key())));
    }
    let generation =
        u64::try_from(generation).map_err(|_| bad("its generation is negative".to_owned()))?;
    Ok(Registration { instance, generation, draining, owner })
}
