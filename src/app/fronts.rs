//! The addresses of fronts, over reloads and upgrades.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Error,
    inherited::{InheritedSockets, Role},
};
use crate::{
    admin::{AuditLog, RelayedCall, Succession},
    control::{Control, view::FrontView},
    front::{FrontSettings, FrontState},
    model::{AdminTlsSettings, AlpnProtocol, ServerTlsSettings},
    tls::{Automatic, Facts, ServerTls, SharedServerTls},
};

/// Calls of the process before that may wait to be served, for each front.
const RELAYED: usize = 64;

/// What all fronts have in common.
#[derive(Clone, Debug)]
pub(super) struct Premises {
    pub(super) control: Control,
    pub(super) audit: AuditLog,
    pub(super) succession: Succession,
    pub(super) runtime: Handle,
    /// Closes all of them.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// Sockets that are bound but not yet accepted on, and what each front is to
/// speak TLS with, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct BoundFronts {
    new: Vec<BoundFront>,
    tls: Vec<Option<Arc<ServerTls>>>,
}

#[derive(Debug)]
struct BoundFront {
    settings: FrontSettings,
    tls: Option<Arc<ServerTls>>,
    address: SocketAddr,
    socket: TcpListener,
    /// Once more, for the process after this one.
    kept: TcpListener,
}

impl BoundFronts {
    /// The addresses that are new.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.new.iter().map(|bound| bound.address)
    }
}

/// The fronts that are open.
#[derive(Debug, Default)]
pub(super) struct Fronts {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    settings: watch::Sender<Arc<FrontSettings>>,
    tls: SharedServerTls,
    address: SocketAddr,
    kept: TcpListener,
    relayed: mpsc::Sender<RelayedCall>,
    stop: CancellationToken,
}

impl Fronts {
    /// Binds those of `wanted` that are not open, and reads the files that all
    /// of them need to speak TLS: all or none.
    pub(super) fn bind(
        &self,
        wanted: &[FrontSettings],
        inherited: &mut InheritedSockets,
    ) -> Result<BoundFronts, Error> {
        let mut bound = BoundFronts::default();
        for settings in wanted {
            let address = settings.address.0;
            let open = self.at(address);
            let before = open.and_then(|open| open.tls.load_full());
            let tls = load_tls(address, settings.tls.as_ref(), before.as_deref())?;
            bound.tls.push(tls.clone());
            if open.is_some() {
                continue;
            }
            let failed = |error| Error::Bind { address, error };
            bound.new.push(bind_one(settings, tls, inherited).map_err(failed)?);
        }
        Ok(bound)
    }

    fn at(&self, address: SocketAddr) -> Option<&Open> {
        self.open.iter().find(|open| open.settings.borrow().address.0 == address)
    }

