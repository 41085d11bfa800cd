//! What is asked of the process as a whole: another config file, another
//! program, its end.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Instant, SystemTime},
};

use tokio::sync::oneshot;

use super::{
    Control, Reloaded,
    diagnosis::{failed, good, refused},
    reconciler::{Command, tell},
    view::{ReloadView, UpgradeView},
};
use crate::config::{self, Loaded};

impl Control {
    /// Takes over a config file, and waits until every worker routes by it.
    pub async fn configure(&self, loaded: Arc<Loaded>) {
        let version = self.ask(|answer| Command::Configure(loaded, answer)).await;
        self.watcher.wait_for(version).await;
    }

    /// Notes that a config file has taken effect.
    pub fn reload_succeeded(&self, loaded: Arc<Loaded>, reloaded: Reloaded) {
        let mut config = self.shared.config.write().unwrap_or_else(PoisonError::into_inner);
        config.loaded = loaded;
        config.loaded_at = Instant::now();
        config.loaded_time = SystemTime::now();
        config.listeners = reloaded.listeners;
        config.numbered = reloaded.numbered;
        config.needs_restart = reloaded.needs_restart;
        config.problems = None;
        config.reloads_ok += 1;
        tell(&self.shared, "config_reloaded", config.path.clone());
    }

    /// Notes that a config file was refused.
    pub fn reload_failed(&self, summary: String, problems: String) {
        let mut config = self.shared.config.write().unwrap_or_else(PoisonError::into_inner);
        config.problems = Some(problems);
        config.reloads_failed += 1;
        let detail = format!("{}: {summary}", config.path);
        tell(&self.shared, "config_refused", detail);
    }

    /// The running config file.
    #[must_use]
    pub fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.shared.config().loaded)
    }

    /// From here on `/readyz` says no.
    pub fn begin_shutdown(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// Checks `text`, or the file on disk.
    pub async fn check_config(&self, text: Option<String>) -> ReloadView {
        let path = self.shared.config().path.clone();
        let checked = tokio::task::spawn_blocking(move || match text {
            Some(text) => config::parse(&text, &path, &|name| std::env::var(name).ok()),
            None => config::load(path.as_ref()),
        });
        match checked.await {
            Ok(Ok(loaded)) => good(&loaded),
            Ok(Err(report)) => refused(&report),
            Err(error) => failed(&self.shared.config().path, error.to_string()),
        }
    }

    /// Reads the file on disk anew, and takes it over if it is good.
    pub async fn reload(&self) -> ReloadView {
        let (answer, answered) = oneshot::channel();
        let sent = self.reloads.send(answer).await.is_ok();
        match answered.await {
            Ok(view) if sent => view,
            _ => failed(&self.shared.config().path, "the proxy is shutting down".to_owned()),
        }
    }

    /// Starts the program anew and hands over to it.
    pub async fn upgrade(&self) -> UpgradeView {
        let (answer, answered) = oneshot::channel();
        let sent = self.upgrades.send(answer).await.is_ok();
        match answered.await {
            Ok(view) if sent => view,
            _ => UpgradeView::refused("the proxy is shutting down"),
        }
    }

    /// Tells that this process has taken over.
    pub fn took_over(&self) {
        let detail = format!("process {} has taken over", std::process::id());
        tell(&self.shared, "upgraded", detail);
    }

    /// Tells of an upgrade, successful or not, from the old process.
    pub fn upgraded(&self, view: &UpgradeView) {
        let (kind, detail) = match &view.pid {
            Some(pid) => ("upgraded", format!("process {pid} has taken over")),
            None => ("upgrade_refused", view.why.clone()),
        };
        tell(&self.shared, kind, detail);
    }

    /// Waits until the control loop has turned once.
    pub async fn turn(&self) {
        self.settle().await;
    }
}
