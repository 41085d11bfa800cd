//! Has certificates obtained: says what is wanted, and tells the control plane
//! how that goes, and proxies that share a registry have it in common there.
//! Files that come about are taken over like any that change.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

use crate::{
    acme::{self, Soon, Storage, Turn, Wanted},
    config::Config,
    control::Control,
    registry::{Registry, SharedShelf, ShelfTurn, Shelved, StoreFault, Swap},
    tls::Proofs,
};

/// Where what belongs to the CA that `config` names is kept, if it names one.
pub(super) fn folder(config: &Config) -> Option<PathBuf> {
    Some(config.acme.as_ref()?.folder(&config.registry.data_dir))
}

/// What `config` wants; nothing if no listener has names of `acme`.
pub(super) fn wanted(config: &Config) -> Option<Wanted> {
    let names: Vec<_> = config.automatic_names().into_iter().collect();
    let settings = config.acme.clone().filter(|_| !names.is_empty())?;
    Some(Wanted { settings, names, folder: folder(config)? })
}

/// Begins to keep what `config` wants, and what is told to want later.
pub(super) fn start(
    runtime: &Runtime,
    config: &Config,
    proofs: Proofs,
    control: &Control,
    registry: &Registry,
) -> (watch::Sender<Option<Wanted>>, JoinHandle<()>) {
    let (wants, wanted) = watch::channel(wanted(config));
    let told = control.clone();
    let storage = registry.shelf().map(|shelf| Arc::new(shelf) as Arc<dyn Storage>);
    let keeping = acme::keep(wanted, proofs, storage, move |news| told.acme(news));
    (wants, runtime.spawn(keeping))
}

impl Storage for SharedShelf {
    fn lost(&self) -> Option<Duration> {
        self.lost()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changes()
    }

    fn own(&self) -> &str {
        self.own()
    }

    fn value(&self, key: &str) -> Option<Shelved> {
        self.value(key)
    }

    fn values(&self) -> Vec<(String, Shelved)> {
        self.values()
    }

    fn swap(&self, swaps: Vec<Swap>) -> Soon<'_, Result<bool, StoreFault>> {
        Box::pin(self.swap(swaps))
    }

    fn turn<'a>(&'a self, key: &'a str) -> Soon<'a, Result<Option<Box<dyn Turn>>, StoreFault>> {
        Box::pin(async move {
            let turn = self.turn(key).await?;
            Ok(turn.map(|turn| Box::new(turn) as Box<dyn Turn>))
        })
    }

    fn confirm<'a>(&'a self, key: &'a str, version: i64) -> Soon<'a, Result<(), StoreFault>> {
        Box::pin(self.confirm(key, version))
    }

    fn unconfirmed(&self, key: &str, version: i64) -> Vec<String> {
        self.unconfirmed(key, version)
    }
}

impl Turn for ShelfTurn {
    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>) -> Soon<'a, Result<i64, StoreFault>> {
        Box::pin(self.put(key, value))
    }
}
