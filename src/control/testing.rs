//! A control plane for tests: the real one, with a store in a folder that goes
//! with it, and no worker that anything would wait for.

use std::{ops::Deref, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::{Control, Inheritance, Parts, diagnosis::good, happening::Happening, view::ReloadView};
use crate::{
    config::{self, Loaded},
    health::Prober,
    model::AddressGuard,
    registry::Registry,
    routing::{self, Reader},
    telemetry::{AccessLog, Metrics},
};

/// The admin address that a test plane believes to have.
const ADMIN: &str = "127.0.0.1:9900";

/// A running control plane.
#[derive(Debug)]
pub(crate) struct TestPlane {
    pub(crate) control: Control,
    folder: Arc<tempfile::TempDir>,
}

impl Deref for TestPlane {
    type Target = Control;
    fn deref(&self) -> &Control {
        &self.control
    }
}

impl TestPlane {
    /// With the config `text`, which is also the file on disk.
    pub(crate) async fn start(text: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("a folder")), text, 0).await.0
    }

    /// The same with `workers`, which are the test's to play.
    pub(crate) async fn with_workers(text: &str, workers: usize) -> (Self, Vec<Reader>) {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        Self::start_in(folder, text, workers).await
    }

    /// The same once more on what is stored, after a clean end.
    pub(crate) async fn restart(self, text: &str) -> Self {
        let Self { control, folder } = self;
        control.registry.clone().close().await;
        drop(control);
        Self::start_in(folder, text, 0).await.0
    }

    async fn start_in(
        folder: Arc<tempfile::TempDir>,
        text: &str,
        workers: usize,
    ) -> (Self, Vec<Reader>) {
        let path = folder.path().join("proxy.toml");
        std::fs::write(&path, text).expect("written");
        let mut loaded = config::load(&path).unwrap_or_else(|report| panic!("{report:?}"));
        loaded.config.registry.data_dir = folder.path().join("data");
        let loaded = Arc::new(loaded);
        let guard = AddressGuard::new(true, vec![ADMIN.parse().expect("an address")]);
        let (reports, probes) = mpsc::unbounded_channel();
        let prober = Prober::start(&loaded.config.health, guard.clone(), reports);
        let (upgrades, _) = mpsc::channel(1);
        let (reloads, requests) = mpsc::channel(1);
        tokio::spawn(answer_reloads(requests, Arc::clone(&loaded)));
        let (publisher, readers) = routing::channel(workers);
        let parts = Parts {
            workers: 1,
            registry: Registry::open(&loaded.config.registry).await.expect("opens"),
            prober: (prober, probes),
            publisher,
            metrics: Metrics::new(1),
            access_log: AccessLog::start(&loaded.config.telemetry.access_log).expect("starts"),
            guard: Arc::new(ArcSwap::from_pointee(guard)),
            inheritance: Inheritance::default(),
            loaded,
            reloads,
            upgrades,
            listeners: Vec::new(),
            admin: ADMIN.parse().expect("an address"),
        };
        // Nothing starts before every worker has seen the first table.
        let see = async {
            loop {
                readers.iter().for_each(Reader::acknowledge);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let control = tokio::select! {
            control = Control::start(parts) => control,
            () = see => unreachable!("it goes on for ever"),
        };
        (Self { control, folder }, readers)
    }

    /// Takes over the config `text` as a reload would.
    pub(crate) async fn configure(&self, text: &str) {
        let loaded: Loaded = config::parse(text, &self.file().display().to_string(), &|_| None)
            .unwrap_or_else(|report| panic!("{report:?}"));
        self.control.configure(Arc::new(loaded)).await;
    }

    /// Lets `count` things happen.
    pub(crate) fn tell(&self, count: usize) {
        for _ in 0..count {
            let happening = Happening::general("config_reloaded", "proxy.toml".to_owned());
            self.control.shared.events.tell(happening);
        }
    }

    /// The config file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("proxy.toml")
    }
}

/// Says yes to every reload, and changes nothing.
async fn answer_reloads(
    mut requests: mpsc::Receiver<oneshot::Sender<ReloadView>>,
    loaded: Arc<Loaded>,
) {
    while let Some(answer) = requests.recv().await {
        let _ = answer.send(good(&loaded));
    }
}
