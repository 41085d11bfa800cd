//! Notices that files of certificates, keys and CAs have changed.
//!
//! They are looked at every now and then: they may be links into folders that
//! are replaced as a whole, which no watch of a single folder tells of. A key
//! is written beside its certificate, so they are read when nothing has
//! changed since the last look.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::acme::folder;
use crate::{
    config::Config,
    model::{ClientTlsSettings, ServerTlsSettings},
    tls::Automatic,
};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another: device, inode, length, and
/// when it was last changed. None if it cannot be looked at.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

type Stamps = BTreeMap<PathBuf, Stamp>;

/// Looks at the files that a config names.
#[derive(Debug)]
pub(super) struct CertificateWatch {
    looks: Interval,
    /// As they were when they were last read.
    known: Stamps,
    /// As they were at the last look.
    last: Stamps,
}

impl CertificateWatch {
    /// Takes the files that `config` names for known.
    pub(super) fn new(config: &Config) -> Self {
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let known = stamps(&files(config));
        Self { looks, last: known.clone(), known }
    }

    /// Takes the files that `config` names, and that are not known, for known:
    /// they are about to be read.
    pub(super) fn know(&mut self, config: &Config) {
        for (file, stamp) in stamps(&files(config)) {
            self.known.entry(file).or_insert(stamp);
        }
    }

    /// Waits for the time of the next look.
    pub(super) async fn tick(&mut self) {
        self.looks.tick().await;
    }

    /// Whether the files that `config` names have changed, and nobody writes
    /// them any more. Told once.
    pub(super) async fn changed(&mut self, config: &Config) -> bool {
        let files = files(config);
        if files.is_empty() {
            return false;
        }
        // Disks may be far away.
        let looked = tokio::task::spawn_blocking(move || stamps(&files)).await;
        let Ok(now) = looked else { return false };
        let still = now == self.last;
        let is_new = |(file, stamp): (&PathBuf, &Stamp)| self.known.get(file) != Some(stamp);
        let changed = still && now.iter().any(is_new);
        if changed {
            self.known.clone_from(&now);
        }
        self.last = now;
        changed
    }
}

fn stamps(files: &[PathBuf]) -> Stamps {
    files.iter().map(|file| (file.clone(), stamp(file))).collect()
}

fn stamp(file: &Path) -> Stamp {
    let it = fs::metadata(file).ok()?;
    Some((it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
}

/// The files of certificates, keys and CAs that `config` names.
fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for tls in config.listener.iter().filter_map(|listener| listener.tls.as_ref()) {
        server(tls, &mut files);
    }
    let fronts = config.front.iter().map(|front| &front.tls);
    for tls in fronts.chain([&config.admin.tls]).flatten() {
        server(&tls.into(), &mut files);
    }
    if let Some(folder) = folder(config) {
        let names = config.automatic_names();
        files.extend(names.iter().map(|name| Automatic::file(&folder, name)));
    }
    client(&config.defaults.tls, &mut files);
    for service in config.service.values() {
        client(&service.tls, &mut files);
    }
    files
}

fn server(tls: &ServerTlsSettings, files: &mut Vec<PathBuf>) {
    for pair in &tls.certificates {
        files.extend([pair.cert.clone(), pair.key.clone()]);
    }
    files.extend(tls.client_ca.clone());
    files.extend(tls.host.iter().filter_map(|host| host.client_ca.clone()));
}

fn client(tls: &ClientTlsSettings, files: &mut Vec<PathBuf>) {
    files.extend([&tls.ca, &tls.cert, &tls.key].into_iter().flatten().cloned());
}
