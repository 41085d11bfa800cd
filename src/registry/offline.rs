//! What is done to a store while no proxy runs on it: checked, carried away,
//! filled, and put back together. Checking and exporting only read, and may be
//! done beside a proxy in another process; in this one they would take from
//! SQLite the locks of a store that is open.

use std::path::{Path, PathBuf};

use super::{
    ExportError, OpenError, Registration, StoreFault,
    export::Export,
    folder::Folder,
    snapshot,
    store::{self, Contents, Reader, Store},
};

/// Added to the last generation when a store is restored: more than can have
/// been given since the snapshot, so that none is given twice.
const GAP: u64 = 1_000_000_000;

/// Why a store could not be filled or restored. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// The store or its folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file is not an export.
    #[error("{path}: {why}")]
    Export {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: ExportError,
    },
    /// The store took no write.
    #[error("nothing was imported: {0}")]
    Store(StoreFault),
    /// There is no snapshot of what would be replaced.
    #[error("nothing was imported, as there is no snapshot of what would be replaced: {0}")]
    Snapshot(super::SnapshotError),
    /// There is nothing to restore from.
    #[error("{path} holds no snapshot that is whole; name an export with --from")]
    NoSnapshot {
        /// The folder of the snapshots.
        path: PathBuf,
    },
}

/// What a check of a store found.
#[derive(Debug)]
pub struct Verification {
    /// The database.
    pub path: PathBuf,
    /// What it holds, or what is wrong with it.
    pub store: Result<StoreSummary, OpenError>,
    /// The snapshots, newest first: what they hold, or what is wrong.
    pub snapshots: Vec<(PathBuf, Result<Export, ExportError>)>,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSummary {
    /// Registered instances.
    pub instances: usize,
    /// The highest generation given so far.
    pub last_generation: u64,
    /// Bytes of the database and its log.
    pub size: u64,
}

/// Checks the store in `data_dir` and its snapshots, all of each.
#[must_use]
pub fn verify(data_dir: &Path) -> Verification {
    let (path, store) = (store::path(data_dir), verify_store(data_dir));
    let snapshots = match snapshot::list(data_dir) {
        Ok(all) => all.into_iter().rev().map(|(_, path)| (path.clone(), snapshot::read(&path))),
        Err(error) => {
            let unreadable = Err(ExportError::Unreadable(error.to_string()));
            let snapshots = vec![(data_dir.join(snapshot::FOLDER), unreadable)];
            return Verification { path, store, snapshots };
        }
    };
    Verification { path, store, snapshots: snapshots.collect() }
}

fn verify_store(data_dir: &Path) -> Result<StoreSummary, OpenError> {
    // Before the store is read: a proxy at work writes them the other way
    // round.
    let mark = store::read_mark(data_dir);
    let reader = Reader::careful(data_dir)?;
    let contents = reader.read()?;
    store::check_mark(&store::path(data_dir), mark, contents.commits)?;
    Ok(StoreSummary {
        instances: contents.registrations.len(),
        last_generation: contents.last_generation,
        size: reader.size(),
    })
}

/// Reads everything in the store in `data_dir`, as it is at one moment. A
/// proxy may be at work on it.
///
/// # Errors
///
/// If the store is not whole.
pub fn export(data_dir: &Path) -> Result<Export, OpenError> {
    Ok(Export::of(Reader::careful(data_dir)?.read()?))
}

/// Reads what can be read of a damaged store, and tells what cannot.
///
/// # Errors
///
/// If nothing can.
pub fn export_readable(data_dir: &Path) -> Result<(Export, Vec<OpenError>), OpenError> {
    let reader = Reader::of_damaged(data_dir)?;
    let (mut registrations, mut wrong) = reader.salvage();
    registrations.sort_by_key(|it| it.instance.key());
    let highest = registrations.iter().map(|it| it.generation).max().unwrap_or(0);
    let last_generation = match reader.state() {
        Ok(state) => {
            let found = registrations.len() + wrong.len();
            if state.instances != found as u64 {
                let found =
                    format!("it should hold {} instances, and {found} show", state.instances);
                wrong.push(OpenError::Damaged { path: store::path(data_dir), found });
            }
            state.last_generation.max(highest)
        }
        Err(error) => {
            wrong.push(error);
            highest.saturating_add(GAP)
        }
    };
    let contents = Contents { registrations, last_generation, commits: 0 };
    Ok((Export::of(contents), wrong))
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Instances of the file that are in the store now and were not before,
    /// or not like this.
    pub taken: usize,
    /// Those that the store kept its own of.
    pub kept: usize,
    /// Instances that went, since the file does not have them.
    pub removed: usize,
    /// Instances in the store now.
    pub instances: usize,
}

/// Adds what `export` holds to the store in `data_dir`, or puts it in the
/// place of what is there, of which it makes a snapshot first. All of it, or
/// nothing.
///
/// # Errors
///
/// If a proxy has the store open, or it cannot be written.
pub fn import(data_dir: &Path, export: &Export, replace: bool) -> Result<Imported, OfflineError> {
    let (mut store, present) = Store::open(data_dir)?;
    let (contents, imported) = match replace {
        true => replaced(&present, export),
        false => merged(&present, export),
    };
    if replace && !present.registrations.is_empty() {
        snapshot::take(data_dir).map_err(OfflineError::Snapshot)?;
    }
    store.replace(&contents).map_err(OfflineError::Store)?;
    Ok(imported)
}

/// What is left of `present` if `export` takes its place.
fn replaced(present: &Contents, export: &Export) -> (Contents, Imported) {
    let after = &export.contents;
    let is_there = |it: &&Registration| find(after, it).is_some();
    let stays = present.registrations.iter().filter(is_there).count();
    let same = |it: &&Registration| find(present, it) == Some(it);
    let kept = after.registrations.iter().filter(same).count();
    let imported = Imported {
        taken: after.registrations.len() - kept,
        kept,
        removed: present.registrations.len() - stays,
        instances: after.registrations.len(),
    };
    let last_generation = present.last_generation.max(after.last_generation);
    (Contents { last_generation, ..after.clone() }, imported)
}

/// `present` and those of `export` that it does not have. A generation that
/// was given here already is not given again.
fn merged(present: &Contents, export: &Export) -> (Contents, Imported) {
    let mut contents = present.clone();
    let mut imported = Imported::default();
    contents.last_generation = present.last_generation.max(export.contents.last_generation);
    for registration in export.registrations() {
        if find(present, registration).is_some() {
            imported.kept += 1;
            continue;
        }
        let mut registration = registration.clone();
        if registration.generation <= present.last_generation {
            contents.last_generation += 1;
            registration.generation = contents.last_generation;
        }
        contents.registrations.push(registration);
        imported.taken += 1;
    }
    contents.registrations.sort_by_key(|it| it.instance.key());
    imported.instances = contents.registrations.len();
    (contents, imported)
}

/// The registration in `contents` under the key of `like`.
fn find<'a>(contents: &'a Contents, like: &Registration) -> Option<&'a Registration> {
    let (key, all) = (like.instance.key(), &contents.registrations);
    let place = all.binary_search_by_key(&key, |it| it.instance.key()).ok()?;
    all.get(place)
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// The snapshot or export that it was restored from.
    pub from: PathBuf,
    /// What the store holds now.
    pub export: Export,
    /// Newer snapshots that are not whole.
    pub passed_over: Vec<(PathBuf, ExportError)>,
    /// Where what was there before is now.
    pub aside: PathBuf,
}

