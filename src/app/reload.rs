//! Reloading the config file: read and checked as a whole, then taken over, or
//! not at all. Upgrades stand in the same queue, since both change what the
//! process is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinError,
};

use super::{
    Error, acme, allow_loopback,
    certificates::CertificateWatch,
    fronts::{Fronts, Premises, load_tls},
    handover::Heir,
    inherited::InheritedSockets,
    listeners::Listeners,
    notify::Notifier,
    program::Program,
};
use crate::{
    acme::Wanted,
    admin::{AdminSettings, AdminState},
    config::{self, Config, Loaded, Report},
    control::{
        Control, Reloaded,
        diagnosis::{failed, good, refused},
        view::{ReloadView, UpgradeView},
    },
    file_watch::FileWatch,
    health::Prober,
    model::{AddressGuard, SharedGuard},
    registry::Registry,
    telemetry::AccessLog,
    tls::{Facts, ServerTls, SharedServerTls},
    worker::Worker,
};

/// Carries out reloads and upgrades, one after the other.
pub(super) struct Reloader {
    pub(super) control: Control,
    pub(super) listeners: Listeners,
    pub(super) workers: Arc<[Worker]>,
    pub(super) admin: SocketAddr,
    pub(super) settings: watch::Sender<Arc<AdminSettings>>,
    pub(super) access_log: AccessLog,
    pub(super) prober: Prober,
    pub(super) guard: SharedGuard,
    pub(super) registry: Registry,
    pub(super) admin_state: AdminState,
    /// The admin socket and its address in the config file, for a process that
    /// takes over.
    pub(super) admin_socket: (SocketAddr, TcpListener),
    /// What the admin address speaks TLS with.
    pub(super) admin_tls: SharedServerTls,
    pub(super) fronts: Fronts,
    pub(super) premises: Premises,
    pub(super) certificates: CertificateWatch,
    /// What certificates are to be obtained.
    pub(super) acme: watch::Sender<Option<Wanted>>,
    /// How to start such a process, if that can be done.
    pub(super) program: Option<Program>,
    pub(super) notifier: Notifier,
    /// What the process was started with.
    pub(super) first: Arc<Loaded>,
}

/// What is asked for from outside.
#[derive(Debug)]
pub(super) struct Requests {
    pub(super) reloads: mpsc::Receiver<oneshot::Sender<ReloadView>>,
    pub(super) upgrades: mpsc::Receiver<oneshot::Sender<UpgradeView>>,
}

impl Reloader {
    /// Serves `requests`, and reloads by itself when the file changes, until
    /// another process has taken over.
    pub(super) async fn run(mut self, mut requests: Requests) -> Option<Heir> {
        let path = self.control.loaded().file.clone();
        let mut watch = FileWatch::start(Path::new(&path));
        // What the last reload read, whether it took effect or not.
        let mut seen = Some(self.control.loaded().text.clone());
        loop {
            tokio::select! {
                request = requests.upgrades.recv() => {
                    let answer = request?;
                    let (view, heir) = self.upgrade().await;
                    let _ = answer.send(view);
                    if heir.is_some() {
                        return heir;
                    }
                }
                request = requests.reloads.recv() => match request {
                    Some(answer) => {
                        let read = read(&path).await;
                        seen = text_of(&read).cloned();
                        let view = self.take_over(&path, read).await;
                        let _ = answer.send(view);
                    }
                    None => return None,
                },
                () = self.certificates.tick() => {
                    let loaded = self.control.loaded();
                    if self.certificates.changed(&loaded.config).await {
                        self.renew_certificates(&loaded.config);
                    }
                }
                text = watch.changed() => {
                    if seen.as_ref() == Some(&text) {
                        continue;
                    }
                    let read = read(&path).await;
                    // Else it has just changed again, and we will be told.
                    if text_of(&read) == Some(&text) {
                        self.take_over(&path, read).await;
                        seen = Some(text);
                    }
                }
            }
        }
    }

    async fn take_over(&mut self, path: &str, read: Read) -> ReloadView {
        // Before it is ready for the first time, nobody asks for this.
        let is_ready = self.control.waiting_for().is_empty();
        if is_ready {
            self.notifier.reloading();
        }
        let view = self.try_take_over(path, read).await;
        if is_ready {
            self.notifier.ready();
        }
        view
    }

