//! The loop that is the only writer of the catalog and of the table.
//!
//! It takes everything that is queued, applies it, compiles what it touched,
//! publishes one table. A thousand registrations at once are one new table.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLockWriteGuard, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    catalog::{Catalog, Placed, ProbeChange},
    happening::Happening,
    inheritance::Inheritance,
    routes::Routes,
    shared::Shared,
    source_memory::SourceMemory,
};
use crate::{
    config::Loaded,
    health::ProbeReport,
    model::{EndpointId, InstanceKey},
    registry::{Registry, RegistryEvent, Removal},
    routing::{Publisher, Table, Watcher},
    sources::{LastKnown, News as SourceNews, NewsSender, Running, SourceName},
};

/// How often states that depend on the time are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Every so many ticks, instances are looked for that have failed for too
/// long.
const SWEEP: u32 = 50;

/// What the reconciler is asked for.
#[derive(Debug)]
pub(super) enum Command {
    /// Answer with the version of the table once it holds everything that was
    /// known when this was sent.
    Settle(oneshot::Sender<u64>),
    /// Take over a config file. Answer when it is published.
    Configure(Arc<Loaded>, oneshot::Sender<u64>),
    /// Believe what is held of a source. Answer when it is published.
    Accept(SourceName, oneshot::Sender<u64>),
    /// Have a source read all that it has again.
    Resync(SourceName, oneshot::Sender<u64>),
    /// Take out a registration on behalf of another process that has the
    /// store. Answer when it is published.
    Leave(InstanceKey, u64, oneshot::Sender<u64>),
}

/// Where news comes from.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) registry: mpsc::UnboundedReceiver<RegistryEvent>,
    pub(super) probes: mpsc::UnboundedReceiver<ProbeReport>,
    /// What sources tell.
    pub(super) sources: mpsc::UnboundedReceiver<(SourceName, SourceNews)>,
    /// Endpoints on which requests fail.
    pub(super) alarms: mpsc::Receiver<EndpointId>,
}

/// The writer.
#[derive(Debug)]
pub(super) struct Reconciler {
    shared: Arc<Shared>,
    registry: Registry,
    publisher: Publisher,
    watcher: Watcher,
    table: Table,
    routes: Routes,
    deregister_after: Duration,
    sources: Running,
    /// Whether it is known what sources had; they do not begin before.
    remembers: bool,
    memory: SourceMemory,
}

impl Reconciler {
    /// Takes over the config file before anything else: what is restored must
    /// not be probed, let alone routed to, by defaults that are not its own.
    pub(super) fn new(
        shared: Arc<Shared>,
        registry: Registry,
        publisher: Publisher,
        loaded: &Arc<Loaded>,
        mut inheritance: Inheritance,
        news: NewsSender,
    ) -> Self {
        let version = inheritance.version;
        let routes = Routes::new(shared.workers);
        let mut reconciler = Self {
            shared,
            registry,
            watcher: publisher.watcher(),
            publisher,
            table: Table { version, ..Table::default() },
            routes,
            deregister_after: loaded.config.registry.deregister_after.into(),
            sources: Running::new(news),
            remembers: false,
            memory: SourceMemory::new(&loaded.config.registry.data_dir),
        };
        let known = std::mem::take(&mut inheritance.sources);
        reconciler.catalog().inherit(inheritance);
        let (answer, _) = oneshot::channel();
        let commands = vec![Command::Configure(Arc::clone(loaded), answer)];
        reconciler.turn(News { commands, ..News::default() });
        reconciler.remember(known);
        let catalog = reconciler.shared.catalog();
        let had = |source: &SourceName| catalog.sources.of(source);
        reconciler.sources.configure(&loaded.config.source, had);
        drop(catalog);
        reconciler.remembers = true;
        reconciler
    }

    /// Goes on from what sources had, as the process before knows or else the
    /// disk.
    fn remember(&self, known: Vec<LastKnown>) {
        let mut catalog = self.catalog();
        let unknown = catalog
            .sources
            .all
            .keys()
            .filter(|source| !known.iter().any(|known| known.source == **source));
        let (read, failures) = self.memory.read(unknown);
        catalog.sources.memory_failures = failures;
        let now = Instant::now();
        for known in known.into_iter().chain(read) {
            catalog.restore_source(known, now);
        }
    }