/// Puts the export at `from`, or the newest snapshot that is whole, in the
/// place of the store in `data_dir`, and keeps what was there.
///
/// # Errors
///
/// If a proxy has the store open, or there is nothing to restore from.
pub fn restore(data_dir: &Path, from: Option<&Path>) -> Result<Restored, OfflineError> {
    // Not to be made: a folder that is not there is the wrong one.
    std::fs::read_dir(data_dir).map_err(|source| OpenError::File {
        doing: "open",
        path: data_dir.to_owned(),
        source,
    })?;
    let folder = Folder::open(data_dir)?;
    let (from, export, passed_over) = match from {
        Some(path) => {
            let export = snapshot::read(path)
                .map_err(|why| OfflineError::Export { path: path.to_owned(), why })?;
            (path.to_owned(), export, Vec::new())
        }
        None => newest(data_dir)?,
    };
    let contents = Contents {
        last_generation: last_generation(data_dir, &export.contents),
        ..export.contents.clone()
    };
    let aside = Store::supplant(&folder, &contents)?;
    Ok(Restored { from, export, passed_over, aside })
}

type Found = (PathBuf, Export, Vec<(PathBuf, ExportError)>);

/// The newest snapshot that is whole, and the newer ones that are not.
fn newest(data_dir: &Path) -> Result<Found, OfflineError> {
    let path = data_dir.join(snapshot::FOLDER);
    let all = snapshot::list(data_dir).map_err(|source| OpenError::File {
        doing: "read",
        path: path.clone(),
        source,
    })?;
    let mut passed_over = Vec::new();
    for (_, path) in all.into_iter().rev() {
        match snapshot::read(&path) {
            Ok(export) => return Ok((path, export, passed_over)),
            Err(error) => passed_over.push((path, error)),
        }
    }
    Err(OfflineError::NoSnapshot { path })
}

/// One that no registration can have had: if the damaged store still tells
/// its last one, that; otherwise one far beyond those of the snapshot.
fn last_generation(data_dir: &Path, restored: &Contents) -> u64 {
    let told = Reader::of_damaged(data_dir).and_then(|reader| reader.state());
    match told {
        Ok(state) if store::read_mark(data_dir).is_none_or(|mark| mark <= state.commits) => {
            state.last_generation.max(restored.last_generation)
        }
        _ => restored.last_generation.saturating_add(GAP),
    }
}

#[cfg(test)]
mod tests;