    /// Serves `bound` on a runtime.
    pub(super) fn open(&mut self, bound: BoundFronts, premises: &Premises) {
        for BoundFront { settings, tls, address, socket, kept } in bound.new {
            let socket = {
                let _context = premises.runtime.enter();
                tokio::net::TcpListener::from_std(socket)
            };
            let socket = match socket {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::error!("the front {address} cannot be served: {error}");
                    continue;
                }
            };
            let (settings, read) = watch::channel(Arc::new(settings));
            let Premises { control, audit, succession, runtime, stop, tasks } = premises.clone();
            let state = FrontState::new(control, read, address, audit, succession);
            let tls = SharedServerTls::new(tls.into());
            let (relayed, calls) = mpsc::channel(RELAYED);
            let stop = stop.child_token();
            let stopped = stop.clone().cancelled_owned();
            tasks.spawn_on(state.serve(socket, Arc::clone(&tls), calls, stopped), &runtime);
            self.open.push(Open { settings, tls, address, kept, relayed, stop });
        }
    }

    /// Gives those that stay their new settings, and closes those that are not
    /// wanted any more.
    pub(super) fn update(&mut self, wanted: &[FrontSettings], bound: &BoundFronts) -> Vec<String> {
        let mut changes = Vec::new();
        self.open.retain(|open| {
            let configured = open.settings.borrow().address;
            let Some(at) = wanted.iter().position(|new| new.address == configured) else {
                open.stop.cancel();
                changes.push(format!("- front {}", open.address));
                return false;
            };
            // Before the tokens, which are read at each call.
            open.tls.store(bound.tls[at].clone());
            if **open.settings.borrow() != wanted[at] {
                open.settings.send_replace(Arc::new(wanted[at].clone()));
                changes.push(format!("~ front {}", open.address));
            }
            true
        });
        changes.extend(bound.addresses().map(|address| format!("+ front {address}")));
        changes
    }

    /// The addresses that are accepted on.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.open.iter().map(|open| open.address)
    }

    /// The sockets in use, each with its address in the config file.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (SocketAddr, &TcpListener)> {
        self.open.iter().map(|open| (open.settings.borrow().address.0, &open.kept))
    }

    /// What there is, for people.
    pub(super) fn views(&self) -> Vec<FrontView> {
        let view = |open: &Open| {
            let settings = open.settings.borrow();
            let (address, speaks) = (open.address.to_string(), settings.speaks().collect());
            let (read, read_all) = (settings.read, settings.read && settings.read_all);
            FrontView { address, tls: settings.tls.is_some(), speaks, read, read_all }
        };
        self.open.iter().map(view).collect()
    }

    /// What certificates say, each with the address of its front.
    pub(super) fn certificates(&self) -> Vec<(String, Facts)> {
        let mut all = Vec::new();
        for open in &self.open {
            let tls = open.tls.load_full();
            let facts = tls.iter().flat_map(|tls| tls.facts());
            all.extend(facts.map(|facts| (open.address.to_string(), facts.clone())));
        }
        all
    }

    /// Reads the files of certificates again. Where any cannot be used, that
    /// front stays as it was, and it is told why. Blocks.
    pub(super) fn refresh(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for open in &self.open {
            let settings = Arc::clone(&open.settings.borrow());
            let before = open.tls.load_full();
            match load_tls(settings.address.0, settings.tls.as_ref(), before.as_deref()) {
                Ok(tls) => open.tls.store(tls),
                Err(error) => problems.push(error.to_string()),
            }
        }
        problems
    }

    /// Hands calls that reached the process before to the front that each is
    /// for; what is for none goes to `admin`.
    pub(super) fn relay(
        &self,
        runtime: &Handle,
        mut calls: mpsc::Receiver<RelayedCall>,
        admin: mpsc::Sender<RelayedCall>,
    ) {
        let fronts: Vec<_> =
            self.open.iter().map(|open| (open.address, open.relayed.clone())).collect();
        runtime.spawn(async move {
            while let Some(call) = calls.recv().await {
                let is_for = |address: SocketAddr| {
                    address.port() == call.local.port()
                        && (address.ip().is_unspecified()
                            || address.ip().to_canonical() == call.local.ip().to_canonical())
                };
                let front = fronts.iter().find(|(address, _)| is_for(*address));
                let to = front.map_or(&admin, |(_, front)| front);
                if to.send(call).await.is_err() {
                    tracing::warn!("a call that was passed on is lost: its address has closed");
                }
            }
        });
    }
}

fn bind_one(
    settings: &FrontSettings,
    tls: Option<Arc<ServerTls>>,
    inherited: &mut InheritedSockets,
) -> io::Result<BoundFront> {
    let wanted = settings.address.0;
    let socket = match inherited.take(wanted, Role::Front).pop() {
        Some(socket) => socket,
        None => TcpListener::bind(wanted)?,
    };
    socket.set_nonblocking(true)?;
    let (kept, address) = (socket.try_clone()?, socket.local_addr()?);
    Ok(BoundFront { settings: settings.clone(), tls, address, socket, kept })
}

/// What `settings` of the admin address, or of a front, say to speak TLS with,
/// if they do.
pub(super) fn load_tls(
    address: SocketAddr,
    settings: Option<&AdminTlsSettings>,
    before: Option<&ServerTls>,
) -> Result<Option<Arc<ServerTls>>, Error> {
    let failed = |error| Error::Tls { address, error };
    let speaks = &[AlpnProtocol::Http1];
    let load = |tls| {
        let (tls, none) = (ServerTlsSettings::from(tls), Automatic::default());
        ServerTls::load(&tls, speaks, &none, before).map(Arc::new)
    };
    settings.map(load).transpose().map_err(failed)
}
