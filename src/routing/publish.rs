//! How a table gets to the workers, and how it is known that it has.
//!
//! One writer ([`Publisher`], not `Clone`) and one reader for each worker
//! ([`Reader`]). A worker looks at the table through a cache that refreshes
//! when it is used, and an idle worker never uses it; so each worker also runs
//! a task that is woken by every publish, refreshes, and says so. Since a
//! worker is one thread and its requests load, match, pick and count
//! themselves in flight without an await in between, a worker that has
//! acknowledged a table has no request left that picked from an older one
//! without being counted.

use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Cache};
use tokio::sync::Notify;

use super::Table;

struct Shared {
    table: ArcSwap<Table>,
    workers: Box<[Acknowledgement]>,
    acknowledged: Notify,
}

struct Acknowledgement {
    version: AtomicU64,
    published: Notify,
}

/// The writing half.
pub struct Publisher {
    shared: Arc<Shared>,
}

/// Sees which table is published, and which all workers route by.
#[derive(Clone)]
pub struct Watcher {
    shared: Arc<Shared>,
}

/// The reading half of one worker.
pub struct Reader {
    shared: Arc<Shared>,
    worker: usize,
    /// Who on this worker waits for a table.
    refreshed: Notify,
    cache: RefCell<Cache<Swap, Arc<Table>>>,
}

/// What the cache looks into.
struct Swap(Arc<Shared>);

impl std::ops::Deref for Swap {
    type Target = ArcSwap<Table>;
    fn deref(&self) -> &Self::Target {
        &self.0.table
    }
}

/// A writer, and a reader for each of `workers`.
#[must_use]
pub fn channel(workers: usize) -> (Publisher, Vec<Reader>) {
    let acknowledgement =
        |_| Acknowledgement { version: AtomicU64::new(0), published: Notify::new() };
    let shared = Arc::new(Shared {
        table: ArcSwap::from_pointee(Table::default()),
        workers: (0..workers).map(acknowledgement).collect(),
        acknowledged: Notify::new(),
    });
    let reader = |worker| Reader {
        shared: Arc::clone(&shared),
        worker,
        refreshed: Notify::new(),
        cache: RefCell::new(Cache::new(Swap(Arc::clone(&shared)))),
    };
    let readers = (0..workers).map(reader).collect();
    (Publisher { shared }, readers)
}

impl Publisher {
    /// Makes `table` the one that requests are routed by.
    pub fn publish(&mut self, table: Arc<Table>) {
        self.shared.table.store(table);
        for worker in &self.shared.workers {
            worker.published.notify_one();
        }
    }

    /// A way to watch.
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        Watcher { shared: Arc::clone(&self.shared) }
    }
}

impl Watcher {
    /// The published table.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.shared.table.load_full()
    }

    /// The newest version that every worker routes by.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let versions = self.shared.workers.iter().map(|ack| ack.version.load(Ordering::Acquire));
        versions.min().unwrap_or(u64::MAX)
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.workers.len()
    }

    /// How many workers do not route by `version` or a newer one yet.
    #[must_use]
    pub fn lagging(&self, version: u64) -> usize {
        let versions = self.shared.workers.iter().map(|ack| ack.version.load(Ordering::Acquire));
        versions.filter(|acknowledged| *acknowledged < version).count()
    }

    /// Waits until every worker routes by `version` or a newer one.
    pub async fn wait_for(&self, version: u64) {
        loop {
            let changed = self.shared.acknowledged.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.acknowledged() >= version {
                return;
            }
            changed.await;
        }
    }
}

impl Reader {
    /// Calls `look` with the current table. `look` must not call this again.
    pub fn with<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(self.cache.borrow_mut().load())
    }

    /// Waits for the next publish.
    pub async fn published(&self) {
        self.shared.workers[self.worker].published.notified().await;
    }

    /// Refreshes, and lets the control plane know.
    pub fn acknowledge(&self) {
        let version = self.with(|table| table.version);
        self.shared.workers[self.worker].version.store(version, Ordering::Release);
        self.shared.acknowledged.notify_waiters();
        self.refreshed.notify_waiters();
    }

    /// Waits for a table that comes after the one that was looked at last, if
    /// there was no await since.
    pub async fn changed(&self) {
        self.refreshed.notified().await;
    }
}

impl Drop for Reader {
    /// A worker that has ended routes nothing, so nobody waits for it.
    fn drop(&mut self) {
        self.shared.workers[self.worker].version.store(u64::MAX, Ordering::Release);
        self.shared.acknowledged.notify_waiters();
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("acknowledged", &self.acknowledged()).finish()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("worker", &self.worker).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(version: u64) -> Arc<Table> {
        Arc::new(Table { version, ..Table::default() })
    }

    #[tokio::test]
    async fn a_publish_is_acknowledged_by_every_worker() {
        let (mut publisher, readers) = channel(2);
        let watcher = publisher.watcher();
        publisher.publish(table(1));
        assert_eq!(watcher.acknowledged(), 0);
        readers[0].acknowledge();
        assert_eq!(watcher.acknowledged(), 0);
        let waiting = tokio::spawn(async move { watcher.wait_for(1).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        readers[1].published().await;
        readers[1].acknowledge();
        waiting.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_worker_that_ended_is_not_waited_for() {
        let (mut publisher, mut readers) = channel(2);
        publisher.publish(table(7));
        readers[0].acknowledge();
        readers.pop();
        publisher.watcher().wait_for(7).await;
    }
}
