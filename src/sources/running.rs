//! The sources at work: a task for each, on the runtime of whoever starts
//! them.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use super::{Backoff, Feed, Found, News, SourceKind, SourceName, SourceSettings};

/// Where the news of all sources go.
pub type NewsSender = mpsc::UnboundedSender<(SourceName, News)>;

/// The sources that run. They stop when this is dropped.
#[derive(Debug)]
pub struct Running {
    news: NewsSender,
    tasks: BTreeMap<SourceName, Task>,
}

#[derive(Debug)]
struct Task {
    kind: SourceKind,
    wanted: Arc<Notify>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Running {
    /// None yet. What they have to tell will go to `news`.
    #[must_use]
    pub const fn new(news: NewsSender) -> Self {
        Self { news, tasks: BTreeMap::new() }
    }

    /// Runs `sources` and no others. Who is at work by the same settings
    /// already is not disturbed. `had` says what a source had when it was last
    /// heard; a driver that begins is told where that counts.
    pub fn configure(
        &mut self,
        sources: &[SourceSettings],
        had: impl Fn(&SourceName) -> Vec<Arc<Found>>,
    ) {
        let mut before = std::mem::take(&mut self.tasks);
        for settings in sources {
            let name = settings.name();
            let had = || match settings.kind.may_forget() {
                true => had(&name),
                false => Vec::new(),
            };
            let task = before
                .remove(&name)
                .filter(|task| task.kind == settings.kind)
                .unwrap_or_else(|| self.start(name.clone(), settings.kind.clone(), had()));
            self.tasks.insert(name, task);
        }
    }

    /// Has the source called `name` read all that it has again.
    pub fn want(&self, name: &SourceName) {
        if let Some(task) = self.tasks.get(name) {
            task.wanted.notify_one();
        }
    }

    fn start(&self, name: SourceName, kind: SourceKind, had: Vec<Arc<Found>>) -> Task {
        let wanted = Arc::new(Notify::new());
        let feed = Feed::new(name, self.news.clone(), Arc::clone(&wanted)).after(had);
        let handle = tokio::spawn(keep(kind.clone(), feed));
        Task { kind, wanted, handle }
    }
}

/// Has a driver at work for ever: one that ends, or panics, is begun anew.
async fn keep(kind: SourceKind, feed: Feed) {
    let mut backoff = Backoff::default();
    loop {
        let ended = AssertUnwindSafe(kind.clone().run(feed.clone())).catch_unwind().await;
        let why = match ended {
            Ok(()) => "its driver ended".to_owned(),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                format!("its driver panicked: {}", text.unwrap_or_default())
            }
        };
        tracing::error!(source = %feed.source(), "{why}; it is started again");
        feed.tell(News::Lost(why));
        tokio::time::sleep(backoff.failed()).await;
    }
}