    fn catalog(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.shared.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until the last handle is gone.
    pub(super) async fn run(mut self, mut inputs: Inputs) {
        // What is restored was sent before this began.
        let registry = std::iter::from_fn(|| inputs.registry.try_recv().ok()).collect();
        self.turn(News { registry, ..News::default() });
        self.catalog().end_inheriting();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut count = 0_u32;
        loop {
            let mut news = News::default();
            tokio::select! {
                command = inputs.commands.recv() => match command {
                    Some(command) => news.commands.push(command),
                    None => return,
                },
                Some(event) = inputs.registry.recv() => news.registry.push(event),
                Some(heard) = inputs.sources.recv() => news.sources.push(heard),
                Some(report) = inputs.probes.recv() => news.probes.push(report),
                Some(endpoint) = inputs.alarms.recv() => news.alarms.push(endpoint),
                _ = ticks.tick() => {
                    count = count.wrapping_add(1);
                    let shared = Arc::clone(&self.shared);
                    let catalog = shared.catalog.write();
                    let mut catalog = catalog.unwrap_or_else(PoisonError::into_inner);
                    let now = Instant::now();
                    catalog.touch_suspects(now);
                    catalog.tick(now);
                    for source in catalog.tend_sources(now) {
                        self.sources.want(&source);
                    }
                    self.memory.tend(&mut catalog.sources, now);
                    drop(catalog);
                    if count.is_multiple_of(SWEEP) {
                        self.catalog().touch_empty();
                        self.give_up();
                    }
                }
            }
            // Commands first: whoever sent one has seen the registry answer,
            // so what it is about is in the queue by now.
            news.commands.extend(std::iter::from_fn(|| inputs.commands.try_recv().ok()));
            news.registry.extend(std::iter::from_fn(|| inputs.registry.try_recv().ok()));
            news.sources.extend(std::iter::from_fn(|| inputs.sources.try_recv().ok()));
            news.probes.extend(std::iter::from_fn(|| inputs.probes.try_recv().ok()));
            news.alarms.extend(std::iter::from_fn(|| inputs.alarms.try_recv().ok()));
            self.turn(news);
        }
    }

    fn turn(&mut self, news: News) {
        let now = Instant::now();
        let mut answers = Vec::new();
        let mut configs = Vec::new();
        let mut leavers = Vec::new();
        let mut accepted = Vec::new();
        for command in news.commands {
            match command {
                Command::Settle(answer) => answers.push(answer),
                Command::Configure(loaded, answer) => {
                    configs.push(loaded);
                    answers.push(answer);
                }
                Command::Accept(source, answer) => {
                    accepted.push(source);
                    answers.push(answer);
                }
                Command::Resync(source, answer) => {
                    self.sources.want(&source);
                    answers.push(answer);
                }
                Command::Leave(key, generation, answer) => {
                    leavers.push((key, generation));
                    answers.push(answer);
                }
            }
        }
        let compiling;
        let (placed, probes, happened, leaving, expired) = {
            let mut catalog = self.shared.catalog.write().unwrap_or_else(PoisonError::into_inner);
            for event in news.registry {
                apply(&mut catalog, event, now);
            }
            for (source, told) in news.sources {
                catalog.heard(&source, told, now);
            }
            for source in accepted {
                catalog.accept(&source, "somebody accepted that", now);
            }
            for (key, generation) in leavers {
                catalog.drain(&key, generation, now);
            }
            for report in &news.probes {
                catalog.probed(report, now);
            }
            for endpoint in news.alarms {
                catalog.alarmed(endpoint, now);
            }
            // Of several at once only the last one counts.
            if let Some(loaded) = configs.last() {
                self.deregister_after = loaded.config.registry.deregister_after.into();
                configure(&mut catalog, loaded, now);
                catalog.configure_sources(&loaded.config.source, now);
                if self.remembers {
                    let had = |source: &SourceName| catalog.sources.of(source);
                    self.sources.configure(&loaded.config.source, had);
                }
                self.table.router = self.routes.build(&mut catalog, loaded);
            }
            compiling = std::time::Instant::now();
            let placed = catalog.refresh(now);
            if std::mem::take(&mut catalog.renamed)
                && let Some(router) = self.routes.rebuild(&mut catalog)
            {
                self.table.router = router;
            }
            catalog.let_go(self.watcher.acknowledged(), &self.shared.predecessor, now);
            let expired = catalog.expired(now);
            let (probes, happened) = (catalog.take_probe_changes(), catalog.take_happened());
            (placed, probes, happened, catalog.is_anybody_leaving(), expired)
        };
        let cuts = *expired != *self.table.expired;
        if cuts {
            self.table.expired = expired.into();
        }
        if !placed.is_empty() || !configs.is_empty() || cuts {
            self.publish(placed, compiling);
        }
        if leaving {
            self.catalog().published(self.table.version);
        }
        for change in probes {
            match change {
                ProbeChange::Watch(target) => self.shared.prober.watch(target),
                ProbeChange::Resume(target, last, once_passed) => {
                    self.shared.prober.resume(target, last, once_passed);
                }
                ProbeChange::Unwatch(endpoint) => self.shared.prober.unwatch(endpoint),
                ProbeChange::Refused(endpoint) => self.shared.prober.refused(endpoint),
            }
        }
        self.shared.events.tell_all(happened);
        for answer in answers {
            let _ = answer.send(self.table.version);
        }
    }

    /// Publishes a table with what was compiled since `begun`.
    fn publish(&mut self, placed: Vec<Placed>, begun: std::time::Instant) {
        for (slot, service) in placed {
            self.table.services.set(slot, service);
        }
        self.table.version += 1;
        self.publisher.publish(Arc::new(self.table.clone()));
        let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shared.publishes.fetch_add(1, Ordering::Relaxed);
        self.shared.publish_nanos.fetch_add(took, Ordering::Relaxed);
        self.shared.published.send_replace((self.table.version, std::time::Instant::now()));
    }

    fn give_up(&self) {
        let given_up = self.shared.catalog().given_up(self.deregister_after, Instant::now());
        for (key, generation) in given_up {
            self.registry.give_up(&key, generation);
        }
    }
}

#[derive(Debug, Default)]
struct News {
    commands: Vec<Command>,
    registry: Vec<RegistryEvent>,
    sources: Vec<(SourceName, SourceNews)>,
    probes: Vec<ProbeReport>,
    alarms: Vec<EndpointId>,
}

fn apply(catalog: &mut Catalog, event: RegistryEvent, now: Instant) {
    match event {
        RegistryEvent::Upserted { registration, restored } => {
            catalog.upsert(registration, restored, now);
        }
        RegistryEvent::Draining { key, generation } => catalog.drain(&key, generation, now),
        RegistryEvent::Removed { key, generation, why } => {
            let why = match why {
                Removal::Deregistered => "it was asked for",
                Removal::Forgotten => "its lease expired and no heartbeat came",
                Removal::GaveUp => "its probes failed for too long",
            };
            catalog.remove(&key, generation, why, now);
        }
        RegistryEvent::LeaseRenewed { key, generation } => catalog.lease_renewed(&key, generation),
        RegistryEvent::LeaseExpired { key, generation } => {
            catalog.lease_expired(&key, generation, now);
        }
    }
}

fn configure(catalog: &mut Catalog, loaded: &Loaded, now: Instant) {
    let config = &loaded.config;
    let needed: BTreeSet<_> =
        config.route.iter().filter_map(|route| route.service.clone()).collect();
    let suspect_for = config.registry.suspect_for.into();
    catalog.configure(suspect_for, &config.defaults, &config.service, &needed, now);
}

/// Tells of something about the process as a whole.
pub(super) fn tell(shared: &Shared, kind: &'static str, detail: String) {
    shared.events.tell(Happening::general(kind, detail));
}
