//! Listening sockets.
//!
//! Every worker has its own socket for each address, and the kernel spreads
//! connections over them (`SO_REUSEPORT`). A socket that is closed takes the
//! connections in its queue with it, so the set for an address is made once,
//! one socket for each worker, and kept for as long as the address is
//! configured, from process to process.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted, for each socket.
const BACKLOG: i32 = 4096;

/// Makes a set that another process left at least `count`, so that every
/// worker has one. Where no more can be bound beside them, several workers
/// accept from the same one.
///
/// # Errors
///
/// When there is no descriptor left.
pub fn complete_set(
    mut set: Vec<std::net::TcpListener>,
    count: usize,
) -> io::Result<Vec<std::net::TcpListener>> {
    for socket in &set {
        // Systemd's wait when there is nobody to accept.
        socket.set_nonblocking(true)?;
    }
    let there = set.len();
    while set.len() < count && there > 0 {
        let shared = &set[set.len() % there];
        let is_shareable = socket2::SockRef::from(shared).reuse_port()?;
        let more = if is_shareable { bind(shared.local_addr()?).ok() } else { None };
        let more = more.map_or_else(|| shared.try_clone(), Ok)?;
        set.push(more);
    }
    Ok(set)
}

/// Binds `count` sockets to `address`. With port 0, all share the port that
/// the first one got.
///
/// # Errors
///
/// When the address cannot be bound; none is bound then.
pub fn bind_set(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let mut address = address;
    let mut set = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = bind(address)?;
        address = socket.local_addr()?;
        set.push(socket);
    }
    Ok(set)
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
