//! `portolan registry`: the store of the registry as files, without the admin
//! API. `verify` and `export` only read, and may run beside the proxy; `import`
//! and `restore` need it to be stopped.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::{
    config,
    config_file::NoConfigFile,
    exit::{Exit, UsageError},
    output::{FormatArgs, Output},
    text::{BAD, Cell, Columns, GOOD, count, plain, span},
};
use crate::registry::{
    self, Backend, EtcdBackendSettings, Export, Imported, OpenError, Restored, Verification,
};

/// Which store is meant.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// The folder of the store [default: the registry of the config file]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// The verbs of `registry`.
#[derive(Debug, Subcommand)]
pub(super) enum RegistryVerb {
    /// Check the store and its snapshots
    #[command(after_help = "Exit code 1 if anything is damaged.")]
    Verify {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Write everything that is registered as lines of JSON
    #[command(after_help = "May be used while the proxy runs.")]
    Export {
        #[command(flatten)]
        store: StoreArgs,
        /// The file to write [default: the standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write what a damaged store still tells, and say what is missing
        #[arg(long)]
        readable: bool,
    },
    /// Add what an export holds to the store of a stopped proxy, or to etcd
    #[command(after_help = "\
What is registered already stays as it is. With --replace it goes, and a
snapshot of it is made first. All of the file is taken over, or nothing.

Where the config file says that the registry is in etcd, the proxies run on.
Each instance is written by itself, and no snapshot is made.")]
    Import {
        #[command(flatten)]
        store: StoreArgs,
        /// An export or a snapshot; - is the standard input
        file: PathBuf,
        /// Put it in the place of what is there
        #[arg(long)]
        replace: bool,
    },
    /// Put the newest snapshot in the place of a damaged store
    #[command(after_help = "What was there is kept, in the folder `damaged` beside it.")]
    Restore {
        #[command(flatten)]
        store: StoreArgs,
        /// A snapshot or export other than the newest snapshot that is whole
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
}

impl RegistryVerb {
    pub(super) fn perform(&self, config: Result<PathBuf, NoConfigFile>) -> anyhow::Result<Output> {
        match self {
            Self::Verify { store, format } => {
                let found = registry::verify(&store.folder(config)?);
                let view = VerifyView::of(&found, SystemTime::now());
                let output = Output::of(format.format, &view, || verified(&view))?;
                Ok(output.exit(Exit::yes(view.ok)))
            }
            Self::Export { store, output, readable } => {
                let (export, wrong) = match (store.place(config)?, readable) {
                    (Place::Folder(folder), true) => registry::export_readable(&folder)?,
                    (Place::Folder(folder), false) => (registry::export(&folder)?, Vec::new()),
                    (Place::Etcd(_), true) => return Err(only_here("--readable").into()),
                    (Place::Etcd(etcd), false) => {
                        let read = registry::carry::export(&etcd);
                        (super::runtime()?.block_on(read)?, Vec::new())
                    }
                };
                exported(&export, &wrong, output.as_deref())
            }
            Self::Import { store, file, replace } => import(&store.place(config)?, file, *replace),
            Self::Restore { store, from } => {
                let restored = registry::restore(&store.folder(config)?, from.as_deref())?;
                Ok(Output::ok(told(&restored, SystemTime::now())))
            }
        }
    }
}

impl StoreArgs {
    fn folder(&self, config: Result<PathBuf, NoConfigFile>) -> anyhow::Result<PathBuf> {
        match self.place(config)? {
            Place::Folder(folder) => Ok(folder),
            Place::Etcd(_) => Err(only_here("this").into()),
        }
    }

    fn place(&self, config: Result<PathBuf, NoConfigFile>) -> anyhow::Result<Place> {
        if let Some(folder) = &self.data_dir {
            return Ok(Place::Folder(folder.clone()));
        }
        let hint = "which store? Name its folder with --data-dir";
        let path = config.context(hint)?;
        let loaded = config::load(&path).map_err(|_| {
            let path = path.display();
            UsageError(format!("{hint}; {path} has errors, see `portolan check`"))
        })?;
        let registry = loaded.config.registry;
        match (registry.backend, registry.etcd) {
            (Backend::Embedded, _) => Ok(Place::Folder(registry.data_dir)),
            (Backend::Etcd, Some(etcd)) => Ok(Place::Etcd(Box::new(etcd))),
            (Backend::Etcd, None) => {
                let what = "the registry of this config file is in etcd, and it does not say where";
                Err(UsageError(what.to_owned()).into())
            }
        }
    }
}

/// Where a registry is.
#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Etcd(Box<EtcdBackendSettings>),
}

/// What is of no use to a registry in etcd.
fn only_here(what: &str) -> UsageError {
    UsageError(format!(
        "the registry of this config file is in etcd, and {what} is for the files of an embedded \
         one; name the folder of one with --data-dir"
    ))
}

#[derive(Debug, Serialize)]
struct VerifyView {
    ok: bool,
    files: Vec<FileView>,
}

/// The store, or one of its snapshots.
#[derive(Debug, Default, Serialize)]
struct FileView {
    path: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// How old a snapshot is.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl VerifyView {
    fn of(found: &Verification, now: SystemTime) -> Self {
        let path = |path: &Path| path.display().to_string();
        let store = match &found.store {
            Ok(store) => FileView {
                path: path(&found.path),
                ok: true,
                instances: Some(store.instances),
                last_generation: Some(store.last_generation),
                bytes: Some(store.size),
                ..FileView::default()
            },
            Err(error) => FileView {
                path: path(&found.path),
                error: Some(error.to_string()),
                ..FileView::default()
            },
        };
        let snapshots = found.snapshots.iter().map(|(file, export)| match export {
            Ok(export) => FileView {
                path: path(file),
                ok: true,
                instances: Some(export.registrations().len()),
                last_generation: Some(export.last_generation()),
                age_ms: Some(age_ms(export, now)),
                ..FileView::default()
            },
            Err(error) => {
                FileView { path: path(file), error: Some(error.to_string()), ..FileView::default() }
            }
        });
        let files: Vec<_> = [store].into_iter().chain(snapshots).collect();
        Self { ok: files.iter().all(|file| file.ok), files }
    }
}

/// A clock that was moved back makes it one that was taken just now.
fn age_ms(export: &Export, now: SystemTime) -> u64 {
    let age = now.duration_since(export.taken).unwrap_or_default();
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn verified(view: &VerifyView) -> String {
    let mut rows = Columns::default();
    for file in &view.files {
        let (word, about) = match &file.error {
            Some(error) => (Cell::styled(BAD, "BAD"), error.clone()),
            None => (Cell::styled(GOOD, "ok"), about(file)),
        };
        rows.push([Cell::from(&file.path), word, about.into()]);
    }
    rows.to_string()
}

fn about(file: &FileView) -> String {
    let mut parts = vec![count(file.instances.unwrap_or(0), "instance")];
    parts.extend(file.last_generation.map(|last| format!("last generation {last}")));
    parts.extend(file.bytes.map(|bytes| format!("{} KiB", bytes.div_ceil(1024))));
    parts.extend(file.age_ms.map(|age| format!("{} old", span(age))));
    parts.join(", ")
}

fn exported(export: &Export, wrong: &[OpenError], file: Option<&Path>) -> anyhow::Result<Output> {
    let text = export.to_text();
    let mut output = match file {
        None => Output::ok(text),
        Some(file) => {
            let shown = file.display();
            registry::write_whole(file, text.as_bytes())
                .with_context(|| format!("cannot write {shown}"))?;
            let instances = count(export.registrations().len(), "instance");
            Output::ok(format!("{instances} in {}\n", plain(&shown.to_string())))
        }
    };
    for error in wrong {
        output.err += &format!("left out: {}\n", plain(&error.to_string()));
    }
    Ok(output.exit(Exit::yes(wrong.is_empty())))
}

fn import(place: &Place, file: &Path, replace: bool) -> anyhow::Result<Output> {
    let shown = file.display();
    let text = if file == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        fs::read(file)
    };
    let text = text.with_context(|| format!("cannot read {shown}"))?;
    let export =
        Export::parse(&text).with_context(|| format!("nothing was imported from {shown}"))?;
    let Imported { taken, kept, removed, instances } = match place {
        Place::Folder(folder) => registry::import(folder, &export, replace)?,
        Place::Etcd(etcd) => {
            super::runtime()?.block_on(registry::carry::import(etcd, &export, replace))?
        }
    };
    Ok(Output::ok(format!(
        "{taken} taken over, {kept} kept as they were, {removed} removed; \
         {} registered now\n",
        count(instances, "instance")
    )))
}

fn told(restored: &Restored, now: SystemTime) -> String {
    let Restored { from, export, passed_over, aside } = restored;
    let mut text = String::new();
    for (path, error) in passed_over {
        text += &format!("passed over {}: {error}\n", path.display());
    }
    let instances = count(export.registrations().len(), "instance");
    let age = span(age_ms(export, now));
    text += &format!("restored {instances} from {}, {age} old\n", from.display());
    text += &format!("what was there is in {}\n", aside.display());
    // What was passed over may hold anything.
    text.lines().map(|line| plain(line) + "\n").collect()
}

#[cfg(test)]
mod tests;
