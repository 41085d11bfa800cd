//! The addresses that clients connect to, over reloads.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::Error;
use crate::{
    listener::{ListenerSettings, bind_set},
    worker::{Command, Listening, Worker},
};

/// Sockets that are bound but not yet accepted on.
pub(super) type Bound = Vec<(ListenerSettings, SocketAddr, Vec<TcpListener>)>;

/// The addresses in use.
#[derive(Debug)]
pub(super) struct Listeners {
    workers: usize,
    open: Vec<(ListenerSettings, Arc<Listening>)>,
    /// Every address there ever was; its place is its number in the metrics.
    numbered: Vec<SocketAddr>,
}

impl Listeners {
    pub(super) const fn new(workers: usize) -> Self {
        Self { workers, open: Vec::new(), numbered: Vec::new() }
    }

    /// The addresses that are accepted on.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let open = self.open.iter().map(|(_, listening)| listening.address);
        let numbered = self.numbered.iter().copied().filter(|_| self.open.is_empty());
        open.chain(numbered)
    }

    /// Every address there ever was, by number.
    pub(super) fn numbered(&self) -> &[SocketAddr] {
        &self.numbered
    }

    /// Binds those of `wanted` that are not bound yet: all or none.
    pub(super) fn bind(&mut self, wanted: &[ListenerSettings]) -> Result<Bound, Error> {
        let is_open = |settings: &&ListenerSettings| {
            self.open.iter().any(|(open, _)| open.address == settings.address)
        };
        let mut bound = Vec::new();
        for settings in wanted.iter().filter(|settings| !is_open(settings)) {
            let failed = |error| Error::Bind { address: settings.address.0, error };
            let sockets = bind_set(settings.address.0, self.workers).map_err(failed)?;
            let address = sockets[0].local_addr().map_err(failed)?;
            bound.push((settings.clone(), address, sockets));
        }
        for (_, address, _) in &bound {
            if !self.numbered.contains(address) {
                self.numbered.push(*address);
            }
        }
        Ok(bound)
    }

    /// Lets every worker accept on `bound`.
    pub(super) fn open(&mut self, bound: Bound, workers: &[Worker]) {
        for (settings, address, sockets) in bound {
            let listening = Arc::new(Listening {
                number: self.numbered.iter().position(|known| *known == address).unwrap_or(0),
                address,
                room: Arc::new(Semaphore::new(settings.max_connections.get() as usize)),
                settings: ArcSwap::from_pointee(settings.clone()),
            });
            for (worker, socket) in workers.iter().zip(sockets) {
                worker.tell(Command::Listen(Arc::clone(&listening), socket));
            }
            self.open.push((settings, listening));
        }
    }

    /// Gives those that stay their new settings and closes those that are not
    /// wanted any more. Connections that are open go on under the settings
    /// that they were accepted with.
    pub(super) fn update(
        &mut self,
        wanted: &[ListenerSettings],
        workers: &[Worker],
    ) -> Vec<String> {
        let mut changes = Vec::new();
        self.open.retain_mut(|(current, listening)| {
            let Some(new) = wanted.iter().find(|new| new.address == current.address) else {
                for worker in workers {
                    worker.tell(Command::Unlisten(listening.address));
                }
                changes.push(format!("- listener {}", listening.address));
                return false;
            };
            if new != current {
                resize(&listening.room, current, new);
                listening.settings.store(Arc::new(new.clone()));
                *current = new.clone();
                changes.push(format!("~ listener {}", listening.address));
            }
            true
        });
        changes
    }
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