    async fn try_take_over(&mut self, path: &str, read: Read) -> ReloadView {
        let loaded = match read {
            Ok(Ok(loaded)) => Arc::new(loaded),
            Ok(Err(report)) => {
                let problems = report.render(false);
                tracing::error!("{path} is refused, the old one stays:\n{problems}");
                self.control.reload_failed(report.summary(), problems);
                return refused(&report);
            }
            Err(error) => return self.failed(path, error.to_string()),
        };
        self.certificates.know(&loaded.config);
        let admin_tls = match self.load_admin(&loaded.config) {
            Ok(admin_tls) => admin_tls,
            Err(error) => return self.failed(path, error.to_string()),
        };
        let fronts = self.fronts.bind(&loaded.config.front, &mut InheritedSockets::default());
        let fronts = match fronts {
            Ok(fronts) => fronts,
            Err(error) => return self.failed(path, error.to_string()),
        };
        self.listeners.obtained_in(acme::folder(&loaded.config));
        let bound =
            match self.listeners.bind(&loaded.config.listener, &mut InheritedSockets::default()) {
                Ok(bound) => bound,
                Err(error) => return self.failed(path, error.to_string()),
            };
        if let Err(error) = self.access_log.configure(&loaded.config.telemetry.access_log) {
            return self.failed(path, Error::AccessLog(error).to_string());
        }
        // From here on nothing can fail.
        let old = self.control.loaded();
        let mut changes = differences(&old.config, &loaded.config);
        changes.extend(bound.sets.iter().map(|set| format!("+ listener {}", set.address)));
        changes.extend(self.listeners.update(&loaded.config.listener, &bound, &self.workers));
        self.listeners.open(bound, &self.workers);
        changes.extend(self.fronts.update(&loaded.config.front, &fronts));
        self.fronts.open(fronts, &self.premises);
        self.control.has_fronts(self.fronts.views());
        // A new admin address takes a restart. Until then its tokens, or that
        // it needs none, must not open the old one.
        if loaded.config.admin.address == self.settings.borrow().address {
            self.admin_tls.store(admin_tls);
            self.settings.send_replace(Arc::new(loaded.config.admin.clone()));
        }
        self.prober.configure(&loaded.config.health);
        let own = self.listeners.addresses().chain([self.admin]).chain(self.fronts.addresses());
        let guard = AddressGuard::new(allow_loopback(&loaded, self.admin), own.collect());
        self.prober.set_guard(guard.clone());
        self.guard.store(Arc::new(guard));
        self.control.configure(Arc::clone(&loaded)).await;
        self.tell_certificates();
        self.acme.send_replace(acme::wanted(&loaded.config));
        let needs_restart = needs_restart(&self.first.config, &loaded.config);
        let reloaded = Reloaded {
            listeners: self.listeners.addresses().collect(),
            numbered: self.listeners.numbered().to_vec(),
            needs_restart: needs_restart.clone(),
        };
        self.control.reload_succeeded(Arc::clone(&loaded), reloaded);
        tracing::info!("{path} is loaded: {}", summary(&changes));
        for line in &needs_restart {
            tracing::warn!("{line} takes effect after a restart");
        }
        ReloadView { changes, needs_restart, ..good(&loaded) }
    }

    /// Reads certificates, keys and CAs again after they have changed.
    fn renew_certificates(&self, config: &Config) {
        let mut problems = self.listeners.refresh();
        problems.extend(self.fronts.refresh());
        // Where the address is another one, it takes a restart all the same.
        if config.admin.address == self.settings.borrow().address {
            match self.load_admin(config) {
                Ok(tls) => self.admin_tls.store(tls),
                Err(error) => problems.push(error.to_string()),
            }
        }
        problems.extend(self.control.renew_connectors());
        self.control.certificates_changed(self.certificates_in_use(), problems);
    }

    fn load_admin(&self, config: &Config) -> Result<Option<Arc<ServerTls>>, Error> {
        let (admin, before) = (&config.admin, self.admin_tls.load_full());
        load_tls(admin.address.0, admin.tls.as_ref(), before.as_deref())
    }

    /// Tells the control plane which certificates are in use.
    pub(super) fn tell_certificates(&self) {
        self.control.certificates(self.certificates_in_use());
    }

