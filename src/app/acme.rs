//! Has certificates obtained: says what is wanted, and tells the control plane
//! how that goes. Files that come about are taken over like any that change.

use std::path::PathBuf;

use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

use crate::{
    acme::{self, SoleIssuer, Wanted},
    config::Config,
    control::Control,
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
) -> (watch::Sender<Option<Wanted>>, JoinHandle<()>) {
    let (wants, wanted) = watch::channel(wanted(config));
    let told = control.clone();
    let keeping = acme::keep(wanted, proofs, SoleIssuer, move |news| told.acme(news));
    (wants, runtime.spawn(keeping))
}
