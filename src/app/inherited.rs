//! Listening sockets that were open before this process: from the process
//! before, or from the service manager (`LISTEN_FDS`).

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use listenfd::ListenFd;
use serde::{Deserialize, Serialize};

use super::Error;

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// Clients of services.
    Listener,
    /// The admin address.
    Admin,
    /// Clients of other registries.
    Front,
}

/// One listening socket.
#[derive(Debug)]
pub(super) struct InheritedSocket {
    /// The address in the config file, if it is known: with port 0 it is
    /// another than that of the socket.
    pub(super) configured: Option<SocketAddr>,
    /// What it is for, if it is known.
    pub(super) role: Option<Role>,
    pub(super) socket: TcpListener,
}

/// Sockets that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct InheritedSockets(Vec<InheritedSocket>);

impl InheritedSockets {
    /// Those that the service manager passed. To be asked once, before there
    /// are threads: the environment is changed.
    pub(super) fn from_service_manager() -> Result<Self, Error> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(passed.len());
        for index in 0..passed.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
            let failed = |error| Error::Passed { name: name.to_owned(), error };
            let Some(socket) = passed.take_tcp_listener(index).map_err(failed)? else { continue };
            sockets.push(InheritedSocket { configured: None, role: None, socket });
        }
        Ok(Self(sockets))
    }

    /// Those that another process sent.
    pub(super) const fn sent(sockets: Vec<InheritedSocket>) -> Self {
        Self(sockets)
    }

    /// Takes the sockets at `address` for `role`.
    pub(super) fn take(&mut self, address: SocketAddr, role: Role) -> Vec<TcpListener> {
        let fits = |inherited: &InheritedSocket| {
            let bound = || inherited.socket.local_addr().is_ok_and(|bound| bound == address);
            inherited.role.is_none_or(|known| known == role)
                && inherited.configured.map_or_else(bound, |configured| configured == address)
        };
        // Of several listeners on port 0, one.
        let first = self.0.iter().find(|inherited| fits(inherited));
        let first = first.and_then(|inherited| inherited.socket.local_addr().ok());
        let wanted = |inherited: &mut InheritedSocket| {
            fits(inherited) && inherited.socket.local_addr().ok() == first
        };
        self.0.extract_if(.., wanted).map(|inherited| inherited.socket).collect()
    }

    /// Whether nobody passed anything.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where those are that nobody took.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let address = |inherited: &InheritedSocket| inherited.socket.local_addr().ok();
        let mut addresses: Vec<_> = self.0.iter().filter_map(address).collect();
        addresses.dedup();
        addresses
    }
}

/// The admin socket: one that was passed, or a new one.
pub(super) fn admin_socket(
    address: SocketAddr,
    inherited: &mut InheritedSockets,
) -> Result<TcpListener, Error> {
    let mut bind = || -> io::Result<TcpListener> {
        let socket = match inherited.take(address, Role::Admin).pop() {
            Some(socket) => socket,
            None => TcpListener::bind(address)?,
        };
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    bind().map_err(|error| Error::Bind { address, error })
}
