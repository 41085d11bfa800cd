//! The addresses that clients connect to, over reloads and upgrades.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Semaphore;

use super::{
    Error,
    inherited::{InheritedSockets, Role},
};
use crate::{
    listener::{ListenerSettings, bind_set, complete_set},
    tls::{Automatic, Facts, ServerTls, TlsError},
    worker::{Command, Listening, MovedClient, Worker},
};

/// Sockets that are bound but not yet accepted on, and what those that are
/// open already are to speak TLS with from here on.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) sets: Vec<BoundSet>,
    renewed: HashMap<SocketAddr, Option<Arc<ServerTls>>>,
}

/// The sockets of one address.
#[derive(Debug)]
pub(super) struct BoundSet {
    settings: ListenerSettings,
    tls: Option<Arc<ServerTls>>,
    pub(super) address: SocketAddr,
    /// For the workers, each at least one.
    sockets: Vec<TcpListener>,
    /// The same ones once more, for the process after this one.
    kept: Vec<TcpListener>,
}

/// The addresses in use.
#[derive(Debug)]
pub(super) struct Listeners {
    workers: usize,
    open: Vec<Open>,
    /// Every address there ever was; its place is its number in the metrics.
    numbered: Vec<SocketAddr>,
    directory: Directory,
    /// Certificates that are obtained by ACME.
    automatic: Automatic,
}

#[derive(Debug)]
struct Open {
    settings: ListenerSettings,
    listening: Arc<Listening>,
    sockets: Vec<TcpListener>,
}

/// Finds the listener of a client that another process has accepted.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    open: Arc<RwLock<HashMap<SocketAddr, Arc<Listening>>>>,
    turn: Arc<AtomicUsize>,
}

impl Directory {
    /// Has one of `workers` serve a client that another process has accepted.
    /// One whose listener is gone is closed.
    pub(super) fn adopt(&self, moved: MovedClient, workers: &[Worker]) {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        if let Some(listening) = open.get(&moved.listener) {
            workers[turn % workers.len()].tell(Command::Adopt(Arc::clone(listening), moved));
        }
    }
}

impl Listeners {
    pub(super) fn new(workers: usize, automatic: Automatic) -> Self {
        let directory = Directory::default();
        Self { workers, open: Vec::new(), numbered: Vec::new(), directory, automatic }
    }