    fn certificates_in_use(&self) -> Vec<(String, Facts)> {
        let mut all = self.listeners.certificates();
        all.extend(self.fronts.certificates());
        if let Some(tls) = &*self.admin_tls.load() {
            all.extend(tls.facts().iter().map(|facts| ("admin".to_owned(), facts.clone())));
        }
        all
    }

    fn failed(&self, path: &str, message: String) -> ReloadView {
        tracing::error!("{path} is refused, the old one stays: {message}");
        self.control.reload_failed(message.clone(), message.clone());
        failed(path, message)
    }
}

/// What came of reading the file.
type Read = Result<Result<Loaded, Report>, JoinError>;

async fn read(path: &str) -> Read {
    let file = path.to_owned();
    tokio::task::spawn_blocking(move || config::load(Path::new(&file))).await
}

fn text_of(read: &Read) -> Option<&String> {
    match read {
        Ok(Ok(loaded)) => Some(&loaded.text),
        Ok(Err(report)) => Some(&report.text),
        Err(_) => None,
    }
}

fn summary(changes: &[String]) -> String {
    match changes {
        [] => "nothing changed".to_owned(),
        changes => changes.join(", "),
    }
}

/// What a reload changes, a line each.
fn differences(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let names = old.service.keys().chain(new.service.keys());
    let names: BTreeSet<_> = names.collect();
    for name in names {
        match (old.service.get(name), new.service.get(name)) {
            (None, Some(_)) => lines.push(format!("+ service {name}")),
            (Some(_), None) => lines.push(format!("- service {name}")),
            (old, new) if old != new => lines.push(format!("~ service {name}")),
            _ => {}
        }
    }
    let (old_names, new_names) = (config::route_names(&old.route), config::route_names(&new.route));
    for (name, route) in new_names.iter().zip(&new.route) {
        match old_names.iter().position(|old| old == name) {
            None => lines.push(format!("+ route {name}")),
            Some(index) if old.route[index] != *route => lines.push(format!("~ route {name}")),
            Some(_) => {}
        }
    }
    let gone = old_names.iter().filter(|name| !new_names.contains(name));
    lines.extend(gone.map(|name| format!("- route {name}")));
    let sources = |config: &Config| -> BTreeMap<_, _> {
        config.source.iter().map(|source| (source.name(), source.clone())).collect()
    };
    let (old_sources, new_sources) = (sources(old), sources(new));
    for name in old_sources.keys().chain(new_sources.keys()).collect::<BTreeSet<_>>() {
        match (old_sources.get(name), new_sources.get(name)) {
            (None, Some(_)) => lines.push(format!("+ source {name}")),
            (Some(_), None) => lines.push(format!("- source {name}")),
            (old, new) if old != new => lines.push(format!("~ source {name}")),
            _ => {}
        }
    }
    for (section, same) in [
        ("defaults", old.defaults == new.defaults),
        ("admin", old.admin == new.admin),
        ("acme", old.acme == new.acme),
        ("registry", old.registry == new.registry),
        ("health", old.health == new.health),
        ("telemetry", old.telemetry == new.telemetry),
    ] {
        if !same {
            lines.push(format!("~ [{section}]"));
        }
    }
    lines
}

/// What a reload cannot change.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let limits = |config: &Config| {
        let registry = &config.registry;
        (registry.forget_after, registry.max_services, registry.max_instances_per_service)
    };
    let snapshots =
        |config: &Config| (config.registry.snapshot_every, config.registry.snapshots_kept);
    let queue = |config: &Config| config.telemetry.access_log.queue;
    [
        ("workers", old.workers == new.workers),
        ("admin.address", old.admin.address == new.admin.address),
        ("admin.audit_log", old.admin.audit_log == new.admin.audit_log),
        ("registry.backend", old.registry.backend == new.registry.backend),
        ("[registry.etcd]", old.registry.etcd == new.registry.etcd),
        ("registry.data_dir", old.registry.data_dir == new.registry.data_dir),
        ("the limits of [registry]", limits(old) == limits(new)),
        ("the snapshots of [registry]", snapshots(old) == snapshots(new)),
        ("telemetry.log", old.telemetry.log == new.telemetry.log),
        ("telemetry.access_log.queue", queue(old) == queue(new)),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(key, _)| key.to_owned())
    .collect()
}