    /// The way to the listeners for clients that were accepted elsewhere.
    pub(super) fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// The addresses that are accepted on.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let open = self.open.iter().map(|open| open.listening.address);
        let numbered = self.numbered.iter().copied().filter(|_| self.open.is_empty());
        open.chain(numbered)
    }

    /// The addresses that are accepted on, and whether TLS is spoken there.
    pub(super) fn spoken(&self) -> impl Iterator<Item = (bool, SocketAddr)> {
        self.open.iter().map(|open| (open.settings.tls.is_some(), open.listening.address))
    }

    /// Every address there ever was, by number.
    pub(super) fn numbered(&self) -> &[SocketAddr] {
        &self.numbered
    }

    /// The sockets in use, each with its address in the config file.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (SocketAddr, &TcpListener)> {
        let of = |open: &Open| open.settings.address.0;
        self.open.iter().flat_map(move |open| open.sockets.iter().map(move |it| (of(open), it)))
    }

    /// Certificates that are obtained by ACME are in `folder` from now on.
    pub(super) fn obtained_in(&mut self, folder: Option<PathBuf>) {
        self.automatic.folder = folder;
    }

    /// Binds those of `wanted` that are not bound yet, and reads the files that
    /// all of them need to speak TLS: all or none. What was bound before this
    /// process is taken from `inherited`.
    pub(super) fn bind(
        &mut self,
        wanted: &[ListenerSettings],
        inherited: &mut InheritedSockets,
    ) -> Result<Bound, Error> {
        let is_open = |settings: &&ListenerSettings| {
            self.open.iter().any(|open| open.settings.address == settings.address)
        };
        let mut sets = Vec::new();
        let mut renewed = HashMap::new();
        for settings in wanted {
            let address = settings.address.0;
            let open = self.open.iter().find(|open| open.settings.address.0 == address);
            let before = open.and_then(|open| open.listening.tls.load_full());
            let tls = load(settings, &self.automatic, before.as_deref());
            let tls = tls.map_err(|error| Error::Tls { address, error })?;
            if is_open(&settings) {
                renewed.insert(address, tls);
                continue;
            }
            let failed = |error| Error::Bind { address, error };
            sets.push(self.bind_one(settings, tls, inherited).map_err(failed)?);
        }
        for BoundSet { address, .. } in &sets {
            if !self.numbered.contains(address) {
                self.numbered.push(*address);
            }
        }
        Ok(Bound { sets, renewed })
    }

    fn bind_one(
        &self,
        settings: &ListenerSettings,
        tls: Option<Arc<ServerTls>>,
        inherited: &mut InheritedSockets,
    ) -> io::Result<BoundSet> {
        let sockets = match inherited.take(settings.address.0, Role::Listener) {
            none if none.is_empty() => bind_set(settings.address.0, self.workers)?,
            set => complete_set(set, self.workers)?,
        };
        let kept = sockets.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        let address = sockets[0].local_addr()?;
        Ok(BoundSet { settings: settings.clone(), tls, address, sockets, kept })
    }

    /// Lets the workers accept on `bound`.
    pub(super) fn open(&mut self, bound: Bound, workers: &[Worker]) {
        for BoundSet { settings, tls, address, sockets, kept } in bound.sets {
            let listening = Arc::new(Listening {
                number: self.numbered.iter().position(|known| *known == address).unwrap_or(0),
                address,
                room: Arc::new(Semaphore::new(settings.max_connections.get() as usize)),
                settings: ArcSwap::from_pointee(settings.clone()),
                tls: ArcSwapOption::new(tls),
            });
            // After an upgrade to fewer workers, some have several.
            for (worker, socket) in workers.iter().cycle().zip(sockets) {
                worker.tell(Command::Listen(Arc::clone(&listening), socket));
            }
            self.open.push(Open { settings, listening, sockets: kept });
        }
        self.list();
    }

    /// Gives those that stay their new settings and closes those that are not
    /// wanted any more. Connections that are open go on under the settings
    /// that they were accepted with.
    pub(super) fn update(
        &mut self,
        wanted: &[ListenerSettings],
        bound: &Bound,
        workers: &[Worker],
    ) -> Vec<String> {
        let mut changes = Vec::new();
        self.open.retain_mut(|Open { settings: current, listening, sockets }| {
            let Some(new) = wanted.iter().find(|new| new.address == current.address) else {
                // Before the workers empty the queue, or somebody could be
                // left in it.
                sockets.clear();
                for worker in workers {
                    worker.tell(Command::Unlisten(listening.address));
                }
                changes.push(format!("- listener {}", listening.address));
                return false;
            };
            // Before the settings, which say whether it is looked at.
            if let Some(Some(tls)) = bound.renewed.get(&new.address.0) {
                listening.tls.store(Some(Arc::clone(tls)));
            }
            if new != current {
                resize(&listening.room, current, new);
                listening.settings.store(Arc::new(new.clone()));
                *current = new.clone();
                changes.push(format!("~ listener {}", listening.address));
            }
            true
        });
        self.list();
        changes
    }

    /// What the certificates of listeners say, each with the address of its
    /// listener.
    pub(super) fn certificates(&self) -> Vec<(String, Facts)> {
        let mut all = Vec::new();
        for Open { listening, .. } in &self.open {
            let tls = listening.tls.load_full().filter(|_| listening.settings.load().tls.is_some());
            let facts = tls.iter().flat_map(|tls| tls.facts());
            all.extend(facts.map(|facts| (listening.address.to_string(), facts.clone())));
        }
        all
    }

    /// Reads the files of certificates again. Where any cannot be used, all of
    /// that listener stay as they were, and it is told why. Blocks.
    pub(super) fn refresh(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for Open { settings, listening, .. } in &self.open {
            match load(settings, &self.automatic, listening.tls.load_full().as_deref()) {
                Ok(None) => {}
                Ok(tls) => listening.tls.store(tls),
                Err(error) => problems.push(format!("{}: {error}", listening.address)),
            }
        }
        problems
    }

    fn list(&self) {
        let open = self.open.iter().map(|open| &open.listening);
        let open = open.map(|listening| (listening.address, Arc::clone(listening))).collect();
        *self.directory.open.write().unwrap_or_else(PoisonError::into_inner) = open;
    }
}

/// What `settings` say to speak TLS with, if they do.
fn load(
    settings: &ListenerSettings,
    automatic: &Automatic,
    before: Option<&ServerTls>,
) -> Result<Option<Arc<ServerTls>>, TlsError> {
    let speaks = settings.spoken_over_tls();
    let load = |tls| ServerTls::load(tls, speaks, automatic, before).map(Arc::new);
    settings.tls.as_ref().map(load).transpose()
}

fn resize(room: &Arc<Semaphore>, old: &ListenerSettings, new: &ListenerSettings) {
    let (old, new) = (old.max_connections.get() as usize, new.max_connections.get() as usize);
    if new >= old {
        room.add_permits(new - old);
        return;
    }
    // What is in use is taken away as it comes back.
    let room = Arc::clone(room);
    let surplus = u32::try_from(old - new).unwrap_or(u32::MAX);
    tokio::spawn(async move {
        if let Ok(permits) = room.acquire_many_owned(surplus).await {
            permits.forget();
        }
    });
}
